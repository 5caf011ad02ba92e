"""Snapshot and our own registry -> the page that Prometheus scrapes: text 0.0.4 or OpenMetrics 1.0, gzip if taken.

Families are made anew from each snapshot, so no label of a gone server can linger. The snapshot never changes, so its
bytes are kept until the next one comes: ten scrapers cost one rendering a tick. Ages of our own move between ticks
and are rendered for each scrape.

Info and state sets go out as gauges. OpenMetrics demands that a state set's label be named like its family, and the
contract names it `state`; its infos lose and regain `_info` between the two formats. A gauge is the same in both.
"""

from __future__ import annotations

import gzip
import math
from collections.abc import Callable, Iterable, Iterator
from enum import Enum
from functools import partial
from typing import Protocol

from prometheus_client import CollectorRegistry, Metric
from prometheus_client import generate_latest as generate_text
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.registry import Collector

from vllm_vigil.exposition.answer import Answer
from vllm_vigil.model import Series, Snapshot

TYPES = {"gauge": "gauge", "counter": "counter", "histogram": "histogram", "info": "gauge", "stateset": "gauge"}
END = b"# EOF\n"


class Format(Enum):
    """The two formats that we speak; the value is the Content-Type."""

    TEXT = "text/plain; version=0.0.4; charset=utf-8"
    OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


class Spec(Protocol):
    """What a row of the catalogue says of its series; `series.spec.Spec` fits."""

    @property
    def kind(self) -> str:
        """One of gauge, counter, histogram, info, stateset."""

    @property
    def help(self) -> str:
        """One sentence for people."""


class Metrics:
    """Renders what `/metrics` answers. `spec_of` finds a series' row by its name; `own` is the telemetry's registry."""

    def __init__(self, spec_of: Callable[[str], Spec], own: CollectorRegistry) -> None:
        self._spec_of = spec_of
        self._own = own
        self._snapshot: Snapshot | None = None
        self._kept: dict[Format, bytes] = {}

    def answer(self, snapshot: Snapshot, accept: str, accept_encoding: str) -> Answer:
        """The page in the form that the request's two headers ask for."""
        form = choose(accept)
        body = self._of_snapshot(snapshot, form) + render(self._own, form)
        headers: tuple[tuple[str, str], ...] = (("Vary", "Accept, Accept-Encoding"),)
        if weight(accept_encoding, "gzip") > 0:
            body = gzip.compress(body, compresslevel=1, mtime=0)  # level 6 costs three times as much for 3 % less
            headers += (("Content-Encoding", "gzip"),)
        return Answer(200, body, form.value, headers)

    def _of_snapshot(self, snapshot: Snapshot, form: Format) -> bytes:
        if snapshot is not self._snapshot:
            self._snapshot, self._kept = snapshot, {}
        if form not in self._kept:
            families = _Families(partial(self._families, snapshot))
            self._kept[form] = render(families, form).removesuffix(END)
        return self._kept[form]

    def _families(self, snapshot: Snapshot) -> Iterator[Metric]:
        return (family(series, self._spec_of(series.name)) for series in snapshot.series.values())


class _Families(Collector):
    """Any maker of families, in the shape that prometheus_client collects from."""

    def __init__(self, make: Callable[[], Iterable[Metric]]) -> None:
        self._make = make

    def collect(self) -> Iterable[Metric]:
        return self._make()


def family(series: Series, spec: Spec) -> Metric:
    """One series as prometheus_client's family; sample names, label values and `le` texts pass through unchanged."""
    kind = TYPES[spec.kind]
    made = Metric(series.name.removesuffix("_total") if kind == "counter" else series.name, spec.help, kind)
    for point in series.points:
        made.add_sample(series.name + point.suffix, dict(point.labels), point.value)
    return made


def render(source: Collector | CollectorRegistry, form: Format) -> bytes:
    """The bytes of all families of a source.

    A label may hold half a surrogate pair (a file name that is not UTF-8): one such name must not cost the whole page.
    """
    generate = generate_text if form is Format.TEXT else generate_openmetrics
    try:
        return generate(source)
    except UnicodeEncodeError:
        return generate(_Families(lambda: map(_encodable, source.collect())))


def _encodable(metric: Metric) -> Metric:
    made = Metric(metric.name, metric.documentation, metric.type, metric.unit)
    for sample in metric.samples:
        clean = {name: value.encode("utf-8", "replace").decode() for name, value in sample.labels.items()}
        made.add_sample(sample.name, clean, sample.value)
    return made


def choose(accept: str) -> Format:
    """OpenMetrics if it is asked for by name and no less than plain text, else text.

    Chosen here and not by prometheus_client, which ignores `q` and answers in whatever version the client names.
    """
    wanted = weight(accept, "application/openmetrics-text", version="1.0.0")
    return Format.OPENMETRICS if wanted > 0 and wanted >= weight(accept, "text/plain", version="0.0.4") else Format.TEXT


def weight(header: str, name: str, version: str = "") -> float:
    """The highest `q` that an Accept header gives to a name, 0 if it does not name it, or only in another version."""
    best = 0.0
    for offer in header.lower().split(","):
        token, *parameters = (part.strip() for part in offer.split(";"))
        values = dict(part.split("=", 1) for part in parameters if "=" in part)
        if token == name and values.get("version", version) == version:
            best = max(best, _quality(values.get("q", "1")))
    return best


def _quality(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        return 0.0
    return value if math.isfinite(value) else 0.0
