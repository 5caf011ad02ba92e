"""Sources asked on their own intervals -> every second one snapshot, one judgement.

The tick is also the heartbeat by which `/-/healthy` and systemd's watchdog know that the loop turns. It never waits
for a source: it takes what each last said, while that is fresh.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from vllm_vigil.clock import Clock, Steps
from vllm_vigil.model import SERVING_STATES, EngineHealth, Finding, Reading, Snapshot
from vllm_vigil.series.normalise import Junction, Normalised, Normaliser, joined
from vllm_vigil.sources.sampler import Sampler
from vllm_vigil.telemetry import Telemetry
from vllm_vigil.verdict.gpu import GpuVerdict
from vllm_vigil.verdict.host import HostVerdict
from vllm_vigil.verdict.judge import Judgement, Verdict
from vllm_vigil.verdict.shown import shown
from vllm_vigil.verdict.trends import Trends
from vllm_vigil.verdict.watch import WatchVerdict

TICK_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Verdicts:
    """Who judges a snapshot: of engines, GPUs, the host, and by the user's own rows."""

    engines: Verdict
    gpus: GpuVerdict = field(default_factory=GpuVerdict)
    host: HostVerdict = field(default_factory=HostVerdict)
    watch: WatchVerdict = field(default_factory=lambda: WatchVerdict({}, ()))

    def move(self, seconds: float) -> None:
        """The wall clock was set by so much."""
        for each in (self.engines, self.gpus, self.watch):
            each.move(seconds)


class Prober(Protocol):
    """Asks one server for a token when `consider` finds a reason, or on schedule."""

    @property
    def server(self) -> str:
        """Whom it asks."""

    def consider(self, *, doubted: bool, serving: bool) -> None:
        """See whether there is a reason now."""

    async def run(self) -> None:
        """Ask whenever there is one, until cancelled."""

    def snapshot(self) -> Snapshot:
        """What came of it."""
        ...


class MetricsHalf:
    """The samplers, and what they came to on the last tick."""

    def __init__(
        self,
        samplers: Sequence[Sampler],
        verdicts: Verdicts,
        clock: Clock,
        telemetry: Telemetry,
        *,
        told: Callable[[tuple[Finding, ...], Judgement], None],
        normalisers: Mapping[str, Normaliser],
        probers: Sequence[Prober] = (),
    ) -> None:
        self.samplers = samplers
        self.snapshot = Snapshot()
        self.engines: tuple[EngineHealth, ...] = ()
        self._stops: Mapping[str, float] = {}
        self.serving_since: Mapping[str, float | None] = {}
        self.last_tick: float | None = None
        self.begun = False
        """Whether there was a tick by which every source had been asked."""
        self._verdicts = verdicts
        self._read = Junction()
        self._whole = Junction()
        self._trends = Trends()
        self._shown = Snapshot()
        self._clock = clock
        self._steps = Steps(clock)
        self._telemetry = telemetry
        self._told = told
        self._probers = probers
        self._normalisers = {each: normalisers.get(each.source.server) or Normaliser() for each in samplers}
        self._known: dict[Sampler, tuple[Reading, Normalised]] = {}

    async def run(self) -> None:
        """Ask the sources, probe where that is wanted, and tick."""
        async with asyncio.TaskGroup() as group:
            for sampler in self.samplers:
                group.create_task(sampler.run())
            for prober in self._probers:
                group.create_task(prober.run())
            group.create_task(self._ticks())

    async def _ticks(self) -> None:
        while True:
            self.tick()
            await self._clock.sleep(TICK_SECONDS)

    def tick(self) -> None:
        """Turn what the sources last said into the snapshot, and judge it."""
        now = self._clock.monotonic()
        self._telemetry.time_passed()
        read = [self._normalised(each, reading) for each in self.samplers if (reading := each.current(now))]
        snapshot = self._read.join([*read, *(prober.snapshot() for prober in self._probers)])
        verdicts, wall = self._verdicts, self._clock.wall()
        if seconds := self._steps.taken():
            verdicts.move(seconds)
        host = self._latest("host").get("")
        judgement = verdicts.engines.judge(self._latest("vllm"), snapshot, wall, host)
        nvml, servers = self._latest("nvml").get(""), judgement.serving_since
        gpu_findings = verdicts.gpus.judge(nvml, snapshot, wall, servers)
        host_findings = verdicts.host.judge(host, snapshot, wall)
        if (judgement.engines, judgement.stops) != (self.engines, self._stops):
            self.engines, self._stops = judgement.engines, judgement.stops
            self._shown = shown(judgement.engines, judgement.stops)
        self.serving_since = judgement.serving_since
        self.snapshot = self._whole.join([snapshot, self._shown, self._trends.tick(snapshot, now)])
        self.last_tick = now
        self.begun = self.begun or all(each.latest is not None for each in self.samplers)
        self._consider(judgement)
        own = self._telemetry.snapshot(verdicts.watch.own)
        watched = verdicts.watch.judge(joined([self.snapshot, own]) if own.series else self.snapshot, wall)
        self._told((*judgement.findings, *gpu_findings, *host_findings, *watched), judgement)

    def _consider(self, judgement: Judgement) -> None:
        """Let every prober see whether its server is to be asked for a token."""
        for prober in self._probers:
            found = {health.state for health in judgement.engines if health.server == prober.server}
            doubted = prober.server in judgement.doubts
            prober.consider(doubted=doubted, serving=bool(found) and found <= SERVING_STATES)

    def missing(self) -> list[str]:
        """The sources that have not been asked once yet, and the tick if there was none."""
        unasked = [
            f"{each.source.source} {each.source.server}".strip() for each in self.samplers if each.latest is None
        ]
        return unasked if self.last_tick is not None else [*unasked, "the first tick"]

    def known(self, sampler: Sampler) -> Normalised:
        """What the source's last good reading came to, and what did not become a series."""
        return self._known[sampler][1] if sampler in self._known else Normalised(Snapshot())

    def _normalised(self, sampler: Sampler, reading: Reading) -> Snapshot:
        """The reading under our names; worked out, and its losses counted, once for each reading."""
        known = self._known.get(sampler)
        if known is None or known[0] is not reading:
            normalised = self._normalisers[sampler].normalise(reading)
            for cause, count in normalised.dropped.items():
                self._telemetry.series_dropped(cause, count)
            self._telemetry.source_unknown(reading.source, reading.server, len(normalised.unknown))
            known = self._known[sampler] = (reading, normalised)
        return known[1].snapshot

    def _latest(self, source: str) -> dict[str, Reading | None]:
        return {each.source.server: each.latest for each in self.samplers if each.source.source == source}
