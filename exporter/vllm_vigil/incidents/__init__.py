"""Events and findings -> incidents: one for each thing that is wrong, from its first sign to its recovery."""
