"""One `watch:` row: a series, a comparison and a time, checked against the catalogue of series."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from operator import ge, gt, le, lt

from vllm_vigil.model import Severity
from vllm_vigil.series.catalogue import SPECS, own_specs
from vllm_vigil.series.spec import Kind, Spec
from vllm_vigil.series.vllm import VLLM_ROWS
from vllm_vigil.units import Seconds

COMPARISONS: Mapping[str, Callable[[float, float], bool]] = {"above": gt, "below": lt, "at_least": ge, "at_most": le}
SHORTEST_RATE = 30.0


@dataclass(frozen=True, slots=True)
class WatchSettings:
    """It holds for a server while one label set that agrees with `labels` compares so, for `for` without a break.

    Exactly one of `above`, `below`, `at_least`, `at_most` and `absent` is given. A counter is compared by its increase
    a second over `rate`. `quiet` is how long it must not hold before the incident resolves.
    """

    series: str
    labels: Mapping[str, str] = field(default_factory=dict)
    above: float | None = None
    below: float | None = None
    at_least: float | None = None
    at_most: float | None = None
    absent: bool = False
    rate: Seconds | None = None
    for_: Seconds = Seconds(60.0)
    quiet: Seconds = Seconds(60.0)
    severity: Severity = Severity.WARNING
    title: str | None = None
    remedy: str = ""

    @property
    def comparison(self) -> tuple[str, float]:
        """How it is compared, and with what."""
        return next((name, value) for name in COMPARISONS if (value := getattr(self, name)) is not None)

    def holds(self, value: float) -> bool:
        """Whether a value compares so."""
        name, limit = self.comparison
        return COMPARISONS[name](value, limit)

    def problems(self) -> Iterator[tuple[str, str]]:
        """What can never hold, or is no series of ours."""
        given = [name for name in COMPARISONS if getattr(self, name) is not None] + ["absent"] * self.absent
        if len(given) != 1:
            said = f"not {' and '.join(given)}" if given else "and none is given"
            yield (given or ["above"])[-1], f"give one of {', '.join(COMPARISONS)}, absent, {said}"
        if self.for_ < 0 or self.quiet <= 0:
            yield "for" if self.for_ < 0 else "quiet", "must be more than 0s"
        spec = declared(self.series)
        if spec is None:
            yield "series", _unknown(self.series)
            return
        yield from self._kind_problems(spec)
        yield from self._label_problems(spec)

    def _kind_problems(self, spec: Spec) -> Iterator[tuple[str, str]]:
        if self.rate is not None and (self.absent or spec.kind is not Kind.COUNTER):
            yield "rate", "is for counters that are compared" + ("" if self.absent else f", and {spec.name} is none")
        elif self.rate is not None and self.rate < SHORTEST_RATE:
            yield "rate", f"must be {SHORTEST_RATE:.0f}s or more"
        if self.absent:
            return
        if spec.kind is Kind.HISTOGRAM:
            yield (
                "series",
                (
                    f"{spec.name} is a histogram, not one number: watch its quantile in Prometheus (alert_rules/), or "
                    "here a gauge such as llm_requests_waiting or llm_probe_time_to_first_token_seconds"
                ),
            )
        elif spec.kind is Kind.INFO:
            yield "series", f"{spec.name} is always 1: of it only `absent: true` says something"
        elif spec.kind is Kind.COUNTER and self.rate is None:
            yield "series", f"{spec.name} is a counter: add `rate: 5m`, to compare its increase a second"

    def _label_problems(self, spec: Spec) -> Iterator[tuple[str, str]]:
        for name in self.labels:
            if name not in spec.labels and not spec.open_labels:
                known = f"it has {', '.join(spec.labels)}" if spec.labels else "it has none"
                yield f"labels.{name}", f"{spec.name} has no label {name!r}; {known}"


def declared(series: str) -> Spec | None:
    """The declaration of a series, of the sidecar's own too; None if there is none."""
    return SPECS.get(series) or own_specs().get(series)


def _unknown(series: str) -> str:
    """What is no series of ours: vLLM's own name for one, one of the sidecar itself, or a slip."""
    ours = next((row.spec.name for row in VLLM_ROWS if series in {each.name for each in row.upstream}), None)
    if ours is not None:
        return f"{series!r} is vLLM's own name, which changes; here it is {ours!r}"
    for suffix in ("_bucket", "_sum", "_count"):
        if series.removesuffix(suffix) in SPECS:
            return f"is a part of the histogram {series.removesuffix(suffix)!r}: watch it in Prometheus (alert_rules/)"
    near = difflib.get_close_matches(series, (*SPECS, *own_specs()), n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]!r}?" if near else "; docs/metrics.md lists them"
    return f"there is no series {series!r}{hint}"
