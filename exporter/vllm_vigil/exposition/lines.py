"""Series -> the lines of an exposition. What stands above them, and before a number on its line, is kept.

prometheus_client's `generate_latest` is the model: the lines are the same, in a tenth of the time, because a line's
name and labels, which hardly ever change, are escaped and put together once. Raw families of vLLM come out right in
OpenMetrics too, where prometheus_client 0.26 breaks names with colons.

Info and state sets go out as gauges. OpenMetrics demands that a state set's label be named like its family, and the
contract names it `state`; its infos lose and regain `_info` between the two formats. A gauge is the same in both.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from vllm_vigil.model import Labels, Points, Series

TYPES = {
    "gauge": "gauge",
    "counter": "counter",
    "histogram": "histogram",
    "summary": "summary",
    "untyped": "untyped",
    "info": "gauge",
    "stateset": "gauge",
}
SUFFIXES = {"counter": ("_total", "_created"), "histogram": ("_bucket", "_count", "_sum", "_created")} | {
    "summary": ("", "_count", "_sum", "_created"),
    "info": ("_info",),
}
"""What OpenMetrics adds to the names of a family: no other family may be called so."""


class Spec(Protocol):
    """What a row of the catalogue says of its series; `series.spec.Spec` and `model.Family` fit."""

    @property
    def kind(self) -> str:
        """One of the kinds of `TYPES`."""

    @property
    def help(self) -> str:
        """One sentence for people."""


class _Head(NamedTuple):
    """What stands above a series in each format, and the names that its family takes in OpenMetrics."""

    text: str
    openmetrics: str
    claimed: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Written:
    """What was written of a series: its head, what its points are called, their lines up to the numbers, and all."""

    series: Series
    head: _Head
    called: tuple[tuple[Labels, ...], tuple[str, ...]]
    beginnings: list[str]
    text: str


class Lines:
    """Writes the series of one snapshot after the other. `spec_of` finds the row of a series that is ours."""

    def __init__(self, spec_of: Callable[[str], Spec]) -> None:
        self._spec_of = spec_of
        self._written: dict[str, _Written] = {}

    def write(self, series: Iterable[Series], *, openmetrics: bool) -> str:
        """All lines, families in the order that they are given in. Of two that would clash the first is written."""
        pages: list[str] = []
        kept: dict[str, _Written] = {}
        taken: set[str] = set()
        for each in series:
            written = kept[each.name] = self._write(each, self._written.get(each.name))
            head = written.head
            if not openmetrics:
                pages += (head.text, written.text)
            elif taken.isdisjoint(head.claimed):
                taken |= head.claimed
                pages += (head.openmetrics, written.text)
        self._written = kept  # of series that are gone nothing is kept
        return "".join(pages)

    def _write(self, series: Series, before: _Written | None) -> _Written:
        """The last lines if the series is the same, their beginnings if its points are called the same."""
        if before is not None and before.series is series:
            return before
        points = Points.of(series.points)
        called = (points.labels, points.suffixes)
        if before is not None and before.called == called:
            called, beginnings = before.called, before.beginnings
        else:
            beginnings = [f"{series.name}{suffix}{_braced(pairs)} " for pairs, suffix in zip(*called, strict=True)]
        numbers = map(number, points.values)
        lines = [f"{beginning}{text}\n" for beginning, text in zip(beginnings, numbers, strict=True)]
        same = before is not None and before.series.family == series.family
        head = before.head if before and same else _head(series.name, series.family or self._spec_of(series.name))
        return _Written(series, head, called, beginnings, "".join(lines))


def number(value: float) -> str:
    """A number as Go writes it, which is what Prometheus' own clients do: `1e+06`, `+Inf`, `NaN`."""
    if -1e6 < value < 1e6:
        return repr(float(value))
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    text = repr(float(value))
    dot = text.find(".")
    if value > 0 and dot > 6:
        return f"{f'{text[0]}.{text[1:dot]}{text[dot + 1 :]}'.rstrip('0.')}e+{dot - 1:02d}"
    return text


def _head(series: str, spec: Spec) -> _Head:
    """The family's help and type in the two formats, which differ in escapes, counters, and in what has no type."""
    kind, text = TYPES[spec.kind], spec.help.replace("\\", r"\\").replace("\n", r"\n")
    name, declared = series, kind
    if kind == "counter" and series.endswith("_total"):
        name = series.removesuffix("_total")
    elif kind in {"counter", "untyped"}:
        declared = "unknown"
    return _Head(
        f"# HELP {series} {text}\n# TYPE {series} {kind}\n",
        f"# HELP {name} {_escaped(spec.help)}\n# TYPE {name} {declared}\n",
        frozenset((name, *(name + suffix for suffix in SUFFIXES.get(declared, ())))),
    )


def _braced(pairs: Labels) -> str:
    return f"{{{','.join(_pairs(pairs))}}}" if pairs else ""


def _pairs(pairs: Labels) -> Iterator[str]:
    for name, value in pairs:
        yield f'{name}="{_escaped(value)}"'


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
