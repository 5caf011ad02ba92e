"""GPU series of one tick -> findings on the GPUs: lost, hot, throttled, and XID errors.

A GPU is lost when NVML answers and no longer names one that it named before, or names none and says which it lost.
While NVML itself is silent nothing is said of them, because a driver that is being upgraded is no lost GPU; nor when
its last answer has grown old, as after a pause of the whole machine. XID errors are judged all the same. What ends the
program on a GPU, its loss or an XID, is said of the server that works on it, so that it and that server's end are one
trouble; heat and slow clocks are the host's.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from vllm_vigil.model import Finding, Labels, Point, Reading, Snapshot, labels
from vllm_vigil.verdict.onset import Onsets
from vllm_vigil.verdict.owners import Owners
from vllm_vigil.verdict.xid import XidFindings

HARMFUL_REASONS = frozenset({"hw_slowdown", "hw_thermal_slowdown", "hw_power_brake", "sw_thermal_slowdown"})
"""Clock-limiting reasons that are faults of cooling or power; the power cap and idling are ordinary life."""


@dataclass(frozen=True, slots=True)
class GpuThresholds:
    """When a GPU is hot, and for how long heat or throttling must last before it is said."""

    hot_celsius: float = 85.0
    lasting_seconds: float = 300.0


class GpuVerdict:
    """Judges the GPUs of this host, tick by tick. What is of the host, and of no server, has the server ""."""

    def __init__(self, thresholds: GpuThresholds | None = None) -> None:
        self._thresholds = thresholds or GpuThresholds()
        self._onsets = Onsets()
        self._xids = XidFindings()
        self._owners = Owners()
        self._known: dict[str, Labels] = {}
        self._lost_by: dict[str, str] = {}

    def move(self, seconds: float) -> None:
        """The wall clock was set by so much."""
        self._onsets.move(seconds)
        self._owners.move(seconds)

    def judge(
        self, reading: Reading | None, snapshot: Snapshot, now: float, servers: Collection[str] = ()
    ) -> tuple[Finding, ...]:
        """The findings of this tick; before NVML has answered once, only XID errors. `servers` are those watched."""
        self._owners.tick(snapshot, now)
        xids = tuple(self._xids.judge(snapshot, now, lambda uuid: self._owners.of(uuid, servers, now)))
        if reading is None or (reading.error and "lost" not in reading.facts):
            return xids
        present = {_named(point.labels).uuid: _named(point.labels).which for point in snapshot.points("gpu_info")}
        if not present and not reading.error:
            return xids  # too old to stand in the snapshot
        self._known |= present
        lost = tuple(self._lost(present, now, servers))
        gone = {each.labels for each in lost if each.holds}
        news = (each for each in xids if each.holds or not _is_loss_of(each, gone))
        return (*news, *lost, *self._hot(snapshot, now), *self._throttled(snapshot, now))

    def _lost(self, present: dict[str, Labels], now: float, servers: Collection[str]) -> Iterator[Finding]:
        for uuid, which in self._known.items():
            since = self._onsets.since(("gpu_lost", uuid), now, holds=uuid not in present)
            if since == now:  # whose it was when it went: what is there afterwards says nothing of that
                self._lost_by[uuid] = self._owners.of(uuid, servers, now)
            summary = f"GPU {dict(which).get('gpu')} ({uuid}) is no longer there"
            yield Finding("gpu_lost", self._lost_by.get(uuid, ""), since is not None, since or now, summary, which)

    def _hot(self, snapshot: Snapshot, now: float) -> Iterator[Finding]:
        limit = self._thresholds.hot_celsius
        for point in snapshot.points("gpu_temperature_celsius"):
            named = _named(point.labels)
            if named.sensor == "gpu":
                summary = f"GPU {named.gpu} is at {point.value:.0f} °C, above {limit:.0f} °C"
                yield self._lasting("gpu_hot", point, now, holds=point.value > limit, summary=summary)

    def _throttled(self, snapshot: Snapshot, now: float) -> Iterator[Finding]:
        for point in snapshot.points("gpu_throttle_active"):
            named = _named(point.labels)
            if named.reason in HARMFUL_REASONS:
                summary = f"GPU {named.gpu} is slowed down: {named.reason}"
                yield self._lasting("gpu_throttled", point, now, holds=point.value == 1.0, summary=summary)

    def _lasting(self, rule: str, point: Point, now: float, *, holds: bool, summary: str) -> Finding:
        since = self._onsets.since((rule, point.labels), now, holds=holds)
        lasted = since is not None and now - since >= self._thresholds.lasting_seconds
        return Finding(rule, "", lasted, since or now, summary, _named(point.labels).which)


def _is_loss_of(xid: Finding, gone: Collection[Labels]) -> bool:
    """Whether it speaks of a GPU that is not back: its XID is past, its loss is not."""
    return xid.rule == "gpu_lost" and _named(xid.labels).which in gone


@dataclass(frozen=True, slots=True)
class _Named:
    """What a label set says; "" where it has no such label. `which` are the labels of a finding on its GPU."""

    which: Labels
    gpu: str
    uuid: str
    sensor: str
    reason: str


@functools.lru_cache(maxsize=1024)
def _named(pairs: Labels) -> _Named:
    """The same label sets come at every tick."""
    told = dict(pairs)
    gpu, uuid, sensor, reason = (told.get(name, "") for name in ("gpu", "uuid", "sensor", "reason"))
    return _Named(labels(gpu=gpu, uuid=uuid), gpu, uuid, sensor, reason)
