"""The wall clock, tick by tick -> the seconds that we have watched, in which all durations of the verdict are counted.

A sidecar that was stopped, a machine that was suspended and a clock that was set have seen nothing meanwhile: an
engine that shows the same numbers as before has not stood still for that long, for all we know.
"""

from __future__ import annotations

LONGEST_TICK_SECONDS = 5.0


class Watched:
    """Seconds since the first tick. What lies between two ticks counts up to `LONGEST_TICK_SECONDS`, and never back."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._last: float | None = None

    def tick(self, wall: float) -> float:
        """The seconds watched by this tick, at that wall time."""
        if self._last is not None:
            self.seconds += min(max(wall - self._last, 0.0), LONGEST_TICK_SECONDS)
        self._last = wall
        return self.seconds

    def at(self, wall: float) -> float:
        """The seconds watched at a wall time not long ago."""
        return self.seconds - max(0.0, (self._last or wall) - wall)
