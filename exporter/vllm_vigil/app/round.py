"""One configuration -> both halves and the senders at work, from the first reading to the last commit.

A reload ends one round and begins the next on the same store, so that there is one way in which parts are made, and
what must outlive them stands in the store.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from vllm_vigil.app import wanted
from vllm_vigil.app.alert_half import AlertHalf
from vllm_vigil.app.ledger import Parts
from vllm_vigil.app.metrics_half import MetricsHalf, Verdicts
from vllm_vigil.app.numbers import numbers
from vllm_vigil.app.surroundings import surroundings
from vllm_vigil.clock import Clock
from vllm_vigil.config.settings import Config
from vllm_vigil.events.detector import Detector
from vllm_vigil.events.patterns import PATTERNS, user_rows
from vllm_vigil.events.record import Joiner
from vllm_vigil.events.shape import read
from vllm_vigil.events.sieve import Gate, sieves
from vllm_vigil.events.times import zone
from vllm_vigil.incidents.alertmanager import alert_of
from vllm_vigil.incidents.lifecycle import Incidents
from vllm_vigil.incidents.rules import Rule, merge, runbook
from vllm_vigil.incidents.shortage import Surroundings
from vllm_vigil.incidents.told import RULE as TOLD
from vllm_vigil.incidents.told import Heard, Told
from vllm_vigil.lines.pump import Pump
from vllm_vigil.lines.reader import Reader
from vllm_vigil.lines.wake import Watch
from vllm_vigil.model import Delivery, Finding, Incident, Labels, Notification, Reason, Snapshot
from vllm_vigil.notifications.channel import Channel
from vllm_vigil.notifications.message import Message, Style, compose
from vllm_vigil.notifications.outbox import Outbox
from vllm_vigil.notifications.proof import Proof
from vllm_vigil.notifications.push_settings import Alert
from vllm_vigil.notifications.sender import Picture, Sender
from vllm_vigil.probe.answer import Proven
from vllm_vigil.recorder.flight import Flight
from vllm_vigil.series.normalise import Normaliser
from vllm_vigil.sources.host import Host
from vllm_vigil.sources.nvml import Nvml
from vllm_vigil.sources.nvml_events import EVENTS_SECONDS
from vllm_vigil.sources.sampler import Sampler
from vllm_vigil.sources.vllm import Vllm
from vllm_vigil.state.store import Store
from vllm_vigil.telemetry import Telemetry
from vllm_vigil.verdict.judge import Judgement, Verdict
from vllm_vigil.verdict.watch import WatchVerdict
from vllm_vigil.verdict.watch_settings import WatchSettings

LAST_SECONDS = 2.0
CHART_SECONDS = 3.0
CHARTED = frozenset({Reason.FIRST, Reason.FAILOVER})
RECENT = 200
ENDED_SECONDS = 300.0  # for so long Alertmanager is told again that it is over, should it have forgotten


def _ignore(_: object) -> None:
    """Nobody wants to know."""


class Round:
    """The parts, made for one configuration and wired."""

    def __init__(
        self,
        config: Config,
        store: Store,
        clock: Clock,
        telemetry: Telemetry,
        stdin: Pump | None = None,
        recorder: Flight | None = None,
        *,
        ticked: Callable[[Snapshot], None] = _ignore,
    ) -> None:
        self.config = config
        self.recorder = recorder
        self._ticked = ticked
        self._telemetry = telemetry
        self.store = store
        self.rules = merge(config.rules) | _watch_rules(config.watch)
        self.incidents = Incidents(self.rules, self._around)
        logs = {server.server: server.logs for server in config.vllm}
        rows = (*user_rows(config.patterns), *PATTERNS)
        sieve = sieves(rows, prepared=True)
        self.reader = Reader(logs, store.positions(), telemetry, clock, stamp=_stamp, stdin=stdin, sieve=sieve)
        self.outbox = Outbox(store, config.notify, clock, self.wake, self._numbers)
        self.style = Style(
            self.remedy,
            config.notify.evidence,
            config.notify.language,
            lambda rule: runbook(rule, config.notify.runbook_url),
            config.web.public_url,
        )
        self.senders = {name: self._sender(name, clock, telemetry) for name in config.notify.channels}
        self.proof = Proof(store, config.notify, clock, telemetry, self.wake)
        self._verdict = Verdict(config.verdict)
        parts = _parts(self, telemetry, clock)
        taps = (recorder.hear, recorder.freeze) if recorder else (_ignore, _ignore)
        hear = self._verdict.hear
        self._verdict.recall_stops(self.incidents.stops(), clock.wall())
        self.alerts = AlertHalf(parts, clock, telemetry, hear, self._changed, heard=taps[0], opens=taps[1])
        self._clock = clock
        self._began = clock.monotonic()
        self.members = wanted.members(config, self._pushed, clock, telemetry)
        telemetry.members_known((member.name for member in self.members), told=Heard)
        samplers = list(_samplers(config, clock, telemetry))
        normalisers = {
            server.server: Normaliser(server.max_series, passthrough=server.passthrough) for server in config.vllm
        }
        watch = WatchVerdict(config.watch, list(logs), [(each.rule, each.server) for each in store.open_incidents()])
        self.metrics = MetricsHalf(
            samplers,
            Verdicts(self._verdict, watch=watch),
            clock,
            telemetry,
            told=self._told,
            normalisers=normalisers,
            probers=wanted.probers(config, clock, self._proven),
        )
        self.heart = wanted.heart(config, clock, telemetry, self._age_seconds)
        self._watch = Watch(
            (log.path for of_server in logs.values() for log in of_server if log.path), self.alerts.wake
        )

    async def run(self) -> None:
        """Everything at once, until cancelled; a fault in any of them ends all."""
        self._watch.start()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.metrics.run())
                group.create_task(self.alerts.follow())
                for sender in self.senders.values():
                    group.create_task(sender.run())
                for member in self.members:
                    group.create_task(member.run())
                group.create_task(self.proof.run())
                if self.recorder is not None:
                    group.create_task(self.recorder.run())
                if self.heart is not None:
                    group.create_task(self.heart.run())
        finally:
            self._watch.stop()

    async def close(self) -> None:
        """The last read and commit, and the last word on what is being sent, in bounded time."""
        finishing = [sender.finish(LAST_SECONDS) for sender in self.senders.values()]
        await asyncio.gather(self._last_read(), *finishing)
        if self.recorder is not None:
            await self.recorder.close(LAST_SECONDS)
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
        if self.recorder is not None:
            self.recorder.tick(self.metrics.snapshot, judgement.engines)
        self.alerts.weigh(findings, judgement)
        self._ticked(self.metrics.snapshot)

    def _proven(self, proof: Proven) -> None:
        """A probe has come to its end."""
        self._verdict.hear_probe(proof.server, answered=proof.answered, began=proof.began, words=proof.words)

    def _sender(self, name: str, clock: Clock, telemetry: Telemetry) -> Sender:
        def words(notification: Notification, now: float) -> Message:
            return compose(notification, now, self.style)

        def lost(delivery: Delivery) -> None:
            self.outbox.report(delivery)

        url = self.config.notify.channels[name].url
        channel = Channel(name, url)
        sender = Sender(channel, self.store, clock, telemetry, words, report=lost)
        if self.recorder is not None:
            sender.picture = _picture(self.recorder, channel)
        return sender

    def _age_seconds(self) -> float:
        """Time since the last tick; before the first, since the round began."""
        last = self.metrics.last_tick
        return self._clock.monotonic() - (self._began if last is None else last)

    def _numbers(self, incident: Incident) -> Labels:
        """What the server's last readings said, for the message on an incident of it; and its bundle if it is there."""
        path = self.recorder.path(incident.key) if self.recorder else None
        bundle = (("bundle", str(path)),) if path else ()
        return (*numbers(self.metrics.snapshot, incident.server), *bundle)

    def _around(self, server: str, fields: Mapping[str, str]) -> Surroundings:
        return surroundings(self.metrics.snapshot, server, fields)

    def _changed(self) -> None:
        for member in self.members:
            member.wake()

    def _pushed(self) -> Sequence[Alert]:
        """What Alertmanager is to know: our open incidents and those just over, none of which came from it."""
        now, lasts = self._clock.wall(), self.config.alertmanager.lasts_seconds
        over = [each for each in self.store.recent_incidents(RECENT) if now - ENDED_SECONDS < (each.resolved or 0)]
        return [
            alert_of(incident, now, lasts, incident.fix or self.remedy(incident.rule))
            for incident in (*self.incidents.open(), *over)
            if incident.rule != TOLD
        ]

    def remedy(self, rule: str) -> str:
        """The first thing to do about an incident of that rule, "" if nothing is written."""
        found = self.rules.get(rule)
        return found.remedy if found else ""

    def wake(self, channel: str) -> None:
        """Something was queued for a channel."""
        self.senders[channel].wake()


