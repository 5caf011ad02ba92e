"""The rows of one channel -> attempts, until each is delivered or refused for good. One task and thread per channel.

Promise: at least once, and the rows of one incident in their order. What is written after an attempt is all that
is remembered: killed in between, the row is sent again under the same key. A channel that hangs or fails delays no
other, and one incident's row in backoff does not delay the rows of other incidents.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from functools import partial
from typing import Protocol

from loguru import logger

from vllm_vigil.clock import Clock, Waker
from vllm_vigil.model import Delivery, Notification, Outcome
from vllm_vigil.notifications.channel import Attempt
from vllm_vigil.notifications.message import Message
from vllm_vigil.state.store import Store
from vllm_vigil.telemetry import Telemetry
from vllm_vigil.worker import Worker

DEADLINE_SECONDS = 20.0
"""More than the channel's own timeouts, which end an attempt knowing more about it."""
FIRST_BACKOFF_SECONDS = 5.0
LAST_BACKOFF_SECONDS = 300.0
SHORTEST_BACKOFF_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 15.0
"""How old the exported age of the backlog may get."""


class Channel(Protocol):
    """What can send: blocking, in the sender's own thread."""

    @property
    def name(self) -> str:
        """The configured name."""

    def send(self, message: Message, key: str) -> Attempt:
        """One attempt."""


class Sender:
    """Sends what waits for one channel.

    `compose` makes the words of a notification at a time (epoch seconds); `jitter` gives numbers from 0 to 1.
    """

    def __init__(
        self,
        channel: Channel,
        store: Store,
        clock: Clock,
        telemetry: Telemetry,
        compose: Callable[[Notification, float], Message],
        *,
        deadline_seconds: float = DEADLINE_SECONDS,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._channel = channel
        self._store = store
        self._clock = clock
        self._telemetry = telemetry
        self._compose = compose
        self._deadline_seconds = deadline_seconds
        self._jitter = jitter
        self._waker = Waker(clock)
        self._worker = Worker(f"send {channel.name}")
        self._under_way: asyncio.Future[None] | None = None
        self._trouble = ""

    def wake(self) -> None:
        """Something was queued for the channel."""
        self._waker.wake()

    async def run(self) -> None:
        """Send until cancelled, which takes effect at once: an attempt under way goes on, for `finish` to wait for."""
        while True:
            self._report_backlog()
            # a call that outlived its deadline still holds the thread: nothing can be begun before it comes back
            row = None if self._worker.busy else self._due()
            if row is None:
                await self._waker.wait(self._pause_seconds())
            else:
                self._under_way = asyncio.ensure_future(self._deliver(row))
                await asyncio.shield(self._under_way)

    async def finish(self, seconds: float) -> None:
        """Once `run` was cancelled: give the attempt under way so long to end and be written down.

        Without that it would be made again at the next start. One that hangs is left to its daemon thread.
        """
        if self._under_way is not None:
            await asyncio.wait({self._under_way}, timeout=seconds)
            self._under_way.cancel()

    async def _deliver(self, row: Notification) -> None:
        self._settle(await self._attempt(row))

    def _due(self) -> Notification | None:
        return self._store.due(self._channel.name, self._clock.wall(), LAST_BACKOFF_SECONDS)

    async def _attempt(self, row: Notification) -> Delivery:
        """One delivery, whatever happens in it."""
        begun = self._clock.monotonic()
        try:
            call = partial(self._channel.send, self._compose(row, self._clock.wall()), row.incident.key)
            attempt = await self._worker.run(call, self._deadline_seconds)
        except TimeoutError:
            attempt = Attempt(Outcome.UNKNOWN, f"no answer in {self._deadline_seconds:g} s; it may have arrived")
        except Exception as error:  # one delivery; its text may quote an address, so only its type is told
            attempt = Attempt(Outcome.RETRY, f"failed with {type(error).__name__}")
        return Delivery(row, attempt.outcome, attempt.detail, self._clock.monotonic() - begun)

    def _settle(self, delivery: Delivery) -> None:
        """Write down how the attempt ended, then say so."""
        row, now = delivery.notification, self._clock.wall()
        ended = delivery.outcome in (Outcome.DELIVERED, Outcome.PERMANENT)
        with self._store.transaction():
            if ended:
                self._store.end(row.id, now, delivery.outcome, delivery.detail)
            else:
                next_at = now + self._backoff_seconds(row.attempts)
                self._store.postpone(row.id, next_at, delivery.outcome, delivery.detail)
        self._telemetry.attempted(self._channel.name, delivery.outcome)
        self._tell(delivery)

    def _backoff_seconds(self, attempts: int) -> float:
        """Full jitter: anything up to a bound that doubles, so that many senders do not come back together."""
        bound = min(LAST_BACKOFF_SECONDS, FIRST_BACKOFF_SECONDS * 2.0 ** min(attempts, 10))
        return max(SHORTEST_BACKOFF_SECONDS, bound * self._jitter())

    def _pause_seconds(self) -> float:
        next_at = self._store.next_due(self._channel.name)
        if next_at is None or self._worker.busy:
            return LONGEST_PAUSE_SECONDS
        return min(max(next_at - self._clock.wall(), 0.0), LONGEST_PAUSE_SECONDS)

    def _report_backlog(self) -> None:
        pending, oldest = self._store.backlog(self._channel.name)
        age_seconds = 0.0 if oldest is None else max(0.0, self._clock.wall() - oldest)
        self._telemetry.outbox(self._channel.name, pending=pending, oldest_seconds=age_seconds)

    def _tell(self, delivery: Delivery) -> None:
        """A lost page each time; trouble that goes on once, when it changes, and when it is over."""
        name, row = self._channel.name, delivery.notification
        if delivery.outcome is Outcome.PERMANENT:
            logger.error(
                "channel {}: the {} message on {} will not be delivered: {}; mend the channel's address or rights",
                name, row.reason, row.incident.key, delivery.detail,
            )  # fmt: skip
        elif delivery.outcome is Outcome.DELIVERED:
            logger.info("channel {}: delivered the {} message on {}", name, row.reason, row.incident.key)
            if self._trouble:
                logger.info("channel {}: delivers again", name)
        elif delivery.detail != self._trouble:
            logger.warning("channel {}: cannot deliver now, will go on trying: {}", name, delivery.detail)
        self._trouble = "" if delivery.outcome is Outcome.DELIVERED else delivery.detail
