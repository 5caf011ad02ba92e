"""Snapshot and our own registry -> the page that Prometheus scrapes: text 0.0.4 or OpenMetrics 1.0, gzip if taken.

A page is made once for each tick, and kept in the forms that were asked for: ten scrapers cost one rendering, and a
scrape costs a socket write. It is made when the first asks; where several ask in every tick, when the tick is over, so
that none of them waits for it. What the sidecar says of itself is as old as the snapshot beside it. Half a surrogate
pair in a label (a file name that is not UTF-8) costs that name and not the page.
"""

from __future__ import annotations

import gzip
import math
from collections import Counter
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Protocol

from vllm_vigil.exposition.answer import Answer
from vllm_vigil.exposition.lines import Lines, Spec
from vllm_vigil.model import Series, Snapshot

OPENMETRICS_END = "# EOF\n"


class Format(Enum):
    """The two formats that we speak; the value is the Content-Type."""

    TEXT = "text/plain; version=0.0.4; charset=utf-8"
    OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


class Family(Protocol):
    """What the sidecar says of itself, one family of it."""

    def series(self) -> Series:
        """All of it now; the same object while nothing has changed."""


class Metrics:
    """Renders what `/metrics` answers. `spec_of` finds a series' row by its name; `own` is what telemetry counts."""

    def __init__(self, spec_of: Callable[[str], Spec], own: Sequence[Family]) -> None:
        self._lines = Lines(spec_of)
        self._own = own
        self._snapshot: Snapshot | None = None
        self._kept: dict[tuple[Format, bool], bytes] = {}
        self._asked: Counter[tuple[Format, bool]] = Counter()

    def ticked(self, snapshot: Snapshot) -> None:
        """Turn to the next snapshot, and make at once the pages of it that several would wait for."""
        wanted = [form for form, times in self._asked.items() if times > 1]
        self._asked.clear()
        self._kept = {}  # also where the snapshot is the last one: what is said of ourselves has moved on
        for form, packed in wanted:
            self._page(snapshot, form, packed=packed)

    def answer(self, snapshot: Snapshot, accept: str, accept_encoding: str) -> Answer:
        """The page in the form that the request's two headers ask for."""
        form, packed = choose(accept), weight(accept_encoding, "gzip") > 0
        self._asked[form, packed] += 1
        headers: tuple[tuple[str, str], ...] = (("Vary", "Accept, Accept-Encoding"),)
        if packed:
            headers += (("Content-Encoding", "gzip"),)
        return Answer(200, self._page(snapshot, form, packed=packed), form.value, headers)

    def _page(self, snapshot: Snapshot, form: Format, *, packed: bool) -> bytes:
        if snapshot is not self._snapshot:
            self._snapshot, self._kept = snapshot, {}
        if (form, packed) not in self._kept:
            if packed:  # level 6 costs three times as much for 3 % less
                page = gzip.compress(self._page(snapshot, form, packed=False), compresslevel=1, mtime=0)
            else:
                series = (*snapshot.series.values(), *(each.series() for each in self._own))
                text = self._lines.write(series, openmetrics=form is Format.OPENMETRICS)
                page = (text + (OPENMETRICS_END if form is Format.OPENMETRICS else "")).encode("utf-8", "replace")
            self._kept[form, packed] = page
        return self._kept[form, packed]


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
