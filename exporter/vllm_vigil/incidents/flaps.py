"""Incidents that end and begin again and again -> whether the next one is to be held open, and said once.

Two thresholds, so that it does not flap itself: the third opening within an hour is held, and a held one ends only
after a quiet that is much longer than its rule's. Bounded, and pure: time is an argument.
"""

from __future__ import annotations

from collections import OrderedDict

from vllm_vigil.incidents.burst import Fix, Key

OPENINGS = 3
WITHIN_SECONDS = 3600.0
QUIET_SECONDS = 1800.0
MAX_KEYS = 256


class Flaps:
    """When incidents of a key ended, as far as it counts."""

    def __init__(self) -> None:
        self._ends: OrderedDict[Key, list[float]] = OrderedDict()

    def ended(self, key: Key, at: float) -> None:
        """One ended."""
        ends = [*self._ends.get(key, ()), at]
        self._ends[key] = ends[1 - OPENINGS :]
        self._ends.move_to_end(key)
        while len(self._ends) > MAX_KEYS:
            self._ends.popitem(last=False)

    def adjust(self, fix: Fix) -> None:
        """The clock was set: correct every time."""
        for ends in self._ends.values():
            ends[:] = map(fix, ends)

    def flaps(self, key: Key, at: float) -> bool:
        """Whether one that begins now has ended so often lately that it will not be over for long."""
        recent = [end for end in self._ends.get(key, ()) if end >= at - WITHIN_SECONDS]
        return len(recent) >= OPENINGS - 1

    def remember(self) -> list[tuple[Key, list[float]]]:
        """Everything, for after a restart."""
        return list(self._ends.items())

    def restore(self, memory: list[tuple[list[str], list[float]]]) -> None:
        """Take over what an earlier process remembered."""
        for (server, rule, group), ends in memory:
            self._ends[(server, rule, group)] = list(ends)
