"""Lines -> records -> events: what a log says, recognised by a table of patterns."""
