"""Which rules say something where only some series exist: for sites without the sidecar."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import promql_parser as promql


@dataclass(frozen=True, slots=True)
class Shape:
    """One kind of a series: the labels that are `fixed`, and which others it can have at all, None for any."""

    fixed: Mapping[str, str] = field(default_factory=dict)
    free: frozenset[str] | None = None

    def fits(self, selector: promql.VectorSelector) -> bool:
        """Whether a selector can take it; a label that it cannot have is the same as an empty one."""
        return all(
            _matches(str(each.op), str(each.value), self.fixed.get(each.name, ""))
            for each in selector.matchers.matchers
            if each.name in self.fixed or (self.free is not None and each.name not in self.free)
        )


Known = Mapping[str, Sequence[Shape]]
"""The series that exist."""


def known_from(rules: Iterable[Mapping[str, Any]]) -> dict[str, list[Shape]]:
    """What recording rules give."""
    known: dict[str, list[Shape]] = {}
    for rule in rules:
        if "record" in rule:
            free = _kept(promql.parse(rule["expr"]))
            known.setdefault(rule["record"], []).append(Shape(rule.get("labels", {}), free))
    return known


def _kept(expr: promql.Expr) -> frozenset[str] | None:
    """The labels that an expression leaves, if it ends in an aggregation by some."""
    match expr:
        case promql.AggregateExpr(modifier=promql.AggModifier(type=promql.AggModifierType.By, labels=labels)):
            return frozenset(labels)
        case _:
            return None


def silent(rules: Sequence[Mapping[str, Any]], known: Known) -> list[str]:
    """The alerts that never fire, if only the series `known` and what is recorded from them exist."""
    parsed = [(rule, promql.parse(rule["expr"])) for rule in rules]
    reached, size = dict(known), -1
    while len(reached) != size:
        size = len(reached)
        reached |= {rule["record"]: [Shape()] for rule, expr in parsed if "record" in rule and alive(expr, reached)}
    return [rule["alert"] for rule, expr in parsed if "alert" in rule and not alive(expr, reached)]


def alive(expr: promql.Expr, known: Known) -> bool:
    """Whether an expression can give anything."""
    match expr:
        case promql.VectorSelector():
            return any(shape.fits(expr) for shape in known.get(str(expr.name), ()))
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


def _matches(operator: str, wanted: str, value: str) -> bool:
    same = bool(re.fullmatch(wanted, value)) if "~" in operator or "Re" in operator else wanted == value
    return not same if "!" in operator or "Not" in operator else same
