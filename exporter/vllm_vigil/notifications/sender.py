"""The rows of one channel -> attempts, until each is delivered or refused for good. One task and thread per channel.

Promise: at least once, and the rows of one incident in their order. What is written after an attempt is all that
is remembered: killed in between, the row is sent again under the same key. A channel that hangs or fails delays no
other, and one incident's row in backoff does not delay the rows of other incidents, until the channel fails for all
of them (`breaker`). A call that does not come back long after its deadline is left to its thread, for a new one.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Protocol

from loguru import logger

from vllm_vigil.clock import Clock, Waker
from vllm_vigil.model import Delivery, Notification, Outcome, Reason
from vllm_vigil.notifications import digest
from vllm_vigil.notifications.breaker import LAST_SECONDS, Breaker, backoff_seconds
from vllm_vigil.notifications.channel import Attempt
from vllm_vigil.notifications.message import Message
from vllm_vigil.state.store import Store
from vllm_vigil.telemetry import Telemetry
from vllm_vigil.worker import Worker

DEADLINE_SECONDS = 20.0
"""More than the channel's own timeouts, which end an attempt knowing more about it."""
ABANDON_SECONDS = 60.0
"""After the deadline; a provider that drips a byte a second may hold a call for hours."""
ABANDONED_CALLS = 3
"""As many threads of a channel may be held so; then it waits for one of them."""
LONGEST_PAUSE_SECONDS = 15.0
"""How old the exported age of the backlog may get."""


Picture = Callable[[Notification], Awaitable[Path | None]]
ENDS = frozenset({Outcome.DELIVERED, Outcome.PERMANENT})


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
    `report` is called inside the transaction that writes that a message was refused for good. `picture` gives what is
    to go with a message, if it is there in time: how long that may take is its promise, as a page waits for it.
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
        report: Callable[[Delivery], None] = lambda _: None,
    ) -> None:
        self._channel = channel
        self._store = store
        self._clock = clock
        self._telemetry = telemetry
        self._compose = compose
        self._deadline_seconds = deadline_seconds
        self._jitter = jitter
        self._report = report
        self.picture: Picture | None = None
        self._breaker = Breaker(jitter)
        self._waker = Waker(clock)
        self._worker = Worker(f"send {channel.name}")
        self._stuck_since: float | None = None
        self._abandoned: list[Worker] = []
        self._under_way: asyncio.Future[None] | None = None
        self._trouble = ""

    def wake(self) -> None:
        """Something was queued for the channel."""
        self._waker.wake()

    async def run(self) -> None:
        """Send until cancelled, which takes effect at once: an attempt under way goes on, for `finish` to wait for."""
        digest.fold(self._store, self._channel.name, self._clock.wall())
        while True:
            self._report_backlog()
            row = self._next()
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

    def _next(self) -> Notification | None:
        """What is to be sent now: the oldest that is due; of a channel that failed, the oldest to find out."""
        name, now = self._channel.name, self._clock.wall()
        digest.write(self._store, name, now)
        if not self._free() or self._breaker.hold_seconds(self._clock.monotonic()):
            return None
        row = self._store.rows.oldest(name) if self._breaker.open else self._store.rows.due(name, now, LAST_SECONDS)
        if row and row.reason is Reason.RESOLVED and not self._store.rows.heard(row.incident.key, name):
            return replace(row, reason=Reason.PASSED)
        return row

    def _free(self) -> bool:
        """Whether a call can be begun: the last has come back, or is given up for a thread of its own."""
        if not self._worker.busy:
            self._stuck_since = None
            return True
        now = self._clock.monotonic()
        self._stuck_since = now if self._stuck_since is None else self._stuck_since
        self._abandoned = [worker for worker in self._abandoned if worker.busy]
        if now - self._stuck_since < ABANDON_SECONDS or len(self._abandoned) >= ABANDONED_CALLS:
            return False
        logger.warning("channel {}: a call has not come back; going on without it", self._channel.name)
        self._abandoned.append(self._worker)
        self._worker, self._stuck_since = Worker(self._worker.name), None
        return True

    async def _attempt(self, row: Notification) -> Delivery:
        """One delivery, whatever happens in it."""
        begun = self._clock.monotonic()
        try:
            message = self._compose(row, self._clock.wall())
            if self.picture is not None:
                message = replace(message, picture=await self.picture(row))
            call = partial(self._channel.send, message, row.incident.key)
            attempt = await self._worker.run(call, self._deadline_seconds)
        except TimeoutError:
            attempt = Attempt(Outcome.UNKNOWN, f"no answer in {self._deadline_seconds:g} s; it may have arrived")
        except Exception as error:  # one delivery; its text may quote an address, so only its type is told
            attempt = Attempt(Outcome.RETRY, f"failed with {type(error).__name__}")
        took = self._clock.monotonic() - begun
        return Delivery(row, attempt.outcome, attempt.detail, took, attempt.wait_seconds)

    def _settle(self, delivery: Delivery) -> None:
        """Write down how the attempt ended, then say so."""
        row, now = delivery.notification, self._clock.wall()
        with self._store.transaction():
            if delivery.outcome in ENDS:
                self._store.rows.end(row.id, now, delivery.outcome, delivery.detail)
            else:
                backoff = backoff_seconds(row.attempts + 1, self._jitter())
                next_at = now + max(backoff, delivery.wait_seconds)
                self._store.rows.postpone(row.id, next_at, delivery.outcome, delivery.detail)
            if delivery.outcome is Outcome.PERMANENT:
                self._report(delivery)
        self._learn(delivery)
        self._telemetry.attempted(self._channel.name, delivery.outcome)
        self._tell(delivery)

    def _learn(self, delivery: Delivery) -> None:
        """Trust the channel more or less; when it answers again, all that waits is due, oldest first."""
        name = self._channel.name
        if delivery.outcome not in ENDS:
            self._breaker.failed(self._clock.monotonic(), delivery.wait_seconds)
        elif self._breaker.open:
            self._breaker.answered()
            digest.fold(self._store, name, self._clock.wall())
            with self._store.transaction():
                self._store.rows.hurry(name, self._clock.wall())
        else:
            self._breaker.answered()
        self._telemetry.channel_breaker(name, is_open=self._breaker.open)

    def _pause_seconds(self) -> float:
        next_at = self._store.rows.next_due(self._channel.name)
        if next_at is None or self._worker.busy:
            return LONGEST_PAUSE_SECONDS
        hold = self._breaker.hold_seconds(self._clock.monotonic())
        due = hold if self._breaker.open else max(hold, next_at - self._clock.wall())
        return min(max(due, 0.0), LONGEST_PAUSE_SECONDS)

    def _report_backlog(self) -> None:
        pending, oldest = self._store.rows.backlog(self._channel.name)
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
