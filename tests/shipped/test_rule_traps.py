"""The shipped rules fall into none of the traps that promtool does not see, and each check finds what it is for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import promql_parser
import pytest

from standins.label_flow import Labels, labels_of, mismatches
from standins.promtool import rules_of
from standins.traps import CHECKS, Check
from vigil_rules.__main__ import FILES, LAYER, TARGETS

RULES = [*rules_of(FILES), *rules_of([TARGETS])]
NAMED = [rule.get("alert") or rule["record"] for rule in RULES]


def recorded() -> Mapping[str, Labels]:
    """What the records give, in their order."""
    found: dict[str, Labels] = {}
    for rule in RULES:
        if "record" in rule:
            found[rule["record"]] = labels_of(promql_parser.parse(rule["expr"]), found)
    return found


RECORDED = recorded()


@pytest.mark.parametrize(("check", "bad"), CHECKS, ids=[f"{check.__name__}: {bad}" for check, bad in CHECKS])
def test_a_check_finds_what_it_is_for(check: Check, bad: str) -> None:
    """Or it would be worth nothing."""
    assert list(check(promql_parser.parse(bad)))


@pytest.mark.parametrize("rule", RULES, ids=NAMED)
def test_no_rule_falls_into_a_trap(rule: dict[str, Any]) -> None:
    """None of them."""
    expr = promql_parser.parse(rule["expr"])
    assert [(check.__name__, problem) for check, _ in CHECKS for problem in check(expr)] == []


@pytest.mark.parametrize("rule", RULES, ids=NAMED)
def test_no_rule_matches_by_a_label_that_is_not_there(rule: dict[str, Any]) -> None:
    """A match by a missing label joins everything with everything, or nothing."""
    assert list(mismatches(promql_parser.parse(rule["expr"]), RECORDED)) == []


@pytest.mark.parametrize("rule", [rule for rule in RULES if "alert" in rule], ids=lambda rule: str(rule["alert"]))
def test_no_alert_names_a_label_that_its_expression_drops(rule: dict[str, Any]) -> None:
    """promtool renders an empty text and is content."""
    given = labels_of(promql_parser.parse(rule["expr"]), RECORDED)
    said = set(re.findall(r"\$labels\.(\w+)", str(rule["annotations"])))
    assert given is None or said <= given


def test_the_flow_of_labels_finds_a_match_by_a_label_that_was_dropped() -> None:
    """As does the check of aggregations."""
    dropped = "sum by (server) (llm_requests_running) > 0 and on (server, engine) llm_requests_waiting > 0"
    assert list(mismatches(promql_parser.parse(dropped), {})) == ["and on (engine), which one side does not have"]
    unknown = "sum by (server, gpu) (llm_requests_running)"
    assert list(mismatches(promql_parser.parse(unknown), {})) == ["sum by (gpu), which it does not have"]


@pytest.mark.parametrize("rule", [rule for rule in RULES if "alert" in rule], ids=lambda rule: str(rule["alert"]))
def test_every_alert_compares_or_asks_for_absence(rule: dict[str, Any]) -> None:
    """One that does neither fires always; only the Watchdog means to."""
    compares = re.search(r"[<>]|==|!=|\bunless\b|\bgroup by\b", rule["expr"])
    assert compares or rule["alert"] == "Watchdog"


def test_the_layer_for_raw_names_keeps_every_range_long_enough() -> None:
    """The generated rules are read by the same checks of ranges and functions."""
    wanted = {"short_range", "new_function", "fragile_choice", "name_by_pattern"}
    for rule in rules_of(LAYER):
        expr = promql_parser.parse(rule["expr"])
        assert [problem for check, _ in CHECKS if check.__name__ in wanted for problem in check(expr)] == []
