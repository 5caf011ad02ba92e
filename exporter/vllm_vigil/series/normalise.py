"""Readings -> the Snapshot of one tick, through the tables. Pure: the same readings give the same snapshot.

Promise: a number is under our name exactly as the source gave it, or it is absent. Left out, and counted as dropped:

- `not_finite`: NaN or an infinity, which says nothing and would spoil every sum it enters;
- `duplicate`: a label set that was there before, as when several API servers report one engine. The first stays, as
  in Prometheus: values that should be one cannot be added.

Left out without loss: an older spelling of what the same page also says under its newer name, `*_created` (when a
counter was made), and what no row has a use for (`python_gc_*`, families that we do not know), which is counted as
unclaimed. Label values are other people's text: control and bidi characters are taken out of them and they are cut.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from vllm_vigil.model import Labels, Point, Reading, Sample, Series, Snapshot
from vllm_vigil.series.catalogue import SPECS
from vllm_vigil.series.spec import RESERVED_LABELS, Kind, Spec
from vllm_vigil.series.vllm import ENGINE_INFO, VLLM_ROWS, VllmRow

LABEL_LIMIT = 200
"""Characters of a label value; the rest is cut."""

OPEN_LABELS_LIMIT = 64
"""Labels that a series with open labels carries at most. vLLM 0.33 has 40 in its cache configuration."""

_OPEN_NAME = re.compile(r"(?!__)[a-zA-Z_][a-zA-Z0-9_]*")  # a quoted UTF-8 name would need a newer reader

HISTOGRAM_SUFFIXES = ("_bucket", "_sum", "_count")


@dataclass(frozen=True, slots=True)
class Normalised:
    """The snapshot, how many samples were dropped from it, by cause, and how many no row has a use for."""

    snapshot: Snapshot
    dropped: Mapping[str, int]
    unclaimed: int


@dataclass(frozen=True, slots=True)
class _Claim:
    """One row's use for one sample name: `age` 0 is the row's newest spelling."""

    row: VllmRow
    age: int
    suffix: str


def _claims() -> dict[str, tuple[_Claim, ...]]:
    found: dict[str, tuple[_Claim, ...]] = {}
    for row in VLLM_ROWS:
        suffixes = HISTOGRAM_SUFFIXES if row.spec.kind is Kind.HISTOGRAM else ("",)
        for age, upstream in enumerate(row.upstream):
            for suffix in suffixes:
                name = upstream.name + suffix
                found[name] = (*found.get(name, ()), _Claim(row, age, suffix))
    return found


CLAIMS = _claims()
"""By sample name. A name may serve two rows: the count of `vllm:iteration_tokens_total` is also the step counter."""


def normalise(readings: Iterable[Reading]) -> Normalised:
    """Give every series of these readings. One that carries an error contributes nothing, whatever else is in it."""
    gathering = _Gathering()
    for reading in readings:
        if reading.error is not None:
            continue
        if reading.source == "vllm":
            gathering.add_vllm(reading)
        else:
            gathering.add_own(reading)
    return gathering.result()


def joined(snapshots: Iterable[Snapshot]) -> Snapshot:
    """One snapshot of several, of different sources or servers: their series side by side."""
    points: dict[str, tuple[Point, ...]] = {}
    for snapshot in snapshots:
        for name, series in snapshot.series.items():
            points[name] = points.get(name, ()) + series.points
    return Snapshot({name: Series(name, points[name]) for name in SPECS if name in points})


class _Gathering:
    """Points by name, while the readings are gone through."""

    def __init__(self) -> None:
        self._points: dict[str, dict[tuple[str, Labels], Point]] = {}
        self._dropped: Counter[str] = Counter()
        self._unclaimed = 0

    def result(self) -> Normalised:
        """What was gathered, in the order of the catalogue."""
        series = {name: Series(name, tuple(self._points[name].values())) for name in SPECS if name in self._points}
        return Normalised(Snapshot(series), dict(self._dropped), self._unclaimed)

    def add_own(self, reading: Reading) -> None:
        """A source of ours (NVML), whose samples already carry our names."""
        for sample in reading.samples:
            spec = SPECS.get(sample.name)
            if spec is None:
                self._unclaimed += 1
            else:
                self._put(spec, Point(_clean(sample.labels), sample.value))

    def add_vllm(self, reading: Reading) -> None:
        """A page of vLLM, through the table."""
        newest = _newest_spellings(reading.samples)
        for sample in reading.samples:
            claims = CLAIMS.get(sample.name, ())
            if not claims and not sample.name.endswith("_created"):
                self._unclaimed += 1
            for claim in claims:
                self._put_claimed(reading.server, sample, claim, newest)
        if version := reading.facts.get("version"):
            self._put(ENGINE_INFO, Point(_clean((("server", reading.server), ("vllm_version", version))), 1.0))

    def _put_claimed(self, server: str, sample: Sample, claim: _Claim, newest: Mapping[str, int]) -> None:
        row = claim.row
        if claim.age == newest[row.spec.name] and (row.only is None or row.only in sample.labels):
            value = row.change(sample.value) if row.change and math.isfinite(sample.value) else sample.value
            self._put(row.spec, Point(_labels_of(row, server, sample, claim.suffix), value, claim.suffix))

    def _put(self, spec: Spec, point: Point) -> None:
        if not math.isfinite(point.value):
            self._dropped["not_finite"] += 1
            return
        points = self._points.setdefault(spec.name, {})
        if points.setdefault((point.suffix, point.labels), point) is not point:
            self._dropped["duplicate"] += 1


def _newest_spellings(samples: Iterable[Sample]) -> dict[str, int]:
    newest: dict[str, int] = {}
    for sample in samples:
        for claim in CLAIMS.get(sample.name, ()):
            name = claim.row.spec.name
            newest[name] = min(claim.age, newest.get(name, claim.age))
    return newest


def _labels_of(row: VllmRow, server: str, sample: Sample, suffix: str) -> Labels:
    given = dict(sample.labels)
    for theirs, ours in row.renamed:
        if theirs in given:
            given[ours] = given.pop(theirs)
    given.setdefault("engine", "0")
    given["server"] = server
    names = set(row.spec.labels)
    if suffix == "_bucket":
        names.add("le")
    if row.spec.open_labels:
        names.update(_open_names(given.keys() - names, len(names)))
    return _clean((name, given[name]) for name in sorted(names & given.keys()))


def _open_names(given: Iterable[str], taken: int) -> list[str]:
    allowed = [name for name in sorted(given) if _OPEN_NAME.fullmatch(name) and name not in RESERVED_LABELS]
    return allowed[: OPEN_LABELS_LIMIT - taken]


def _clean(pairs: Iterable[tuple[str, str]]) -> Labels:
    cleaned = ((name, _printable(text)) for name, text in pairs)
    return tuple((name, text) for name, text in cleaned if text)


def _printable(text: str) -> str:
    if not text.isprintable():
        text = "".join(character for character in text if character.isprintable())
    return text[:LABEL_LIMIT]
