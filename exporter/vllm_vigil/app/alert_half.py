"""Lines and findings -> events -> incidents -> outbox rows, each step in one transaction with the log positions.

With news for people the transaction is written at once; positions, and more of the same, at most once a second: to
commit takes longer than all the rest together. A kill anywhere therefore loses no incident: what was not
committed is read again, and gives the same key.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from functools import partial

from loguru import logger

from vllm_vigil.app.ledger import Ledger, Parts
from vllm_vigil.app.life_told import life_told
from vllm_vigil.app.rhythm import Rhythm
from vllm_vigil.clock import Clock, Steps
from vllm_vigil.incidents.alertmanager import Alert
from vllm_vigil.incidents.told import Taken
from vllm_vigil.lines.news import LOOK, News
from vllm_vigil.lines.reader import Batch
from vllm_vigil.lines.roll import Followed
from vllm_vigil.model import Event, Finding, Incident, IncidentState, Record
from vllm_vigil.telemetry import Telemetry
from vllm_vigil.verdict.judge import Judgement
from vllm_vigil.worker import Worker

READ_BYTES = 4 * 1024 * 1024
DISK_SECONDS = 30.0
KEEP_SECONDS = 1.0
RECORD_SECONDS = 0.5
HOUSEKEEPING_SECONDS = 3600.0
KEPT_SECONDS = 30 * 86_400.0


class AlertHalf:
    """Follows the logs and keeps the incidents. Used from the loop's thread only."""

    def __init__(
        self,
        parts: Parts,
        clock: Clock,
        telemetry: Telemetry,
        hear: Callable[[str, str, float], None],
        changed: Callable[[], None] = lambda: None,
        *,
        heard: Callable[[Record], None] = lambda _: None,
        opens: Callable[[Incident], None] = lambda _: None,
    ) -> None:
        self._parts = parts
        self._clock = clock
        self._telemetry = telemetry
        self._hear = hear
        self._heard = heard
        self._disk = Worker("disk")
        self._reading: asyncio.Future[Batch] | None = None
        self._saving: asyncio.Future[dict[str, str]] | None = None
        self._stuck = False
        self._ledger = Ledger(parts, clock, telemetry, changed, opens)
        self._rhythm = Rhythm(clock)
        self._steps = Steps(clock)
        self._batch = Batch((), more=False)
        self._kept = 0.0
        self._housekept = 0.0
        self.begun = False

    @property
    def followed(self) -> tuple[Followed, ...]:
        """How it stands with every log."""
        return self._batch.followed

    def wake(self) -> None:
        """Something about the files has changed: look now and not when the timer says so."""
        self._rhythm.wake()

    async def follow(self) -> None:
        """Read, judge, commit, for ever; once if there is nothing to follow."""
        self._rhythm.start()
        try:
            await self.step()
            while not self._parts.reader.blind:
                news = self._rhythm.listen(self._batch)
                if not await self.step(news):
                    await self._rhythm.rest(self._batch, soon=bool(self._parts.joiner.held()))
        finally:
            self._rhythm.stop()

    async def step(self, news: News = LOOK, *, last: bool = False) -> bool:
        """Read once and bring what was read to its end; tell whether more is waiting. `last` completes all records."""
        if self._saving is not None:
            await self._keep()  # begun by a step that was cancelled
        batch = await self._read(news)
        self.begun = True
        if batch is None:
            return False
        self._batch = batch
        now = self._clock.monotonic()
        records = [record for line in batch.lines for record in self._parts.joiner.feed(line)]
        records += self._parts.joiner.flush(0.0 if last else RECORD_SECONDS)
        for event in self._events(records):
            self._ledger.learn(self._parts.incidents.observe(event))
        if last or self._ledger.urgent or now - self._kept >= KEEP_SECONDS:
            self._kept = now
            await self._keep()
        return batch.more

    def weigh(self, findings: Iterable[Finding], judgement: Judgement) -> None:
        """Take in what the verdict saw, let time pass for the incidents, and send reminders that are due."""
        now = self._now()
        incidents, told = self._parts.incidents, self._parts.told
        changes = [change for finding in findings for change in incidents.weigh(finding, now)]
        changes += incidents.tick(now, judgement.serving_since)
        ended = told.tick(now)
        wishes = self._parts.store.wishes()
        for key in wishes:  # one that is over by now gives no change, and its wish is forgotten
            changes += incidents.resolve(key, now)
            ended += told.resolve(key, now)
        if self._ledger.tick(changes, ended, wishes):
            self._parts.outbox.repeat(self.open())
        else:
            self._rhythm.hurry()
        if now - self._housekept > HOUSEKEEPING_SECONDS:
            self._housekept = now
            with self._parts.store.transaction():
                self._parts.store.forget(now - KEPT_SECONDS)
        self._telemetry.state_writable(writable=self._parts.store.writable)

    def take(self, alerts: Iterable[Alert]) -> Taken:
        """Take in what Alertmanager tells; it outlives the process when this returns."""
        taken = self._parts.told.take(alerts, self._now())
        self._ledger.tell(taken.changes)
        for heard in taken.heard:
            self._telemetry.told(heard)
        return taken

    def open(self) -> list[Incident]:
        """What is wrong now, whoever found it, oldest first."""
        found = [*self._parts.incidents.open(), *self._parts.told.open()]
        return sorted(found, key=lambda incident: incident.opened)

    def resolved(self) -> list[Incident]:
        """The last few incidents that are over, newest first."""
        recent = self._parts.store.recent_incidents(20)
        return [incident for incident in recent if incident.state is IncidentState.RESOLVED]

    async def close(self) -> None:
        """Finish what was begun, read what is there, commit, and let go of the files."""
        while await self.step(last=True):
            pass
        self._parts.reader.close()

    async def _read(self, news: News) -> Batch | None:
        """What the files hold; None while the disk does not answer, which is said once.

        The call is not given up: what it hands out is handed out once. A step that is cancelled meanwhile leaves it
        to the next.
        """
        if self._reading is not None:
            self._rhythm.wake()  # what was told meanwhile is not in it
        else:
            self._reading = self._disk.begin(partial(self._parts.reader.read, READ_BYTES, news))
        done, _ = await asyncio.wait({self._reading}, timeout=DISK_SECONDS)
        if not done:
            self._tell_stuck(stuck=True)
            return None
        self._tell_stuck(stuck=False)
        reading, self._reading = self._reading, None
        return reading.result()

    def _tell_stuck(self, *, stuck: bool) -> None:
        if stuck and not self._stuck:
            logger.error("reading the logs has not come back for {:.0f} s: is their disk gone?", DISK_SECONDS)
        elif self._stuck and not stuck:
            logger.info("the logs can be read again")
        self._stuck = stuck

    def _events(self, records: Iterable[Record]) -> Iterator[Event]:
        now = self._now()
        for record in records:
            self._heard(record)
            at = now - record.late_seconds if record.old else now
            try:
                event = self._parts.detector.judge(record, at)
            except Exception as error:  # a record that breaks the detector must not hide the next
                logger.error("cannot judge a record of {} at byte {}: {!r}", record.file, record.offset, error)
                continue
            if event is None:
                continue
            if not record.old:  # what stood there before we came is no news for counters either
                self._telemetry.event_seen(event.kind)
            self._hear_of(event)
            yield event

    def _hear_of(self, event: Event) -> None:
        if life := life_told(event):
            self._hear(event.server, life, event.at)

    async def _keep(self) -> None:
        """Commit what is known, with the positions up to the first line that is not dealt with."""
        if self._saving is None:
            held = self._parts.joiner.held()
            self._saving = self._disk.begin(lambda: self._parts.reader.positions(held))
        positions = await asyncio.shield(self._saving)
        self._saving = None
        if positions or not self._ledger.empty:
            self._ledger.step(positions)

    def _now(self) -> float:
        """The wall time; if the clock was set meanwhile, all that is remembered has moved along."""
        if seconds := self._steps.taken():
            self._ledger.move(seconds)
        return self._clock.wall()
