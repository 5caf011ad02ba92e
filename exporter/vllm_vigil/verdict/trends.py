"""Every tick's snapshot -> what its series come to over minutes and hours: the rows of `series/trends`.

Promise: what is not known is absent (too little seen, a gap, a restart, a source that has gone), memory is bounded by
engines and GPUs and the windows, and a tick costs next to nothing: numbers are taken every 5 s, and between that only
what has vanished is noticed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from vllm_vigil.model import Labels, Point, Points, Series, Snapshot, labels
from vllm_vigil.series.trends import MEMORY_GROWTH, PREEMPTION_RATIO, TIME_TO_FULL
from vllm_vigil.verdict.forecast import Level
from vllm_vigil.verdict.growth import Growth
from vllm_vigil.verdict.ratio import Preemptions
from vllm_vigil.verdict.stragglers import Stragglers

EVERY_SECONDS = 5.0
FORGET_SECONDS = 600.0
FULL = 1.0
LASTING_ROLES = frozenset({"api_server", "engine_core", "worker"})
"""The processes by which a run is known; compilers and the like come and go."""

_WITNESSES = (
    "llm_kv_cache_usage_ratio",
    "gpu_process_memory_bytes",
    "llm_process_resident_memory_bytes",
    "gpu_clock_hertz",
)
"""When the label sets of these change, somebody has come or gone."""

Key = TypeVar("Key")


@dataclass(slots=True)
class _Engine:
    """One engine's memory; `steps` is its heartbeat, by which a restart is known."""

    level: Level = field(default_factory=Level)
    preemptions: Preemptions = field(default_factory=Preemptions)
    steps: float = 0.0
    seen: float = 0.0


@dataclass(slots=True)
class _Server:
    """One server's memory; `run` tells this run of it from the last, and sleep from waking."""

    run: dict[Labels, float] = field(default_factory=dict)
    host: Growth = field(default_factory=Growth)
    gpu: Growth = field(default_factory=Growth)


class Trends:
    """All engines, servers and GPUs."""

    def __init__(self) -> None:
        self._engines: dict[Labels, _Engine] = {}
        self._servers: dict[str, _Server] = {}
        self._stragglers = Stragglers()
        self._seen: Snapshot | None = None
        self._present: object = None
        self._taken_at: float | None = None
        self._found = Snapshot()

    def tick(self, snapshot: Snapshot, now: float) -> Snapshot:
        """The series as of `now`, in seconds of a clock that does not jump; the last ones until they are due again."""
        due = self._taken_at is None or not 0 <= now - self._taken_at < EVERY_SECONDS
        if snapshot is self._seen and not due:
            return self._found
        self._seen = snapshot
        present = [Points.of(snapshot.points(name)).labels for name in _WITNESSES]
        if due or present != self._present:
            self._present, self._taken_at = present, now
            found = (*self._of_engines(snapshot, now), *self._of_servers(snapshot, now))
            found += tuple(self._stragglers.note(snapshot, now))
            self._found = Snapshot({each.name: each for each in found if each.points})
        return self._found

    def _of_engines(self, snapshot: Snapshot, now: float) -> Iterator[Series]:
        usage = _added(snapshot, "llm_kv_cache_usage_ratio", _engine)
        preempted = _added(snapshot, "llm_preemptions_total", _engine)
        finished = _added(snapshot, "llm_requests_finished_total", _engine)
        steps = _added(snapshot, "llm_generation_tokens_total", _engine)
        steps |= _added(snapshot, "llm_engine_steps_total", _engine)
        counted = preempted.keys() & finished.keys()
        for key in usage.keys() | counted:
            engine = self._engines.setdefault(key, _Engine())
            if steps.get(key, engine.steps) < engine.steps:
                engine.level.clear()
            engine.steps, engine.seen = steps.get(key, engine.steps), now
            if key in usage:
                engine.level.note(usage[key], now)
            if key in counted:
                engine.preemptions.note(preempted[key], finished[key], now)
        self._engines = {key: each for key, each in self._engines.items() if now - each.seen < FORGET_SECONDS}
        yield _series(TIME_TO_FULL.name, ((key, self._engines[key].level.seconds_to(FULL)) for key in sorted(usage)))
        yield _series(PREEMPTION_RATIO.name, ((key, self._engines[key].preemptions.ratio()) for key in sorted(counted)))

    def _of_servers(self, snapshot: Snapshot, now: float) -> Iterator[Series]:
        host = _added(snapshot, "llm_process_resident_memory_bytes", _server)
        gpu = _added(snapshot, "gpu_process_memory_bytes", _server)
        found: list[tuple[Labels, float | None]] = []
        for name in sorted(name for name in host.keys() | gpu.keys() if name):
            server = self._servers.setdefault(name, _Server())
            run = _run(snapshot, name)
            if any(server.run.get(part, began) != began for part, began in run.items()):
                server.host.clear()
                server.gpu.clear()
            server.run |= run
            for kind, growth, held in (("host", server.host, host), ("gpu", server.gpu, gpu)):
                if name in held:
                    growth.note(held[name], now)
                    found.append((labels(server=name, kind=kind), growth.bytes_per_second()))
        yield _series(MEMORY_GROWTH.name, found)


def _run(snapshot: Snapshot, server: str) -> dict[Labels, float]:
    """When its processes began, and whether its engines sleep: what stays the same through one run of it."""
    return {
        point.labels: point.value
        for name in ("llm_process_start_time_seconds", "llm_engine_asleep")
        for point in snapshot.points(name)
        if ("server", server) in point.labels and dict(point.labels).get("role", "worker") in LASTING_ROLES
    }


def _engine(point: Point) -> Labels:
    known = dict(point.labels)
    return labels(**{name: known.get(name, "") for name in TIME_TO_FULL.labels})


def _server(point: Point) -> str:
    return next((value for name, value in point.labels if name == "server"), "")


def _added(snapshot: Snapshot, name: str, key: Callable[[Point], Key]) -> dict[Key, float]:
    found: dict[Key, float] = {}
    for point in snapshot.points(name):
        found[key(point)] = found.get(key(point), 0.0) + point.value
    return found


def _series(name: str, found: Iterable[tuple[Labels, float | None]]) -> Series:
    return Series(name, tuple(Point(pairs, value) for pairs, value in found if value is not None))