def _stamp(data: bytes, now: float) -> float | None:
    """The time in a line, as if in UTC: how old it is the reader finds out from the file's own time."""
    return read(data, now).at


def _watch_rules(rows: Mapping[str, WatchSettings]) -> dict[str, Rule]:
    """The rule of each `watch:` row, by which its incidents live as every other; a server's health is no matter."""
    return {
        name: Rule(name, row.title or name, row.remedy, severity=row.severity, quiet=row.quiet, up=0)
        for name, row in rows.items()
    }


def _parts(round_: Round, telemetry: Telemetry, clock: Clock) -> Parts:
    """The rooms of the alert half, with what the store remembers."""
    store, config = round_.store, round_.config
    rows = (*user_rows(config.patterns), *PATTERNS)
    joiner = Joiner(telemetry, clock, zone(config.zone), Gate(rows))
    joiner.restore(store.memory("records"))
    known = store.open_incidents()
    round_.incidents.restore(store.memory("incidents"), [each for each in known if each.rule != TOLD])
    told = _told(round_)
    told.restore(store.memory("alertmanager"), known, clock.wall())
    detector = Detector(rows)
    telemetry.events_known(detector.kinds)
    telemetry.rules_known(round_.rules)
    telemetry.channels_known(config.notify.channels)
    for channel in config.notify.channels:
        telemetry.channel_succeeded(channel, store.rows.last_delivered(channel) or 0.0)
    telemetry.incidents_open(known)
    return Parts(round_.reader, joiner, detector, round_.incidents, told, round_.outbox, store)


