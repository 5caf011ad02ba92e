"""Readings -> the Snapshot of one tick, through the tables. The same readings give the same snapshot.

Promise: a number is under our name exactly as the source gave it, or it is absent. Left out, and counted as dropped:

- `not_finite`: NaN or an infinity, which says nothing and would spoil every sum it enters;
- `duplicate`: a label set that was there before, as when several API servers report one engine. The first stays, as
  in Prometheus: values that should be one cannot be added;
- `budget`: what a server gives beyond its `max_series`.

Left out without loss: an older spelling of what the same page also says under its newer name, `*_created` (when a
counter was made), and what no row has a use for, which is counted as unclaimed and named as unknown.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import compress
from operator import attrgetter, is_
from typing import NamedTuple

from vllm_vigil.model import Point, Points, Reading, Samples, Series, Snapshot, labels
from vllm_vigil.series.catalogue import SPECS
from vllm_vigil.series.plan import Column, Plan, clean, plan, plan_of_ours
from vllm_vigil.series.vllm import CONTEXT_TOKENS, ENGINE_INFO, ENGINE_INFO_SETTINGS, KV_CACHE_TOKENS, VllmRow

MAX_SERIES = 5000

_ORDER = {name: place for place, name in enumerate(SPECS)}
_KEY, _VALUE = attrgetter("name", "labels"), attrgetter("value")


@dataclass(frozen=True, slots=True)
class Normalised:
    """The snapshot, and what is not in it.

    How many samples were dropped, by cause, and how many no row has a use for; the families that no row knows, sorted.
    """

    snapshot: Snapshot
    dropped: Mapping[str, int] = field(default_factory=dict)
    unclaimed: int = 0
    unknown: tuple[str, ...] = ()


class _Made(NamedTuple):
    """What a column came to with the values that were taken for it."""

    taken: tuple[float, ...]
    series: Series
    not_finite: int


_NOTHING = _Made((), Series("", ()), 0)


class Normaliser:
    """Gives the series of one source's readings. What was worked out for a page serves the next of the same keys."""

    def __init__(self, max_series: int = MAX_SERIES, *, passthrough: bool = False) -> None:
        self._max_series = max_series
        self._passthrough = passthrough
        self._keys: object = None
        self._facts: Mapping[str, str] = {}
        self._plan = Plan((), {}, 0, ())
        self._derived: tuple[Series, ...] = ()
        self._made: list[_Made] = []

    def normalise(self, reading: Reading) -> Normalised:
        """Every series of a reading. One that carries an error contributes nothing, whatever else is in it.

        A series of which no number has changed since the last reading, as of most, is the same object again.
        """
        if reading.error is not None:
            return Normalised(Snapshot())
        samples = _columns(reading)
        if samples.keys is not self._keys or reading.facts != self._facts:
            self._learn(reading, samples)
        finite = math.isfinite(sum(samples.values))
        self._made = [
            before if (taken := column.pick(samples.values)) == before.taken else _made(column, taken, finite=finite)
            for column, before in zip(self._plan.columns, self._made, strict=True)
        ]
        found = {each.series.name: each.series for each in self._made if each.series.points}
        found |= {series.name: series for series in self._derived}
        not_finite = 0 if finite else sum([each.not_finite for each in self._made])
        dropped = {**self._plan.dropped, "not_finite": not_finite} if not_finite else self._plan.dropped
        return Normalised(Snapshot(found), dropped, self._plan.unclaimed, self._plan.unknown)

    def _learn(self, reading: Reading, samples: Samples) -> None:
        """Plan for these keys, unless they are the last ones in another object."""
        if samples.keys != self._keys or (reading.source == "vllm" and reading.facts != self._facts):
            if reading.source == "vllm":
                self._plan = plan(reading.server, samples, self._max_series, passthrough=self._passthrough)
                self._derived = tuple(_derived(self._plan, reading))
            else:
                self._plan = plan_of_ours(samples)
            self._made = [_NOTHING] * len(self._plan.columns)
        self._keys, self._facts = samples.keys, reading.facts


def normalise(readings: Iterable[Reading]) -> Normalised:
    """Every series of several readings, each looked at for the first time."""
    parts = [Normaliser().normalise(reading) for reading in readings]
    dropped: Counter[str] = Counter()
    for part in parts:
        dropped.update(part.dropped)
    return Normalised(
        joined(part.snapshot for part in parts),
        dict(dropped),
        sum(part.unclaimed for part in parts),
        tuple(sorted({name for part in parts for name in part.unknown})),
    )


