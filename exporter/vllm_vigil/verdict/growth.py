"""Memory seen once a minute -> how fast it grows, over hours. Pure; bounded memory.

The window is cut into parts of equal length, each part stands for its median, and the growth is the median of the
steps from part to part. A leak moves every part; a batch larger than all before it makes one step, which the median
leaves out, where a straight line through all readings would call it a leak.
"""

from __future__ import annotations

from array import array
from itertools import pairwise
from statistics import median

EVERY_SECONDS = 60.0
WINDOW_SECONDS = 4 * 3600.0
LEAST_SECONDS = 3600.0
WARM_UP_SECONDS = 600.0
"""After its start a server still takes what it will keep: graphs, workspaces, caches of its tokenizer."""
PARTS = 7


class Growth:
    """The last hours of one server's memory, of one kind."""

    def __init__(self) -> None:
        self._times = array("d")
        self._values = array("d")
        self._began: float | None = None

    def clear(self) -> None:
        """Begin anew: the processes did, or were put to sleep."""
        del self._times[:], self._values[:]
        self._began = None

    def note(self, value: float, now: float) -> None:
        """One more reading; those that come before a minute is over, or while it warms up, are left out."""
        if self._began is None or now < self._began:
            self.clear()
            self._began = now
        if now - self._began < WARM_UP_SECONDS or (self._times and now - self._times[-1] < EVERY_SECONDS):
            return
        self._times.append(now)
        self._values.append(value)
        while self._times[0] < now - WINDOW_SECONDS:
            del self._times[0], self._values[0]

    def bytes_per_second(self) -> float | None:
        """The growth, below 0 if it shrinks; None until an hour was seen, or while a part of the window is empty."""
        if not self._times or self._times[-1] - self._times[0] < LEAST_SECONDS:
            return None
        begins, part = self._times[0], (self._times[-1] - self._times[0]) / PARTS
        parts: list[list[float]] = [[] for _ in range(PARTS)]
        for at, value in zip(self._times, self._values, strict=True):
            parts[min(PARTS - 1, int((at - begins) / part))].append(value)
        if not all(parts):
            return None
        middles = [median(each) for each in parts]
        return median(after - before for before, after in pairwise(middles)) / part
