"""Which labels an expression gives: promtool never asks, and `{{ $labels.instance }}` may be empty for ever."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import promql_parser as promql
from prometheus_client.metrics import MetricWrapperBase

from standins.promql import nodes
from vigil_boards.scope import LABELS, base
from vllm_vigil.clock import CrankedClock
from vllm_vigil.telemetry import Telemetry

TARGET = frozenset({"job", "instance"})
VIGIL = {
    name: frozenset(collector._labelnames)
    for collector, names in Telemetry(CrankedClock()).registry._collector_to_names.items()
    for name in names
    if isinstance(collector, MetricWrapperBase)
}
"""The sidecar's own series, which stand in no table."""

Labels = frozenset[str] | None
"""None where it is not known: series of others, or of open labels."""


def labels_of(expr: promql.Expr, recorded: Mapping[str, Labels]) -> Labels:
    """The labels of a result."""
    match expr:
        case promql.VectorSelector():
            return _of_series(str(expr.name), recorded)
        case promql.MatrixSelector():
            return _of_series(str(expr.vector_selector.name), recorded)
        case promql.AggregateExpr():
            return frozenset(expr.modifier.labels if expr.modifier else ())
        case promql.BinaryExpr():
            return _of_pair(expr, recorded)
        case promql.Call():
            return _of_call(expr, recorded)
        case promql.ParenExpr() | promql.SubqueryExpr() | promql.UnaryExpr():
            return labels_of(expr.expr, recorded)
        case _:
            return frozenset()


def _of_series(name: str, recorded: Mapping[str, Labels]) -> Labels:
    if name in recorded:
        return recorded[name]
    if (series := base(name)) in LABELS:
        histogram = frozenset({"le"}) if name.endswith("_bucket") else frozenset()
        return frozenset(LABELS[series]) | TARGET | histogram
    return VIGIL[name] | TARGET if name in VIGIL else None


def _of_pair(expr: promql.BinaryExpr, recorded: Mapping[str, Labels]) -> Labels:
    left, right = labels_of(expr.lhs, recorded), labels_of(expr.rhs, recorded)
    if isinstance(expr.lhs, promql.NumberLiteral) or left == frozenset():
        return right if str(expr.op) not in {"and", "unless"} else left
    if str(expr.op) == "or":
        return None if left is None or right is None else left & right
    if str(expr.op) in {"/", "*", "+", "-"} and expr.modifier and expr.modifier.group_labels and left is not None:
        return left | frozenset(expr.modifier.group_labels)
    return left


def _of_call(expr: promql.Call, recorded: Mapping[str, Labels]) -> Labels:
    name = expr.func.name
    if name in {"time", "vector"}:
        return frozenset()
    inner = labels_of(expr.args[1 if name in {"histogram_quantile", "quantile_over_time"} else 0], recorded)
    if inner is None:
        return None
    if name == "histogram_quantile":
        return inner - {"le"}
    return inner | {expr.args[1].val} if name in {"label_replace", "label_join"} else inner


def mismatches(expr: promql.Expr, recorded: Mapping[str, Labels]) -> Iterator[str]:
    """Where two sides are matched, or a sum is kept apart, by a label that is not there."""
    for node in nodes(expr):
        if isinstance(node, promql.AggregateExpr) and node.modifier:
            given = labels_of(node.expr, recorded)
            for label in _missing(node.modifier.labels, given):
                yield f"{node.op} by ({label}), which it does not have"
        if isinstance(node, promql.BinaryExpr) and node.modifier and node.modifier.matching:
            for side in (node.lhs, node.rhs):
                for label in _missing(node.modifier.matching.labels, labels_of(side, recorded)):
                    yield f"{node.op} on ({label}), which one side does not have"


def _missing(wanted: Iterable[str], given: Labels) -> list[str]:
    return [] if given is None else [label for label in wanted if label not in given]