def _told(round_: Round) -> Told:
    """What Alertmanager tells; what it has from us is no news."""
    config, store = round_.config, round_.store
    servers = {server.server for server in config.vllm}

    def own() -> set[str]:
        return {each.key for each in (*round_.incidents.open(), *store.recent_incidents(RECENT)) if each.rule != TOLD}

    return Told(round_.rules[TOLD], servers, config.alertmanager.expire_after, own)


def _samplers(config: Config, clock: Clock, telemetry: Telemetry) -> Iterable[Sampler]:
    for server in config.vllm:
        yield Sampler(Vllm(server, clock), server.interval, server.stale_after, clock, telemetry)
    nvml = Nvml(config.gpu, clock)
    if config.gpu.enabled:
        yield Sampler(nvml, config.gpu.interval, config.gpu.stale_after, clock, telemetry)
        events = nvml.events()
        yield Sampler(events, EVENTS_SECONDS, math.inf, clock, telemetry, events.news)
    if config.host.enabled:
        urls = {server.server: server.url for server in config.vllm}
        host = Host(config.host, urls, clock, lambda: nvml.processes)
        yield Sampler(host, config.host.interval, config.host.stale_after, clock, telemetry)


def _picture(recorder: Flight, channel: Channel) -> Picture:
    """Gives the chart for a channel's first page on an incident, if the channel takes one and it is there soon."""

    async def picture(notification: Notification) -> Path | None:
        if notification.reason not in CHARTED or not recorder.draws or not channel.takes_pictures:
            return None
        return await recorder.chart(notification.incident.key, CHART_SECONDS)

    return picture
