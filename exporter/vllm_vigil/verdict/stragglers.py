"""GPU series of one moment after the other -> the GPUs that keep their tensor-parallel group waiting. Pure.

A group steps in time with its slowest GPU, so one that is slowed down costs the throughput of all, and nothing says
so: all of them show 100 %. Who stands in a group is known from who holds memory on which GPU: workers of one server
whose rank differs in TP (and EP, which follows it) only. Each GPU is held against the median of the *others*.

Clocks count while every GPU of the group is busy, because an idle one clocks down by itself.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import NamedTuple

from vllm_vigil.model import Point, Series, Snapshot, labels
from vllm_vigil.series.trends import STRAGGLER, STRAGGLER_PCIE, STRAGGLER_THROTTLE
from vllm_vigil.verdict.ratio import Rise

WINDOW_SECONDS = 300.0
LEAST_SECONDS = 60.0
BUSY_RATIO = 0.5
LEAST_BUSY = 12
"""So many moments with all of the group at work, before its clocks are compared."""

_RANK = re.compile(r"(?:^|_)TP\d+")
_FOLLOWS = re.compile(r"_?(?:TP|EP)\d+")

Group = tuple[str, str, str]
"""Server, engine, and what is left of the rank without TP."""


class Gpu(NamedTuple):
    """A GPU by its labels."""

    gpu: str
    uuid: str


@dataclass(slots=True)
class _Seen:
    """What was seen of one GPU: clocks while its group was busy, seconds of throttling by reason, lanes.

    `told` says that NVML tells its clock now: what it told before is no news of a GPU that is gone.
    """

    clocks: deque[tuple[float, float]] = field(default_factory=deque)
    throttled: dict[str, Rise] = field(default_factory=dict)
    history: deque[tuple[float, tuple[float, ...]]] = field(default_factory=deque)
    lanes: float | None = None
    told: bool = False

    def forget(self, before: float) -> None:
        """What is older than the window."""
        while self.clocks and self.clocks[0][0] < before:
            self.clocks.popleft()
        while self.history and self.history[0][0] < before:
            self.history.popleft()

    def clock(self) -> float | None:
        """Mean clock while busy, in hertz."""
        if len(self.clocks) < LEAST_BUSY or not self.told:
            return None
        return sum(clock for _, clock in self.clocks) / len(self.clocks)

    def throttled_ratio(self) -> float | None:
        """Share of the time in which the worst reason held the clocks down."""
        if not (self.told and self.history) or self.history[-1][0] - self.history[0][0] < LEAST_SECONDS:
            return None
        (begin, first), (end, last) = self.history[0], self.history[-1]
        return max((b - a for a, b in zip(first, last, strict=False)), default=0.0) / (end - begin)


class Stragglers:
    """All tensor-parallel groups of this host."""

    def __init__(self) -> None:
        self._seen: dict[Gpu, _Seen] = {}

    def note(self, snapshot: Snapshot, now: float) -> Iterator[Series]:
        """One more moment; the three series as they are after it, without those that have no point."""
        groups = groups_of(snapshot)
        members = {gpu for group in groups.values() for gpu in group}
        self._seen = {gpu: self._seen.get(gpu) or _Seen() for gpu in members}
        self._throttling(snapshot, now)
        clocks = _by_gpu(snapshot, "gpu_clock_hertz", clock="sm")
        lanes = _by_gpu(snapshot, "gpu_pcie_link_width_lanes")
        for gpu, seen in self._seen.items():
            seen.told, seen.lanes = gpu in clocks, lanes.get(gpu)
            seen.forget(now - WINDOW_SECONDS)
        busy = _by_gpu(snapshot, "gpu_utilization_ratio")
        for group in groups.values():
            if all(gpu in clocks and busy.get(gpu, 0.0) >= BUSY_RATIO for gpu in group):
                for gpu in group:
                    self._seen[gpu].clocks.append((now, clocks[gpu]))
        yield from self._compared(groups)

    def _throttling(self, snapshot: Snapshot, now: float) -> None:
        for point in snapshot.points("gpu_throttle_seconds_total"):
            known = dict(point.labels)
            seen = self._seen.get(Gpu(known.get("gpu", ""), known.get("uuid", "")))
            if seen is not None:
                seen.throttled.setdefault(known.get("reason", ""), Rise()).note(point.value)
        for seen in self._seen.values():
            if seen.throttled:
                seen.history.append((now, tuple(rise.total for rise in seen.throttled.values())))

    def _compared(self, groups: Mapping[Group, frozenset[Gpu]]) -> Iterator[Series]:
        clocks = {gpu: seen.clock() for gpu, seen in self._seen.items()}
        throttled = {gpu: seen.throttled_ratio() for gpu, seen in self._seen.items()}
        lanes = {gpu: seen.lanes for gpu, seen in self._seen.items()}
        compared = (
            (STRAGGLER, clocks, _below),
            (STRAGGLER_THROTTLE, throttled, _above),
            (STRAGGLER_PCIE, lanes, _below),
        )
        for spec, values, behind in compared:
            points = {
                each.labels: each for key, group in groups.items() for each in _points(key, group, values, behind)
            }
            if points:
                yield Series(spec.name, tuple(points[name] for name in sorted(points)))


def groups_of(snapshot: Snapshot) -> dict[Group, frozenset[Gpu]]:
    """Every tensor-parallel group that runs on two or more GPUs, from who holds their memory."""
    found: dict[Group, set[Gpu]] = {}
    for point in snapshot.points("gpu_process_memory_bytes"):
        known = dict(point.labels)
        rank = known.get("rank", "")
        if known.get("server") and known.get("role") == "worker" and _RANK.search(rank):
            key = (known["server"], known.get("engine", ""), _FOLLOWS.sub("", rank))
            found.setdefault(key, set()).add(Gpu(known.get("gpu", ""), known.get("uuid", "")))
    return {key: frozenset(gpus) for key, gpus in found.items() if len(gpus) > 1}


def _points(
    key: Group, group: frozenset[Gpu], values: Mapping[Gpu, float | None], behind: Callable[[float, float], float]
) -> Iterator[Point]:
    """How far each GPU of a group is behind the median of the others; nothing while one of them is not known."""
    known = {gpu: value for gpu in group if (value := values[gpu]) is not None}
    if len(known) < len(group):
        return
    for gpu, value in known.items():
        peers = median(other for each, other in known.items() if each != gpu)
        yield Point(labels(gpu=gpu.gpu, uuid=gpu.uuid, server=key[0]), max(0.0, behind(value, peers)))


def _below(value: float, peers: float) -> float:
    return 1.0 - value / peers if peers else 0.0


def _above(value: float, peers: float) -> float:
    return value - peers


def _by_gpu(snapshot: Snapshot, name: str, **only: str) -> dict[Gpu, float]:
    found: dict[Gpu, float] = {}
    for point in snapshot.points(name):
        known = dict(point.labels)
        if all(known.get(label) == value for label, value in only.items()):
            found[Gpu(known.get("gpu", ""), known.get("uuid", ""))] = point.value
    return found
