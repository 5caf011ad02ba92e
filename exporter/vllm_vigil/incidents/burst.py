"""Events in time -> whether so many came within a window. Pure: time is an argument.

Memory is bounded whatever comes: at most `max_keys` keys, the longest unused goes first, and a key keeps no more times
than its rule needs. A flood of ever new keys therefore pushes out keys that are quiet, not the one that bursts.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

Key = tuple[str, str, str]  # server, rule, group
Fix = Callable[[float], float]
"""A time that is remembered -> what it is by the clock as it is set now."""
MAX_KEYS = 1024


class Windows:
    """Sliding windows by key."""

    def __init__(self, max_keys: int = MAX_KEYS) -> None:
        self._max_keys = max_keys
        self._times: OrderedDict[Key, list[float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._times)

    def add(self, key: Key, at: float, count: int, window_seconds: float) -> int:
        """Note one event; how many, up to `count`, the window now holds.

        Processes write their records a little out of order, so the window ends at the latest time, not at this one.
        What is noted has just come, so if it lies before the whole window, the clock was set back: it begins anew.
        """
        times = sorted((*self._times.get(key, ()), at)) if self._reaches(key, at, window_seconds) else [at]
        self._times[key] = times = [time for time in times[-count:] if time >= times[-1] - window_seconds]
        self._times.move_to_end(key)
        while len(self._times) > self._max_keys:
            self._times.popitem(last=False)
        return len(times)

    def warm(self, key: Key, at: float, count: int, window_seconds: float) -> None:
        """Note an event that is found late; one that lies before the window is of no interest."""
        if self._reaches(key, at, window_seconds):
            self.add(key, at, count, window_seconds)

    def adjust(self, fix: Fix) -> None:
        """The clock was set: correct every time."""
        for times in self._times.values():
            times[:] = map(fix, times)

    def clear(self, server: str, rule: str) -> None:
        """Begin anew: what was counted has become an incident."""
        for key in [key for key in self._times if key[:2] == (server, rule)]:
            del self._times[key]

    def remember(self) -> list[tuple[Key, list[float]]]:
        """Everything, for after a restart."""
        return [(key, list(times)) for key, times in self._times.items()]

    def restore(self, memory: list[tuple[list[str], list[float]]]) -> None:
        """Take over what an earlier process remembered."""
        for (server, rule, group), times in memory:
            self._times[(server, rule, group)] = list(times)

    def _reaches(self, key: Key, at: float, window_seconds: float) -> bool:
        known = self._times.get(key)
        return not known or at >= known[-1] - window_seconds
