"""The declaration of one series: name, kind, unit, help, labels. It checks itself when it is made.

A row that breaks Prometheus' naming rules ends the import, so that it cannot reach a dashboard. The rules are those
of `promtool check metrics` and of the project's contract (base units, no label that Prometheus itself sets).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """How a series is to be read. In the text format an info and a state set are gauges of 0 and 1."""

    GAUGE = "gauge"
    COUNTER = "counter"
    HISTOGRAM = "histogram"
    INFO = "info"
    STATESET = "stateset"


NAMED_UNITS = frozenset({"seconds", "bytes", "ratio", "celsius", "watts", "joules", "hertz", "bytes_per_second"})
"""Units that must end the name."""

_COUNTED = """
    blocks calls connections drafts flops items jobs keys kills lanes lookups operations preemptions replays requests
    restarts steps tokens transfers
"""
COUNTED_UNITS = frozenset({"", *_COUNTED.split()})
"""What is counted; may stand in the name, but need not end it."""

RESERVED_LABELS = frozenset({"instance", "job", "pod", "namespace", "pid"})
"""Set by Prometheus and Kubernetes, or without end: none of our series carries them."""

_NAME = re.compile(r"(?:llm|gpu|host|vigil)_[a-z0-9]+(?:_[a-z0-9]+)*")
_LABEL = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Spec:
    """One series as it stands in the contract.

    `labels` are all names that a point may carry (a histogram's `le` is understood). With `open_labels` the points
    carry whatever else the source said, as `llm_cache_config_info` does.
    """

    name: str
    kind: Kind
    unit: str
    help: str
    labels: tuple[str, ...] = ()
    open_labels: bool = False

    def __post_init__(self) -> None:
        wrong = list(self.problems())
        if wrong:
            raise ValueError(f"the series {self.name!r} is declared wrongly: {'; '.join(wrong)}")

    def problems(self) -> Iterator[str]:
        """What is wrong with the declaration, in words."""
        if not _NAME.fullmatch(self.name):
            yield "the name must be lower-case words joined by _ that begin with llm_, gpu_, host_ or vigil_"
        if (self.kind is Kind.COUNTER) != self.name.endswith("_total"):
            yield "a counter's name ends in _total, and no other's does"
        if (self.kind is Kind.INFO) != self.name.endswith("_info"):
            yield "an info's name ends in _info, and no other's does"
        if self.name.endswith(("_bucket", "_sum", "_count", "_created")):
            yield "the name ends in a suffix that belongs to histograms"
        yield from self._unit_problems()
        yield from self._text_problems()

    def _unit_problems(self) -> Iterator[str]:
        if self.unit not in NAMED_UNITS | COUNTED_UNITS:
            yield f"{self.unit!r} is not a base unit"
        if self.unit in NAMED_UNITS and not self.name.removesuffix("_total").endswith(f"_{self.unit}"):
            yield f"the name must say its unit, {self.unit}, at the end"

    def _text_problems(self) -> Iterator[str]:
        if not self.help.endswith(".") or "\n" in self.help:
            yield "the help must be sentences on one line"
        if len(set(self.labels)) != len(self.labels):
            yield "a label is named twice"
        for label in self.labels:
            if not _LABEL.fullmatch(label) or label in RESERVED_LABELS | {"le", "quantile"}:
                yield f"{label!r} cannot be a label"