class Junction:
    """Where the snapshots of sources and servers meet, tick by tick.

    A series of which no part is another object than on the tick before is the same object again; so is the whole.
    """

    def __init__(self) -> None:
        self._given: list[Snapshot] = []
        self._met: dict[str, tuple[list[Series], Series]] = {}
        self._whole = Snapshot()

    def join(self, snapshots: Iterable[Snapshot]) -> Snapshot:
        """One snapshot of all: their series side by side, ours first."""
        given = list(snapshots)
        if not _same(given, self._given):
            self._given, self._whole = given, self._join(given)
        return self._whole

    def _join(self, snapshots: Iterable[Snapshot]) -> Snapshot:
        parts: dict[str, list[Series]] = {}
        for snapshot in snapshots:
            for name, series in snapshot.series.items():
                parts.setdefault(name, []).append(series)
        order = self._met if parts.keys() == self._met.keys() else sorted(parts, key=_place)
        self._met = {name: self._meet(name, parts[name]) for name in order}
        return Snapshot({name: series for name, (_, series) in self._met.items()})

    def _meet(self, name: str, parts: list[Series]) -> tuple[list[Series], Series]:
        if len(parts) == 1:
            return parts, parts[0]
        before = self._met.get(name)
        if before is not None and _same(before[0], parts):
            return before
        points = Points.end_to_end([Points.of(part.points) for part in parts])
        return parts, Series(name, points, parts[0].family)


def joined(snapshots: Iterable[Snapshot]) -> Snapshot:
    """One snapshot of several, of different sources or servers: their series side by side, ours first."""
    return Junction().join(snapshots)


def _same(these: Sequence[object], those: Sequence[object]) -> bool:
    """Whether they are the same objects, not only equal ones."""
    return len(these) == len(those) and all(map(is_, these, those))


def _place(name: str) -> int:
    return _ORDER.get(name, len(_ORDER))


def _columns(reading: Reading) -> Samples:
    given = reading.samples
    if isinstance(given, Samples):
        return given
    return Samples(tuple(map(_KEY, given)), tuple(map(_VALUE, given)))


def _made(column: Column, taken: tuple[float, ...], *, finite: bool) -> _Made:
    """A column's series; `finite` says that all values are."""
    points, lost = Points(column.labels, taken, column.suffixes), 0
    if not (finite and column.plain):
        points, lost = _chosen(points, column.row)
    return _Made(taken, Series(column.name, points, column.family), lost)


def _chosen(points: Points, row: VllmRow | None) -> tuple[Points, int]:
    """The points whose values are numbers and mean something, and how many are no numbers."""
    finite = [math.isfinite(value) for value in points.values]
    wanted = finite
    if row is not None and row.least is not None:
        wanted = [good and value >= row.least for good, value in zip(finite, points.values, strict=True)]
    values = points.values
    if row is not None and row.flipped:
        values = tuple([0.0 if value else 1.0 for value in values])
    called, suffixes = tuple(compress(points.labels, wanted)), tuple(compress(points.suffixes, wanted))
    return Points(called, tuple(compress(values, wanted)), suffixes), finite.count(False)


def _derived(plan: Plan, reading: Reading) -> Iterator[Series]:
    """What facts and the labels of the cache configuration say."""
    server, facts = reading.server, reading.facts
    configs = [
        dict(pairs) for column in plan.columns if column.name == "llm_cache_config_info" for pairs in column.labels
    ]
    if version := facts.get("version"):
        settings = {name: configs[0].get(name, "") for name in ENGINE_INFO_SETTINGS} if configs else {}
        pairs = clean(labels(server=server, vllm_version=version, **settings))
        yield Series(ENGINE_INFO.name, (Point(pairs, 1.0),))
    tokens = [(each["engine"], _cache_tokens(each)) for each in configs if "engine" in each]
    points = [Point(labels(server=server, engine=engine), float(size)) for engine, size in tokens if size]
    if points:
        yield Series(KV_CACHE_TOKENS.name, tuple(points))
    if limit := _whole(facts.get("max_model_len", "")):
        yield Series(CONTEXT_TOKENS.name, (Point(labels(server=server), float(limit)),))


def _cache_tokens(config: Mapping[str, str]) -> int:
    known = _whole(config.get("kv_cache_size_tokens", ""))
    return known or _whole(config.get("num_gpu_blocks", "")) * _whole(config.get("block_size", ""))


def _whole(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) < 16 else 0
