"""Which rules say something where only some series exist: for sites without the sidecar."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import promql_parser as promql

Known = Mapping[str, Sequence[Mapping[str, str]]]
"""The series that exist, each with the labels that are fixed for it; labels that are not named here may be anything."""


def known_from(rules: Iterable[Mapping[str, Any]]) -> dict[str, list[Mapping[str, str]]]:
    """What recording rules give."""
    known: dict[str, list[Mapping[str, str]]] = {}
    for rule in rules:
        if "record" in rule:
            known.setdefault(rule["record"], []).append(rule.get("labels", {}))
    return known


def silent(rules: Sequence[Mapping[str, Any]], known: Known) -> list[str]:
    """The alerts that never fire, if only the series `known` and what is recorded from them exist."""
    parsed = [(rule, promql.parse(rule["expr"])) for rule in rules]
    reached, size = dict(known), -1
    while len(reached) != size:
        size = len(reached)
        reached |= {rule["record"]: [{}] for rule, expr in parsed if "record" in rule and alive(expr, reached)}
    return [rule["alert"] for rule, expr in parsed if "alert" in rule and not alive(expr, reached)]


def alive(expr: promql.Expr, known: Known) -> bool:
    """Whether an expression can give anything."""
    match expr:
        case promql.VectorSelector():
            return any(_selects(expr, labels) for labels in known.get(str(expr.name), ()))
        case promql.MatrixSelector():
            return alive(expr.vector_selector, known)
        case promql.BinaryExpr():
            left, right = alive(expr.lhs, known), alive(expr.rhs, known)
            return {"or": left or right, "unless": left}.get(str(expr.op), left and right)
        case promql.Call():
            return all(alive(each, known) for each in expr.args)
        case promql.ParenExpr() | promql.AggregateExpr() | promql.SubqueryExpr() | promql.UnaryExpr():
            return alive(expr.expr, known)
        case _:
            return True


def _selects(selector: promql.VectorSelector, labels: Mapping[str, str]) -> bool:
    matchers = [each for each in selector.matchers.matchers if each.name in labels]
    return all(_matches(str(each.op), str(each.value), labels[each.name]) for each in matchers)


def _matches(operator: str, wanted: str, value: str) -> bool:
    same = bool(re.fullmatch(wanted, value)) if "~" in operator or "Re" in operator else wanted == value
    return not same if "!" in operator or "Not" in operator else same
