"""Files, environment and flags -> one checked `Config`, each value with the place where it was written."""
