"""The pager is proven on schedule: a marked test for each channel, as an outbox row like any page.

Promise: a test goes the whole way, outbox, sender, provider. When the last was queued is written with its rows, so
that a restart neither repeats nor skips one. While a channel is down one test waits for it, and not one for each day.
Silences and budgets are not asked: what is proven is the way, and one message a day is no noise.
"""

from __future__ import annotations

from collections.abc import Callable

from vllm_vigil.clock import Clock
from vllm_vigil.model import Incident, IncidentState, Notification, Reason, Severity
from vllm_vigil.notifications.settings import NotifySettings
from vllm_vigil.state.store import Store
from vllm_vigil.telemetry import Telemetry

LOOK_SECONDS = 60.0
"""How late a test may be: the wall clock may be set, so it is looked at and not slept through."""


def trial(key: str, now: float) -> Incident:
    """What a test tells of: nothing is wrong."""
    title = "This is a test of vllm-vigil; nothing is wrong"
    return Incident(key, "test", "", Severity.INFO, IncidentState.OPEN, title, now, now)


class Proof:
    """Queues the tests; `wake` is called with the channel of each, for its sender to look."""

    def __init__(
        self, store: Store, settings: NotifySettings, clock: Clock, telemetry: Telemetry, wake: Callable[[str], None]
    ) -> None:
        self._store = store
        self._every_seconds = settings.proof.every
        self._channels = (settings.proof.channels or tuple(settings.channels)) if settings.proof.every else ()
        self._clock = clock
        self._telemetry = telemetry
        self._wake = wake

    async def run(self) -> None:
        """Test when it is due, until cancelled; return at once if that is off."""
        if self._every_seconds is None:
            return
        for channel in self._channels:
            self._telemetry.channel_proven(channel, self._every_seconds)
        while True:
            self.test()
            await self._clock.sleep(LOOK_SECONDS)

    def test(self) -> None:
        """Queue a test for every channel that is due one. A clock that was set back makes it due too."""
        now = self._clock.wall()
        due = [channel for channel in self._channels if self._due(channel, now)]
        if not due:
            return
        with self._store.transaction():
            for channel in due:
                self._store.remember(_memory(channel), repr(now))
                if not self._waits(channel):
                    incident = trial(f"vigil-test-{int(now)}", now)
                    self._store.rows.queue(Notification(channel, Reason.TEST, incident), now)
        for channel in due:
            self._wake(channel)

    def _due(self, channel: str, now: float) -> bool:
        last = self._store.memory(_memory(channel))
        return last is None or not 0 <= now - float(last) < (self._every_seconds or 0.0)

    def _waits(self, channel: str) -> bool:
        """Whether the last test has not gone out yet."""
        return any(row.reason is Reason.TEST for row, _ in self._store.rows.waiting(channel))


def _memory(channel: str) -> str:
    return f"proof {channel}"
