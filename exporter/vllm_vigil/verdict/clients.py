"""The connections on a server's port, look by look -> how many clients wait there, and since when without a break.

Some connections carry no request: a scraper that asks every few seconds, the pool of a gateway. They are there also
when the engines rest. The fewest of a usual minute of rest are taken for such and counted off; a minute counts only if
the engines rested in all of it, so that clients who wait before a wedged engine are not mistaken for a pool.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

MINUTE_SECONDS = 60.0
MINUTES = 10


@dataclass(slots=True)
class Clients:
    """`waiting` is None where connections cannot be seen. Times are seconds watched; `at` is that of the last look."""

    waiting: int | None = None
    since: float | None = None
    at: float = 0.0
    _resting_since: float | None = None
    _fewest: float = 0.0
    _minutes: deque[float] = field(default_factory=lambda: deque(maxlen=MINUTES))

    @property
    def background(self) -> int:
        """Connections that are there at rest too: the middle of the last minutes, for a restart empties a pool."""
        return int(sorted(self._minutes)[(len(self._minutes) - 1) // 2]) if self._minutes else 0

    def look(self, connections: float | None, now: float, *, resting: bool) -> None:
        """Take in what a look found connected, and whether the engines rest."""
        self.at = now
        if connections is None:
            self.waiting = self.since = None
            return
        self._learn(connections, now, resting=resting)
        self.waiting = max(0, int(connections) - self.background)
        if not self.waiting:
            self.since = None
        elif self.since is None:
            self.since = now

    def waited(self, moved_at: float) -> float:
        """Seconds for which somebody has waited without a break since that time, up to the last look."""
        return max(0.0, self.at - max(self.since, moved_at)) if self.since is not None else 0.0

    def _learn(self, connections: float, now: float, *, resting: bool) -> None:
        if not resting:
            self._resting_since = None
        elif self._resting_since is None:
            self._resting_since, self._fewest = now, connections
        else:
            self._fewest = min(self._fewest, connections)
            if now - self._resting_since >= MINUTE_SECONDS:
                self._minutes.append(self._fewest)
                self._resting_since, self._fewest = now, connections
