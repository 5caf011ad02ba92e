"""A `watch:` row -> what is wrong with the series that it names: unknown, not a number, labels that it has not.

Apart from the row, because whoever only loads a configuration without one need not load the catalogue.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from vllm_vigil.series.catalogue import SPECS, own_specs
from vllm_vigil.series.spec import Kind, Spec
from vllm_vigil.series.vllm import VLLM_ROWS

if TYPE_CHECKING:
    from vllm_vigil.verdict.watch_settings import WatchSettings

SHORTEST_RATE = 30.0


def series_problems(row: WatchSettings) -> Iterator[tuple[str, str]]:
    """What it cannot watch, as (field, message)."""
    spec = declared(row.series)
    if spec is None:
        yield "series", _unknown(row.series)
        return
    yield from _kind_problems(row, spec)
    yield from _label_problems(row, spec)


def declared(series: str) -> Spec | None:
    """The declaration of a series, of the sidecar's own too; None if there is none."""
    return SPECS.get(series) or own_specs().get(series)


def _kind_problems(row: WatchSettings, spec: Spec) -> Iterator[tuple[str, str]]:
    if row.rate is not None and (row.absent or spec.kind is not Kind.COUNTER):
        yield "rate", "is for counters that are compared" + ("" if row.absent else f", and {spec.name} is none")
    elif row.rate is not None and row.rate < SHORTEST_RATE:
        yield "rate", f"must be {SHORTEST_RATE:.0f}s or more"
    if row.absent:
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
    elif spec.kind is Kind.COUNTER and row.rate is None:
        yield "series", f"{spec.name} is a counter: add `rate: 5m`, to compare its increase a second"


def _label_problems(row: WatchSettings, spec: Spec) -> Iterator[tuple[str, str]]:
    for name in row.labels:
        if name not in spec.labels and not spec.open_labels:
            known = f"it has {', '.join(spec.labels)}" if spec.labels else "it has none"
            yield f"labels.{name}", f"{spec.name} has no label {name!r}; {known}"


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
