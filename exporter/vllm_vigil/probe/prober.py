"""One watched server, asked for a token when its signs disagree or on schedule -> what the verdict and /metrics learn.

Promise: never more than one request is on its way to a server, and none begins sooner than `at_most_every` after the
last probe began. Of what is asked and answered nothing is kept, logged or exported but how it ended and how long it
took; a suite's failures are told by the names of prompt and check.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable

from loguru import logger

from vllm_vigil.clock import Clock
from vllm_vigil.endpoint import Endpoint, words
from vllm_vigil.model import Point, Series, Snapshot, labels
from vllm_vigil.probe.answer import Answer, Outcome, Proven
from vllm_vigil.probe.checks import unmet
from vllm_vigil.probe.question import Question
from vllm_vigil.probe.request import Server, entered
from vllm_vigil.probe.schedule import Occasion, Schedule
from vllm_vigil.probe.settings import ProbeSettings
from vllm_vigil.probe.suite import Suite
from vllm_vigil.series.probe import DURATION, FIRST_TOKEN, REQUESTS, SUCCESS


class Prober:
    """Asks one server. `consider` is called on every tick; `run` asks when that found a reason. `rounds` are over."""

    def __init__(
        self,
        endpoint: Endpoint,
        settings: ProbeSettings,
        clock: Clock,
        tell: Callable[[Proven], None],
    ) -> None:
        self.server = endpoint.server
        self.rounds = 0
        self._endpoint = endpoint
        self._settings = settings
        self._clock = clock
        self._tell = tell
        self._schedule = Schedule(settings)
        self._wanted: asyncio.Queue[Occasion] = asyncio.Queue(maxsize=1)
        self._busy = False
        self._counts: Counter[Outcome] = Counter(dict.fromkeys(Outcome, 0))
        self._last: Answer | None = None
        self._shown: tuple[Answer, bool] | None = None
        self._trouble = ""

    def consider(self, *, doubted: bool, serving: bool) -> None:
        """See whether to ask now: in doubt; while it serves, when it is time, or when the last had no good end."""
        if self._busy or self._wanted.full():
            return
        failed = self._shown is not None and not self._shown[1]
        occasion = self._schedule.due(self._clock.monotonic(), doubted=doubted, serving=serving, failed=failed)
        if occasion is not None:
            self._wanted.put_nowait(occasion)

    async def run(self) -> None:
        """Ask whenever there is a reason, until cancelled."""
        while True:
            occasion = await self._wanted.get()
            self._busy = True
            try:
                await self._probe(occasion)
            finally:
                self._busy = False
            self.rounds += 1

    def snapshot(self) -> Snapshot:
        """The counter from the start, the rest from the first probe on."""
        which = labels(server=self.server)
        counts = [Point(labels(server=self.server, outcome=each), float(n)) for each, n in self._counts.items()]
        found = [Series(REQUESTS.name, tuple(counts))]
        if self._shown is not None:
            answer, good = self._shown
            values = {
                SUCCESS: float(good),
                FIRST_TOKEN: answer.first_token_seconds,
                DURATION: answer.duration_seconds,
            }
            found += [Series(spec.name, (Point(which, v),)) for spec, v in values.items() if v is not None]
        return Snapshot({series.name: series for series in found})

    async def _probe(self, occasion: Occasion) -> None:
        """One round: a token, or on schedule the suite if there is one."""
        suite = self._settings.suite if occasion is Occasion.CANARY else None
        try:
            async with entered(self._endpoint, self._clock) as server:
                wrong = [each async for each in self._round(server, suite)]
        except OSError as error:
            wrong = [f"cannot use ca_file {self._endpoint.ca_file}: {words(error)}"]
            self._count(Answer(Outcome.FAILED, 0.0), good=False, began=None)
        trouble = next(filter(None, wrong), "")
        if self._last is not None:
            self._shown = (self._last, not trouble)
        self._say(trouble)

    async def _round(self, server: Server, suite: Suite | None) -> AsyncIterator[str]:
        """Ask; for each request what was wrong with it, "" if nothing was."""
        settings, began = self._settings, self._clock.wall()
        timeout = suite.timeout if suite else settings.timeout
        model = (suite and suite.model) or settings.model or await server.model(timeout)
        if isinstance(model, Answer):
            self._count(model, good=False, began=began)
            yield model.error
            return
        token = Question(api=settings.api, timeout_seconds=timeout)
        names = suite.prompts if suite else ("",)
        for name in names:
            began = self._clock.wall()
            answer = await server.ask(suite.question(name) if suite else token, model)
            missed = unmet(answer, suite.prompts[name]) if suite and answer.outcome is Outcome.OK else ()
            self._count(answer, good=answer.outcome is Outcome.OK and not missed, began=began)
            yield f"{name}: {', '.join(each.check for each in missed)} not met" if missed else answer.error

    def _count(self, answer: Answer, *, good: bool, began: float | None) -> None:
        """Keep how a request ended, and tell the verdict what it says of the engine."""
        wrong = answer.outcome is Outcome.OK and not good
        self._counts[Outcome.FAILED if wrong else answer.outcome] += 1
        self._last = answer
        if began is not None and answer.outcome is not Outcome.REFUSED:
            self._tell(Proven(self.server, answer.outcome is Outcome.OK, began, answer.error))

    def _say(self, trouble: str) -> None:
        """Say what is wrong once, when it changes, and when it is over."""
        if trouble and trouble != self._trouble:
            logger.warning("the probe of {} came to no good end: {}", self.server, trouble)
        elif self._trouble and not trouble:
            logger.info("the probe of {} comes to a good end again", self.server)
        self._trouble = trouble
