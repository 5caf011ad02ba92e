"""Conditions that are true or false now -> since when they have been true without a break."""

from __future__ import annotations

from collections.abc import Hashable


class Onsets:
    """The onset of every condition that holds; one that ends is forgotten."""

    def __init__(self) -> None:
        self._since: dict[Hashable, float] = {}

    def since(self, condition: Hashable, now: float, *, holds: bool) -> float | None:
        """When the condition began to hold, or None when it does not."""
        if not holds:
            self._since.pop(condition, None)
            return None
        since = self._since[condition] = min(self._since.get(condition, now), now)  # a clock may be set back
        return since

    def move(self, seconds: float) -> None:
        """The clock was set by so much: every onset moves along, as nobody has watched it hold meanwhile."""
        self._since = {condition: at + seconds for condition, at in self._since.items()}
