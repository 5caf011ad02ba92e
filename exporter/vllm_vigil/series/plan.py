"""What the samples of a page are called -> where each of them goes. Made once, and used while the page keeps its keys.

Everything that does not depend on the numbers is decided here: the spelling that counts, the labels under our names,
which of two equal label sets stays (the first, as in Prometheus), and, where the server gives more than its budget, who
stays: rows in the order of the table, so the contract's first, then raw families by name; within one by labels; a
histogram whole or not at all. So the same page always loses the same series.

Label values are other people's text: control and bidi characters are taken out of them and they are cut.
"""

from __future__ import annotations

import re
from bisect import bisect
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from operator import itemgetter
from typing import NamedTuple

from vllm_vigil.model import Family, Labels, Samples
from vllm_vigil.series.catalogue import SPECS
from vllm_vigil.series.claims import HISTOGRAM_SUFFIXES, Claim, claims_of, is_expected
from vllm_vigil.series.spec import RESERVED_LABELS
from vllm_vigil.series.vllm import VLLM_ROWS, VllmRow

LABEL_LIMIT = 200
"""Characters of a label value; the rest is cut."""

OPEN_LABELS_LIMIT = 64
"""Labels that a series with open labels carries at most. vLLM 0.33 has 40 in its cache configuration."""

CLEANED_LIMIT = 8192
"""Label sets that are remembered: 8 GPUs have 2,000."""

OURS = ("llm_", "gpu_", "vigil_")
"""Beginnings of names that a page cannot give away under its own."""

_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL = re.compile(r"(?!__)[a-zA-Z_][a-zA-Z0-9_]*")  # a quoted UTF-8 name would need a newer reader
_ORDER = {row.spec.name: index for index, row in enumerate(VLLM_ROWS)}


class Column(NamedTuple):
    """One series: the points that it has, and what picks their values from those of the page.

    `plain` says that values go out as they come in.
    """

    name: str
    pick: Callable[[Sequence[float]], tuple[float, ...]]
    labels: tuple[Labels, ...]
    suffixes: tuple[str, ...]
    row: VllmRow | None
    family: Family | None
    plain: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """All series of a page; how many samples go into none, by cause; the families that no row knows, sorted."""

    columns: tuple[Column, ...]
    dropped: Mapping[str, int]
    unclaimed: int
    unknown: tuple[str, ...]


Members = dict[tuple[str, str], int]
"""The points of one label set, by suffix and `le`, and their places."""

_ONE_NUMBER = {("", "")}
"""The points of a label set that is no histogram's."""


def plan(server: str, samples: Samples, budget: int, *, passthrough: bool) -> Plan:
    """Decide for every sample of a page."""
    gathering = _Gathering(server, samples)
    gathering.add_all(samples.keys)
    if passthrough:
        for place, (name, pairs) in enumerate(samples.keys):
            gathering.add_raw(place, name, pairs)
    return gathering.result(budget)


def plan_of_ours(samples: Samples) -> Plan:
    """The plan for a source of our own (NVML, the host), whose samples already carry our names."""
    places: dict[str, dict[Labels, int]] = {}
    dropped: Counter[str] = Counter()
    unclaimed = 0
    for place, (name, pairs) in enumerate(samples.keys):
        if name not in SPECS:
            unclaimed += 1
        elif places.setdefault(name, {}).setdefault(_cleaned(pairs), place) != place:
            dropped["duplicate"] += 1
    columns = [
        Column(name, _picker([*found.values()]), tuple(found), ("",) * len(found), None, None, plain=True)
        for name in SPECS
        if (found := places.get(name))
    ]
    return Plan(tuple(columns), dict(dropped), unclaimed, ())


