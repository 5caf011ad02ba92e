"""A PromQL expression -> its parts, by the grammar of Prometheus 3."""

from __future__ import annotations

import re
from collections.abc import Iterable

import promql_parser as promql


def nodes(expression: str | promql.Expr) -> list[promql.Expr]:
    """The expression and all in it, parents first."""
    found: list[promql.Expr] = []
    promql.walk(promql.parse(expression) if isinstance(expression, str) else expression, found.append)
    return found


def selectors(expression: str | promql.Expr) -> list[promql.VectorSelector]:
    """Every series selector, those of ranges too."""
    return [node for node in nodes(expression) if isinstance(node, promql.VectorSelector)]


def names(expression: str) -> set[str]:
    """The series that it reads."""
    return {str(selector.name) for selector in selectors(expression)}


def alerts_in(expression: str, alerts: Iterable[str]) -> set[str]:
    """Those of these alerts that it asks for: `ALERTS` is what Prometheus records of them."""
    asked = [
        str(matcher.value)
        for selector in selectors(expression)
        for matcher in selector.matchers.matchers
        if selector.name == "ALERTS" and matcher.name == "alertname"
    ]
    return {alert for alert in alerts for pattern in asked if re.fullmatch(pattern, alert)}
