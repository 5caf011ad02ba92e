"""Tell people: changes of incidents -> rows of the outbox -> messages on their channels, at least once, in order."""
