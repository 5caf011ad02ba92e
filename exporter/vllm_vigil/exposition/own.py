"""What the sidecar says of itself -> its part of the page, rendered by prometheus_client, family by family.

A family is rendered when it has changed, which few do from one tick to the next: to render all of them cost three
times as much as the series of a vLLM server beside them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from prometheus_client import Metric, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

END = b"# EOF\n"


class Format(Enum):
    """The two formats that we speak; the value is the Content-Type."""

    TEXT = "text/plain; version=0.0.4; charset=utf-8"
    OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


class Collected(Protocol):
    """What prometheus_client renders."""

    def collect(self) -> Iterable[Metric]:
        """Families as they are now."""


class Family(Collected, Protocol):
    """One family, which counts its changes."""

    @property
    def changes(self) -> int:
        """How often it has changed."""


class Own:
    """Renders the families; what has not changed is handed out again."""

    def __init__(self, families: Sequence[Family]) -> None:
        self._families = families
        self._kept: dict[tuple[Format, int], tuple[int, bytes]] = {}

    def write(self, form: Format) -> bytes:
        """All families in the order that they were given in; the end of the page if the format has one."""
        texts = [self._text(form, index, family) for index, family in enumerate(self._families)]
        return b"".join(texts) + (END if form is Format.OPENMETRICS else b"")

    def _text(self, form: Format, index: int, family: Family) -> bytes:
        changes = family.changes  # looked at before the values: see `tally`
        kept = self._kept.get((form, index))
        if kept is None or kept[0] != changes:
            kept = self._kept[form, index] = (changes, render(family, form))
        return kept[1]


@dataclass(frozen=True, slots=True)
class _AtHand:
    families: list[Metric]

    def collect(self) -> list[Metric]:
        return self.families


def render(family: Collected, form: Format) -> bytes:
    """The lines of a family, by prometheus_client."""
    generate: Callable[[Collected], bytes] = generate_latest if form is Format.TEXT else generate_openmetrics
    try:
        text = generate(family)
    except UnicodeEncodeError:
        text = generate(_AtHand([_encodable(metric) for metric in family.collect()]))
    return text.removesuffix(END)


def _encodable(metric: Metric) -> Metric:
    made = Metric(metric.name, metric.documentation, metric.type, metric.unit)
    for sample in metric.samples:
        clean = {name: value.encode("utf-8", "replace").decode() for name, value in sample.labels.items()}
        made.add_sample(sample.name, clean, sample.value)
    return made
