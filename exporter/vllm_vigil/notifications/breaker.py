"""How the attempts of one channel ended -> whether it may be tried now. Pure; times are monotonic.

After five failures in a row the channel is left alone, longer each time, and then tried with one message: while Slack
is down, a hundred pages that wait make one request in five minutes and not a hundred.
"""

from __future__ import annotations

from collections.abc import Callable

FIRST_SECONDS = 5.0
LAST_SECONDS = 300.0
SHORTEST_SECONDS = 1.0
FAILURES = 5


def backoff_seconds(failures: int, jitter: float) -> float:
    """Full jitter: anything up to a bound that doubles, so that many senders do not come back together.

    `failures` is how many there were, the last included; `jitter` is from 0 to 1.
    """
    bound = min(LAST_SECONDS, FIRST_SECONDS * 2.0 ** min(failures - 1, 10))
    return max(SHORTEST_SECONDS, bound * jitter)


class Breaker:
    """Closed, or open until a time, or half open: past that time, with one attempt to find out."""

    def __init__(self, jitter: Callable[[], float]) -> None:
        self._jitter = jitter
        self._failures = 0
        self._until = 0.0

    @property
    def open(self) -> bool:
        """Whether the channel has failed too often to be trusted."""
        return self._failures >= FAILURES

    def hold_seconds(self, now: float) -> float:
        """For how long the channel is to be left alone yet."""
        return max(0.0, self._until - now)

    def answered(self) -> None:
        """The channel took a message, or refused one as somebody who is there."""
        self._failures, self._until = 0, 0.0

    def failed(self, now: float, wait_seconds: float) -> None:
        """It did not; `wait_seconds` is what it asked for, 0 if nothing."""
        self._failures += 1
        if self.open:
            wait_seconds = max(wait_seconds, backoff_seconds(self._failures, self._jitter()))
        self._until = max(self._until, now + wait_seconds) if wait_seconds else self._until
