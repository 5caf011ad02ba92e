"""What is known now -> answers for the HTTP side, all from memory."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

from vllm_vigil.app.metrics_half import MetricsHalf
from vllm_vigil.app.round import Round
from vllm_vigil.clock import Clock
from vllm_vigil.config.load import Loaded
from vllm_vigil.exposition.status import Channel, Config, File, Source
from vllm_vigil.exposition.webhook import Refusal
from vllm_vigil.incidents.alertmanager import read
from vllm_vigil.incidents.rules import runbook
from vllm_vigil.model import EngineHealth, Incident, Silence, Snapshot
from vllm_vigil.series.blanks import blanks
from vllm_vigil.sources.sampler import Sampler
from vllm_vigil.units import Secret


class Facts:
    """Fits `exposition.status.Sidecar`; turned to the new round at a reload.

    Until the new round has had a tick with an answer of every source, engines and series are those that the one before
    saw last: a reload is no moment in which nothing serves.
    """

    def __init__(
        self, round_: Round, loaded: Loaded, clock: Clock, reload: Callable[[], Awaitable[str | None]]
    ) -> None:
        self._round = round_
        self._before: MetricsHalf | None = None
        self._clock = clock
        self._reload = reload
        self._started = clock.wall()
        self._began = clock.monotonic()
        self._config = Config(path=str(loaded.path) if loaded.path else None)

    def turn_to(self, round_: Round) -> None:
        """Speak of this round from now on."""
        self._before = self._metrics
        self._round = round_

    @property
    def _metrics(self) -> MetricsHalf:
        """The half whose engines and series are told."""
        if self._round.metrics.begun:
            self._before = None
        return self._before or self._round.metrics

    def reloaded(self, loaded: Loaded | None, error: str | None) -> None:
        """Remember how the reload went."""
        path = self._config.path if loaded is None else str(loaded.path) if loaded.path else None
        self._config = Config(path, self._clock.wall(), error is None, error)

    @property
    def started(self) -> float:
        """When the process began (epoch seconds)."""
        return self._started

    def now(self) -> float:
        """The time (epoch seconds)."""
        return self._clock.wall()

    def heartbeat_seconds(self) -> float:
        """Time since the last tick; before the first, since the start."""
        last = self._round.metrics.last_tick or self._metrics.last_tick
        return self._clock.monotonic() - (self._began if last is None else last)

    def missing(self) -> Sequence[str]:
        """The enabled parts that have not had their first tick."""
        unread = [] if self._round.alerts.begun else ["the logs"]
        return [*self._metrics.missing(), *unread]

    def servers(self) -> Sequence[str]:
        """The configured vLLM servers."""
        return [server.server for server in self._round.config.vllm]

    def snapshot(self) -> Snapshot:
        """The series of the last tick."""
        return self._metrics.snapshot

    def engines(self) -> Sequence[EngineHealth]:
        """The verdict on every engine."""
        return self._metrics.engines

    def serving_since(self) -> Mapping[str, float | None]:
        """Since when each server serves."""
        return self._metrics.serving_since

    def open_incidents(self) -> Sequence[Incident]:
        """Those not resolved, oldest first."""
        return self._round.alerts.open()

    def resolved_incidents(self) -> Sequence[Incident]:
        """The last few that are over, newest first."""
        return self._round.alerts.resolved()

    def advice(self, rule: str) -> str:
        """The first thing to do."""
        return self._round.remedy(rule)

    def runbook(self, rule: str) -> str:
        """The page about incidents of that rule."""
        return runbook(rule, self._round.config.notify.runbook_url)

    def sources(self) -> Sequence[Source]:
        """Every source that is asked, and how that last went."""
        return [self._source(sampler) for sampler in self._round.metrics.samplers]

    def files(self) -> Sequence[File]:
        """Every log that is followed."""
        return [
            File(each.file, each.server, readable=each.readable, lag_bytes=each.lag_bytes)
            for each in self._round.alerts.followed
        ]

    def channels(self) -> Sequence[Channel]:
        """Every channel, and what waits for it."""
        now = self._clock.wall()
        waiting = [notification for notification, _ in self._round.store.rows.waiting()]
        found = []
        for name in self._round.config.notify.channels:
            ages = [now - each.queued for each in waiting if each.channel == name]
            found.append(Channel(name, len(ages), max(ages, default=None)))
        return found

    def silences(self) -> Sequence[Silence]:
        """The silences that hold."""
        return self._round.store.silences(self._clock.wall())

    def config(self) -> Config:
        """The configuration in force."""
        return self._config

    def webhook_token(self) -> Secret | None:
        """What Alertmanager must know to tell us anything; None if nobody may."""
        return self._round.config.alertmanager.webhook_token

    def take_alerts(self, document: object) -> Refusal | None:
        """Keep what Alertmanager tells."""
        try:
            alerts = read(document)
        except ValueError as error:
            return Refusal(str(error))
        taken = self._round.alerts.take(alerts)
        if not self._round.store.writable:
            return Refusal("the state cannot be written to the disk now", later=True)
        if taken.full:
            return Refusal("as many alerts are open as are kept; the others are taken when some have ended", later=True)
        return None

    async def reload(self) -> str | None:
        """Read the configuration again."""
        return await self._reload()

    def _source(self, sampler: Sampler) -> Source:
        latest, now = sampler.latest, self._clock.monotonic()
        good = sampler.good
        known = self._round.metrics.known(sampler)
        return Source(
            sampler.source.source,
            sampler.source.server,
            up=latest is not None and latest.error is None,
            error=latest.error if latest else "not asked yet",
            age_seconds=now - good.at if good else None,
            duration_seconds=latest.duration_seconds if latest else None,
            facts=latest.facts if latest else {},
            unknown_families=known.unknown,
            blank={blank.series: blank.cause for blank in (blanks(known.snapshot.series, good) if good else ())},
        )
