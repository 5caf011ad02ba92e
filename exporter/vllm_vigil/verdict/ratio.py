"""Two counters -> how many of the one came for each of the other, over the last minutes. Pure; bounded memory."""

from __future__ import annotations

from collections import deque

WINDOW_SECONDS = 300.0
LEAST_SECONDS = 60.0


class Rise:
    """What has been added to one counter, over its resets."""

    def __init__(self) -> None:
        self.total = 0.0
        self._last: float | None = None

    def note(self, value: float) -> None:
        """A lower value has begun anew from 0; the first one says nothing of what was before."""
        if self._last is not None:
            self.total += value - self._last if value >= self._last else value
        self._last = value


class Preemptions:
    """One engine's preemptions and finished requests."""

    def __init__(self) -> None:
        self._preempted = Rise()
        self._finished = Rise()
        self._seen: deque[tuple[float, float, float]] = deque()

    def note(self, preempted: float, finished: float, now: float) -> None:
        """One more reading of both. After a gap longer than the window nothing is known of the last minutes."""
        if self._seen and not 0 <= now - self._seen[-1][0] <= WINDOW_SECONDS:
            self._seen.clear()
        self._preempted.note(preempted)
        self._finished.note(finished)
        self._seen.append((now, self._preempted.total, self._finished.total))
        while self._seen[0][0] < now - WINDOW_SECONDS:
            self._seen.popleft()

    def ratio(self) -> float | None:
        """Preemptions for each finished request; None without either, or before a minute was seen.

        Where none finished, as if one had: the true ratio is higher than that, and such an engine only thrashes.
        """
        if not self._seen or self._seen[-1][0] - self._seen[0][0] < LEAST_SECONDS:
            return None
        preempted = self._seen[-1][1] - self._seen[0][1]
        finished = self._seen[-1][2] - self._seen[0][2]
        return preempted / max(1.0, finished) if preempted or finished else None
