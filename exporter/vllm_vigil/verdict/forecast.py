"""A level seen every few seconds -> when it reaches the top at the slope of the last minutes. Pure; bounded memory.

The slope is that of the least squares. It counts only if it stands clear of its own scatter and has come to something
within the window: requests that come and go make every cache breathe.
"""

from __future__ import annotations

import math
from collections import deque

WINDOW_SECONDS = 300.0
LEAST_SECONDS = 60.0
GAP_SECONDS = 60.0
LEAST_RISE = 0.02
FARTHEST_SECONDS = 3600.0
CLEAR_OF_SCATTER = 3.0
"""Standard errors; more than the usual two, because a cache's readings lean on each other."""


class Level:
    """The last minutes of one level."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, float]] = deque()

    def note(self, value: float, now: float) -> None:
        """One more reading, `now` in seconds of any one clock; what lies before a gap is forgotten."""
        if self._seen and not 0 < now - self._seen[-1][0] <= GAP_SECONDS:
            self._seen.clear()
        self._seen.append((now, value))
        while self._seen[0][0] < now - WINDOW_SECONDS:
            self._seen.popleft()

    def clear(self) -> None:
        """Begin anew: the engine did."""
        self._seen.clear()

    def seconds_to(self, top: float) -> float | None:
        """When it is at `top`, from its last reading on; None where it does not rise, or not soon enough to be told."""
        if len(self._seen) < 6 or self._seen[-1][0] - self._seen[0][0] < LEAST_SECONDS:
            return None
        slope, error = _slope(self._seen)
        span = self._seen[-1][0] - self._seen[0][0]
        if slope <= CLEAR_OF_SCATTER * error or slope * span < LEAST_RISE:
            return None
        seconds = max(0.0, top - self._seen[-1][1]) / slope
        return seconds if seconds <= FARTHEST_SECONDS else None


def _slope(seen: deque[tuple[float, float]]) -> tuple[float, float]:
    """Slope per second of the straight line through the readings, and its standard error."""
    count = len(seen)
    middle = sum(at for at, _ in seen) / count
    mean = sum(value for _, value in seen) / count
    square = sum((at - middle) ** 2 for at, _ in seen)
    slope = sum((at - middle) * (value - mean) for at, value in seen) / square
    left = sum((value - mean - slope * (at - middle)) ** 2 for at, value in seen)
    return slope, math.sqrt(left / (count - 2) / square)
