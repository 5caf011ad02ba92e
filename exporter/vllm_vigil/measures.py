"""The nouns of the metrics half, which `model.py` hands on as its own: what a source says, and what it comes to.

Reading of Samples -> Snapshot of Series of Points
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, repeat
from typing import NamedTuple, overload

Labels = tuple[tuple[str, str], ...]
"""Label pairs sorted by name, so that equal label sets are equal values."""


def labels(**pairs: str) -> Labels:
    """Make sorted `Labels`; an empty value is no label, as in Prometheus."""
    return tuple(sorted((name, value) for name, value in pairs.items() if value != ""))


@dataclass(frozen=True, slots=True)
class Sample:
    """One number as a source gave it: upstream's sample name (`vllm:prompt_tokens_total`), labels, value."""

    name: str
    labels: Labels
    value: float


class Family(NamedTuple):
    """What a page says of a family: its kind (gauge, counter, histogram, summary, untyped) and its help."""

    kind: str
    help: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Samples(Sequence[Sample]):
    """The samples of a page as columns: what they are called, and their values.

    The next page of the same server has the same `keys`, as the same object, while nothing but numbers changes: what
    was worked out for them once holds for every page (5,000 samples are made 100 times faster than one by one).
    """

    keys: tuple[tuple[str, Labels], ...] = ()
    values: tuple[float, ...] = ()
    families: Mapping[str, Family] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.keys)

    @overload
    def __getitem__(self, index: int) -> Sample: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[Sample, ...]: ...

    def __getitem__(self, index: int | slice) -> Sample | tuple[Sample, ...]:
        return tuple(self)[index]

    def __iter__(self) -> Iterator[Sample]:
        return (Sample(name, pairs, value) for (name, pairs), value in zip(self.keys, self.values, strict=True))

    def __eq__(self, other: object) -> bool:
        return tuple(self) == tuple(other) if isinstance(other, Sequence) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # it equals a tuple, and hashing 5,000 samples is never meant


@dataclass(frozen=True, slots=True)
class Reading:
    """One source asked once: what it said and how long that took, or the error that says why it said nothing.

    `server` is the configured name of the vLLM server, "" for sources of the host (NVML).
    `at` is the monotonic time of the answer; `facts` are texts that are no numbers (`version`, `health`).
    """

    source: str
    server: str
    at: float
    duration_seconds: float
    samples: Sequence[Sample] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    error: str | None = None


class Point(NamedTuple):
    """One number of a series; `suffix` is "" or a histogram's `_bucket`, `_sum`, `_count`."""

    labels: Labels
    value: float
    suffix: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Points(Sequence[Point]):
    """The points of a series as columns. A point is made when somebody asks for it, which for most nobody does.

    From tick to tick `labels` and `suffixes` are the same objects, while nothing but numbers changes.
    """

    labels: tuple[Labels, ...]
    values: tuple[float, ...]
    suffixes: tuple[str, ...]

    @classmethod
    def of(cls, points: Sequence[Point]) -> Points:
        """The same points as columns."""
        if isinstance(points, Points):
            return points
        return cls(*zip(*points, strict=True)) if points else cls((), (), ())

    @classmethod
    def end_to_end(cls, parts: Sequence[Points]) -> Points:
        """The points of several, one after the other."""
        return cls(
            tuple(chain.from_iterable([part.labels for part in parts])),
            tuple(chain.from_iterable([part.values for part in parts])),
            tuple(chain.from_iterable([part.suffixes for part in parts])),
        )

    def __len__(self) -> int:
        return len(self.values)

    @overload
    def __getitem__(self, index: int) -> Point: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[Point, ...]: ...

    def __getitem__(self, index: int | slice) -> Point | tuple[Point, ...]:
        return tuple(self)[index]

    def __iter__(self) -> Iterator[Point]:
        """Made as bare tuples are, which is twice as fast as calling `Point`."""
        columns = zip(self.labels, self.values, self.suffixes, strict=True)
        return map(tuple.__new__, repeat(Point), columns)

    def __eq__(self, other: object) -> bool:
        return tuple(self) == tuple(other) if isinstance(other, Sequence) else NotImplemented

    def __hash__(self) -> int:
        return hash(tuple(self))


class Series(NamedTuple):
    """All points of one of our names; kind, unit and help stand in its row of the catalogue.

    A family that is passed through under vLLM's own name has no row: `family` says what vLLM says of it.
    """

    name: str
    points: Sequence[Point]
    family: Family | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Every series of one tick, by name. What is not known now is not in it: absent is absent."""

    series: Mapping[str, Series] = field(default_factory=dict)

    def points(self, name: str) -> Sequence[Point]:
        """The points of a series, none if it is absent."""
        found = self.series.get(name)
        return found.points if found else ()
