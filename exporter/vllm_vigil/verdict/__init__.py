"""Series and log facts -> the state of each engine, and findings that open incidents."""
