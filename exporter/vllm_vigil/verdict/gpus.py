"""The GPU series of every tick -> which GPUs an engine uses, what they do, and the bands that each has shown so far.

A band is learned only while it is plain what the engine does: busy while its steps move, idle while it holds nothing.
Of a time in which it holds work and shows no step nothing is learned, so that a hang never becomes the usual.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import fmean

from vllm_vigil.model import Snapshot
from vllm_vigil.verdict.band import Band
from vllm_vigil.verdict.effort import Look
from vllm_vigil.verdict.pulse import EngineKey, value_of

WINDOW_SECONDS = 10.0
"""Time over which a GPU is looked at: its numbers jump from one tick to the next."""

LEARN_EVERY_SECONDS = 10.0
BUSY_UTILIZATION, IDLE_UTILIZATION = 0.5, 0.05

Now = tuple[float, float, float | None, float | None]
"""When (seconds watched), utilisation, memory activity, watts."""


@dataclass(slots=True)
class Gpu:
    """One GPU: its last ticks, and its bands."""

    number: str = ""
    limit_watts: float | None = None
    ticks: deque[Now] = field(default_factory=deque)
    idle_watts: Band = field(default_factory=Band)
    busy_watts: Band = field(default_factory=Band)
    busy_memory: Band = field(default_factory=Band)
    learn_at: float = 0.0

    def take(self, now: Now) -> None:
        """One more tick; what is too old goes."""
        self.ticks.append(now)
        while now[0] - self.ticks[0][0] >= WINDOW_SECONDS:
            self.ticks.popleft()

    def look(self) -> Look:
        """What it does, over the last ticks."""
        _, utilization, memory, watts = (_mean(values) for values in zip(*self.ticks, strict=True))
        return Look(
            self.number,
            utilization or 0.0,
            memory,
            watts,
            self.limit_watts,
            self.idle_watts.middle,
            self.busy_watts.low,
            self.busy_memory.low,
        )


class Gpus:
    """The GPUs of this host, by UUID. One that is not told of now is not there."""

    def __init__(self) -> None:
        self._known: dict[str, Gpu] = {}
        self._here: set[str] = set()
        self._users: dict[str, set[tuple[str, str]]] = {}
        self._hidden = False

    def tick(self, snapshot: Snapshot, now: float) -> None:
        """Take in one tick."""
        memory, watts, limits = (
            _by_uuid(snapshot, name)
            for name in ("gpu_memory_utilization_ratio", "gpu_power_watts", "gpu_power_limit_watts")
        )
        self._here = set()
        for point in snapshot.points("gpu_utilization_ratio"):
            uuid = value_of(point.labels, "uuid")
            gpu = self._known.get(uuid)
            if gpu is None:
                gpu = self._known[uuid] = Gpu()
            gpu.number, gpu.limit_watts = value_of(point.labels, "gpu"), limits.get(uuid)
            gpu.take((now, point.value, memory.get(uuid), watts.get(uuid)))
            self._here.add(uuid)
        self._users = {}
        for point in snapshot.points("gpu_processes"):
            if server := value_of(point.labels, "server"):
                who = (server, value_of(point.labels, "engine"))
                self._users.setdefault(value_of(point.labels, "uuid"), set()).add(who)
        told = _by_uuid(snapshot, "gpu_process_attribution_available")
        self._hidden = any(told.get(uuid, 0.0) == 0.0 for uuid in self._here)

    def of(self, server: str, key: EngineKey, *, alone: bool) -> list[Gpu]:
        """The GPUs of an engine. Where nobody can tell, those of the host are the only server's (`alone`)."""
        uuids = {uuid for uuid, users in self._users.items() if (server, key[0]) in users}
        if not uuids:
            uuids = {uuid for uuid, users in self._users.items() if any(name == server for name, _ in users)}
        if not uuids and alone and self._hidden and not self._users:
            uuids = self._here
        return [self._known[uuid] for uuid in sorted(uuids & self._here)]


def learn(gpus: Iterable[Gpu], now: float, *, moves: bool, rests: bool) -> None:
    """Let the bands of an engine's GPUs learn, if it is plain what the engine does."""
    for gpu in gpus:
        if now < gpu.learn_at or not (moves or rests):
            continue
        gpu.learn_at = now + LEARN_EVERY_SECONDS
        look = gpu.look()
        if moves and look.utilization >= BUSY_UTILIZATION:
            _learn(gpu.busy_watts, look.watts)
            _learn(gpu.busy_memory, look.memory)
        elif rests and look.utilization <= IDLE_UTILIZATION:
            _learn(gpu.idle_watts, look.watts)


def _learn(band: Band, value: float | None) -> None:
    if value is not None:
        band.learn(value)


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def _by_uuid(snapshot: Snapshot, name: str) -> dict[str, float]:
    return {value_of(point.labels, "uuid"): point.value for point in snapshot.points(name)}
