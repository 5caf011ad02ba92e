"""A counter, tick by tick -> its increase a second over a window, through resets and gaps.

What a counter shows less than before, it has counted since a reset. Nothing is said before the window is covered: the
first value of a counter is no increase, and half a window would make a rate of one event.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from vllm_vigil.model import Labels
from vllm_vigil.verdict.ratio import Rise

STEPS = 60
"""Into so many parts a window is divided: what is kept of a counter is bounded, however long the window."""
COVERED = 0.9


@dataclass(slots=True)
class _Counted:
    """One counter: what has been added to it since it was first seen, and how much that was at moments of the past."""

    at: float
    rise: Rise = field(default_factory=Rise)
    past: deque[tuple[float, float]] = field(default_factory=deque)


class Rates:
    """The rates of all label sets of a series over one window."""

    def __init__(self, window_seconds: float) -> None:
        self._window = window_seconds
        self._counters: dict[Labels, _Counted] = {}

    def take(self, which: Labels, value: float, now: float) -> float | None:
        """The increase a second up to this value, or None while the window is not covered."""
        counted = self._counters.get(which)
        if counted is None or now < counted.at:  # new, or the clock was set back
            counted = self._counters[which] = _Counted(now, past=deque([(now, 0.0)]))
        counted.rise.note(value)
        counted.at, past, total = now, counted.past, counted.rise.total
        if now - past[-1][0] >= self._window / STEPS:
            past.append((now, total))
        while len(past) > 1 and past[1][0] <= now - self._window:
            past.popleft()
        began, before = past[0]
        span = now - began
        return (total - before) / span if span >= COVERED * self._window else None

    def forget(self, now: float) -> None:
        """Drop what has not been seen for a whole window; a shorter gap, such as a restart, is bridged."""
        for which in [which for which, each in self._counters.items() if now - each.at > self._window]:
            del self._counters[which]