class _Gathering:
    """Label sets by series, while the keys of a page are gone through."""

    def __init__(self, server: str, samples: Samples) -> None:
        self._server = server
        self._families = samples.families
        self._claims = {name: claims_of(name) for name in {name for name, _ in samples.keys}}
        self._newest = _newest(self._claims.values())
        self._rows: dict[str, VllmRow] = {}
        self._raw: dict[str, Family] = {}
        self._sets: dict[str, dict[Labels, Members]] = {}
        self._ours: dict[object, Labels] = {}
        self._dropped: Counter[str] = Counter()
        self._unknown = {name for name, found in self._claims.items() if not found and not is_expected(name)}
        self._unclaimed = 0

    def add_all(self, keys: Sequence[tuple[str, Labels]]) -> None:
        """Every sample, for each row that has a use for it. What a label set is to a row is worked out once."""
        seen: dict[str, dict[Labels, Members | None]] = {name: {} for name in self._newest}
        uses = {
            name: [(claim, claim.suffix, seen[claim.row.spec.name]) for claim in found if self._counts(claim)]
            for name, found in self._claims.items()
        }
        split = cache(_without_le)  # histograms have the same buckets, mostly
        duplicates = 0
        for place, (name, pairs) in enumerate(keys):
            for claim, suffix, known in uses[name]:
                rest, le = split(pairs) if suffix == "_bucket" else (pairs, "")
                try:
                    members = known[rest]
                except KeyError:
                    members = known[rest] = self._members_of(claim, rest)
                if members is not None and members.setdefault((suffix, le), place) != place:
                    duplicates += 1
        self._dropped["duplicate"] += duplicates
        self._unclaimed = sum([name in self._unknown for name, _ in keys]) if self._unknown else 0

    def _counts(self, claim: Claim) -> bool:
        return claim.age == self._newest[claim.row.spec.name]

    def _members_of(self, claim: Claim, pairs: Labels) -> Members | None:
        """Where the points of their label set go; None if the row leaves them."""
        upstream, row = claim.upstream, claim.row
        if (upstream.only is not None and upstream.only not in pairs) or upstream.without in pairs:
            return None
        self._rows[row.spec.name] = row
        alike = (row.spec.labels, row.renamed, row.spec.open_labels, pairs)
        ours = self._ours.get(alike)
        if ours is None:
            ours = self._ours[alike] = _labels_of(row, self._server, pairs)
        return self._sets.setdefault(row.spec.name, {}).setdefault(ours, {})

    def add_raw(self, place: int, name: str, pairs: Labels) -> None:
        """A sample under its own name."""
        if name.endswith("_created") or name.startswith(OURS) or not _NAME.fullmatch(name):
            return
        series, suffix, family = self._family_of(name)
        rest, le = _without_le(pairs) if suffix == "_bucket" else (pairs, "")
        ours = clean({**{n: v for n, v in rest if _LABEL.fullmatch(n)}, "server": self._server}.items())
        self._raw[series] = family
        members = self._sets.setdefault(series, {}).setdefault(ours, {})
        if members.setdefault((suffix, le), place) != place:
            self._dropped["duplicate"] += 1

    def _family_of(self, name: str) -> tuple[str, str, Family]:
        for suffix in HISTOGRAM_SUFFIXES:
            family = self._families.get(name.removesuffix(suffix)) if name.endswith(suffix) else None
            if family and family.kind in ({"histogram"} if suffix == "_bucket" else {"histogram", "summary"}):
                return name.removesuffix(suffix), suffix, family
        return name, "", self._families.get(name) or self._families.get(name.removesuffix("_total"), Family("untyped"))

    def result(self, budget: int) -> Plan:
        """Who stays, in order."""
        columns = []
        for series in sorted(self._sets, key=lambda name: (_ORDER.get(name, len(_ORDER)), name)):
            kept: list[tuple[Labels, Members]] = []
            for ours, members in self._ordered(series):
                if len(members) <= budget:
                    kept.append((ours, members))
                    budget -= len(members)
                else:
                    self._dropped["budget"] += len(members)
                    budget = 0  # whoever comes later does not slip in because he is smaller
            if kept:
                columns.append(self._column(series, kept))
        unknown = {self._family_of(name)[0] for name in self._unknown}
        return Plan(
            tuple(columns),
            dict(+self._dropped),
            self._unclaimed,
            tuple(sorted(map(_printable, unknown))),
        )

    def _ordered(self, series: str) -> Iterable[tuple[Labels, Members]]:
        sets = self._sets[series]
        return sets.items() if len(sets) == 1 else sorted(sets.items(), key=lambda item: item[0])

    def _column(self, series: str, kept: list[tuple[Labels, Members]]) -> Column:
        places: list[int] = []
        labels: list[Labels] = []
        suffixes: list[str] = []
        for ours, members in kept:
            places += members.values()
            labels += _called(ours, members)
            suffixes += [suffix for suffix, _ in members]
        row = self._rows.get(series)
        plain = row is None or (row.least is None and not row.flipped)
        return Column(series, _picker(places), tuple(labels), tuple(suffixes), row, self._raw.get(series), plain)


def _called(ours: Labels, members: Members) -> list[Labels]:
    """The labels of each point of a label set."""
    if members.keys() == _ONE_NUMBER:
        return [ours]
    at = bisect(ours, ("le", ""))
    before, after = ours[:at], ours[at:]
    return [(*before, ("le", le), *after) if le else ours for _, le in members]


def _picker(places: list[int]) -> Callable[[Sequence[float]], tuple[float, ...]]:
    if len(places) == 1:
        return lambda values: (values[places[0]],)
    return itemgetter(*places)


def _newest(claims: Iterable[tuple[Claim, ...]]) -> dict[str, int]:
    newest: dict[str, int] = {}
    for found in claims:
        for claim in found:
            name = claim.row.spec.name
            newest[name] = min(claim.age, newest.get(name, claim.age))
    return newest


def _without_le(pairs: Labels) -> tuple[Labels, str]:
    for pair in pairs:
        if pair[0] == "le":
            at = pairs.index(pair)
            return pairs[:at] + pairs[at + 1 :], _printable(pair[1])
    return pairs, ""


def _labels_of(row: VllmRow, server: str, pairs: Labels) -> Labels:
    given = {"engine": "0", **dict(pairs), "server": server}
    for theirs, ours in row.renamed:
        if theirs in given:
            given[ours] = given.pop(theirs)
    if replica := given.get("ReplicaId") or given.get("WorkerId"):
        given["replica"] = replica
    names = row.spec.labels if replica is None else (*row.spec.labels, "replica")
    if row.spec.open_labels:
        names = (*names, *_open_names(given.keys() - names, len(names)))
    return clean([(name, given[name]) for name in names if name in given])


def _open_names(given: Iterable[str], taken: int) -> list[str]:
    allowed = [name for name in sorted(given) if _LABEL.fullmatch(name) and name not in RESERVED_LABELS]
    return allowed[: OPEN_LABELS_LIMIT - taken]


def clean(pairs: Iterable[tuple[str, str]]) -> Labels:
    """Labels whose text can be shown, sorted by name."""
    return tuple([(name, shown) for name, text in sorted(pairs) if (shown := _printable(text))])


@lru_cache(maxsize=CLEANED_LIMIT)
def _cleaned(pairs: Labels) -> Labels:
    """Label sets of our own sources, which are the same ones when something has come or gone."""
    return clean(pairs)


def _printable(text: str) -> str:
    if not text.isprintable():
        text = "".join(character for character in text if character.isprintable())
    return text[:LABEL_LIMIT]
