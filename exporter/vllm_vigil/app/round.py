"""One configuration -> both halves and the senders at work, from the first reading to the last commit.

A reload ends one round and begins the next on the same store, so that there is one way in which parts are made, and
what must outlive them stands in the store.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable

from vllm_vigil.app.alert_half import AlertHalf, Parts
from vllm_vigil.app.metrics_half import MetricsHalf
from vllm_vigil.clock import Clock
from vllm_vigil.config.settings import Config
from vllm_vigil.events.detector import Detector
from vllm_vigil.events.patterns import PATTERNS, user_rows
from vllm_vigil.events.record import Joiner
from vllm_vigil.incidents.lifecycle import Incidents
from vllm_vigil.incidents.rules import Rule, merge
from vllm_vigil.lines.reader import Reader
from vllm_vigil.lines.wake import Watch
from vllm_vigil.model import Finding, Notification
from vllm_vigil.notifications.channel import Channel
from vllm_vigil.notifications.message import Message, compose
from vllm_vigil.notifications.outbox import Outbox
from vllm_vigil.notifications.sender import Sender
from vllm_vigil.sources.nvml import Nvml
from vllm_vigil.sources.sampler import Sampler
from vllm_vigil.sources.vllm import Vllm
from vllm_vigil.state.store import Store
from vllm_vigil.telemetry import Telemetry
from vllm_vigil.verdict.gpu import GpuVerdict
from vllm_vigil.verdict.judge import Judgement, Thresholds, Verdict

LAST_SECONDS = 2.0


class Round:
    """The parts, made for one configuration and wired."""

    def __init__(self, config: Config, store: Store, clock: Clock, telemetry: Telemetry) -> None:
        self.config = config
        self._telemetry = telemetry
        self.store = store
        self.rules = merge(config.rules)
        self.incidents = Incidents(self.rules)
        self.reader = Reader(
            {server.server: server.logs for server in config.vllm}, store.positions(), telemetry, clock
        )
        self.senders = {name: self._sender(name, clock, telemetry) for name in config.notify.channels}
        self._verdict = Verdict(_thresholds(self.rules))
        self.alerts = AlertHalf(_parts(self, telemetry, clock), clock, telemetry, hear=self._verdict.hear)
        samplers = list(_samplers(config, clock, telemetry))
        self.metrics = MetricsHalf(samplers, self._verdict, GpuVerdict(), clock, telemetry, told=self._told)
        self._watch = Watch((log.path for server in config.vllm for log in server.logs), self.alerts.wake)

    async def run(self) -> None:
        """Everything at once, until cancelled; a fault in any of them ends all."""
        self._watch.start()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.metrics.run())
                group.create_task(self.alerts.follow())
                for sender in self.senders.values():
                    group.create_task(sender.run())
        finally:
            self._watch.stop()

    async def close(self) -> None:
        """The last read and commit, and the last word on what is being sent, in bounded time."""
        finishing = [sender.finish(LAST_SECONDS) for sender in self.senders.values()]
        await asyncio.gather(self._last_read(), *finishing)
        for sampler in self.metrics.samplers:
            self._telemetry.source_gone(sampler.source.source, sampler.source.server)
        for followed in self.alerts.followed:
            self._telemetry.log_gone(followed.file)
        for name in self.senders:
            self._telemetry.channel_gone(name)

    async def _last_read(self) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.alerts.close(), LAST_SECONDS)

    def _told(self, findings: tuple[Finding, ...], judgement: Judgement) -> None:
        self.alerts.weigh(findings, judgement)

    def _sender(self, name: str, clock: Clock, telemetry: Telemetry) -> Sender:
        settings = self.config.notify

        def words(notification: Notification, now: float) -> Message:
            return compose(notification, now, self.remedy, evidence=settings.evidence)

        return Sender(Channel(name, settings.channels[name].url), self.store, clock, telemetry, words)

    def remedy(self, rule: str) -> str:
        """The first thing to do about an incident of that rule, "" if nothing is written."""
        found = self.rules.get(rule)
        return found.remedy if found else ""

    def wake(self, channel: str) -> None:
        """Something was queued for a channel."""
        self.senders[channel].wake()


def _parts(round_: Round, telemetry: Telemetry, clock: Clock) -> Parts:
    """The rooms of the alert half, with what the store remembers."""
    store, config = round_.store, round_.config
    joiner = Joiner(telemetry, clock)
    joiner.restore(store.memory("records"))
    round_.incidents.restore(store.memory("incidents"), store.open_incidents())
    detector = Detector((*user_rows(config.patterns), *PATTERNS))
    telemetry.events_known(detector.kinds)
    telemetry.rules_known(round_.rules)
    telemetry.channels_known(config.notify.channels)
    telemetry.incidents_open(round_.incidents.open())
    outbox = Outbox(store, config.notify, clock, round_.wake)
    return Parts(round_.reader, joiner, detector, round_.incidents, outbox, store)


def _samplers(config: Config, clock: Clock, telemetry: Telemetry) -> Iterable[Sampler]:
    for server in config.vllm:
        yield Sampler(Vllm(server, clock), server.interval, server.stale_after, clock, telemetry)
    if config.gpu.enabled:
        yield Sampler(Nvml(config.gpu, clock), config.gpu.interval, config.gpu.stale_after, clock, telemetry)


def _thresholds(rules: dict[str, Rule]) -> Thresholds:
    return Thresholds(
        stalled_for_seconds=rules["engine_stalled"].window, unreachable_for_seconds=rules["server_unreachable"].window
    )
