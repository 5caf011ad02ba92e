"""The rules of Grafana's dashboard linter, each as a test, on every board, without an exclusion.

The linter is a Go program that cannot be had here; the names are its own. The rules for PromQL are held on the targets
that ask Prometheus, those for LogQL on the ones that ask Loki.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import promql_parser as promql
import pytest

from standins.promql import nodes, selectors
from vigil_boards.__main__ import BOARDS

EVERY_BOARD = pytest.mark.parametrize(
    "board", [json.loads(board.json()) for board in BOARDS], ids=[b.uid for b in BOARDS]
)

UNITS = {"none", "string", "short", "percent", "percentunit", "locale", "bytes", "Bps", "watt", "joule", "celsius"} | {
    *("hertz", "s", "cps", "ops", "reqps", "dateTimeFromNow"),
}
"""Those of Grafana's list that the boards use."""

RATES = {"rate", "irate", "increase"}


def panels(board: dict[str, Any]) -> list[dict[str, Any]]:
    """Every panel, those of collapsed rows too."""
    return [each for panel in board["panels"] for each in (panel["panels"] if panel["type"] == "row" else [panel])]


def variables(board: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    """The variables of one kind."""
    return [each for each in board["templating"]["list"] if each["type"] == kind]


def targets(board: dict[str, Any], kind: str) -> Iterator[str]:
    """The expressions that ask data sources of one kind."""
    for panel in panels(board):
        yield from (target["expr"] for target in panel["targets"] if target["datasource"]["type"] == kind)


def parsed(text: str) -> promql.Expr:
    """An expression with a value in the place of each variable, `$__rate_interval` being 11 hours as in the linter."""
    text = re.sub(r'(=~?)"\$(\w+)"', r'\1"var_\2"', text).replace("$__rate_interval", "11h")
    text = text.replace("$__range_s", "3600").replace("$__range", "1h").replace("$__interval_ms", "60000")
    return promql.parse(re.sub(r"\$\w+", "1", text.replace("[$budget_window]", "[1d]")))


def calls(expression: promql.Expr) -> Iterator[tuple[str, promql.MatrixSelector]]:
    """Every function that is given a range of a series, with the range."""
    for node in nodes(expression):
        if isinstance(node, promql.Call):
            yield from ((node.func.name, given) for given in node.args if isinstance(given, promql.MatrixSelector))


@EVERY_BOARD
def test_template_datasource(board: dict[str, Any]) -> None:
    """The data sources are variables with the linter's names; Prometheus' comes first."""
    found = variables(board, "datasource")
    assert [each["name"] for each in found] == [f"{each['query']}_datasource" for each in found]
    assert [each["label"] for each in found] == [f"{each['query'].capitalize()} data source" for each in found]
    assert found[0]["query"] == "prometheus"


@pytest.mark.parametrize("name", ["job", "instance"])
@EVERY_BOARD
def test_template_job_and_instance(board: dict[str, Any], name: str) -> None:
    """Both are there, ask Prometheus, take several, and All is anything but nothing."""
    (variable,) = [each for each in variables(board, "query") if each["name"] == name]
    assert "${prometheus_datasource}" == variable["datasource"]["uid"]
    assert (name.capitalize(), True, ".+") == (variable["label"], variable["multi"], variable["allValue"])


@EVERY_BOARD
def test_template_label_promql_and_on_time_change_reload(board: dict[str, Any]) -> None:
    """Queries of variables are `label_values` of a series that parses, asked again when the time changes."""
    for variable in variables(board, "query"):
        function, inside = re.fullmatch(r"(\w+)\((.+)\)", variable["definition"]).groups()  # type: ignore[union-attr]
        assert function == "label_values"
        parsed(inside.rsplit(", ", 1)[0])
        assert variable["refresh"] == 2


@EVERY_BOARD
def test_panel_datasource(board: dict[str, Any]) -> None:
    """No panel and no target has a data source of its own."""
    names = {f"${{{each['name']}}}" for each in variables(board, "datasource")}
    for panel in panels(board):
        assert {panel["datasource"]["uid"], *(each["datasource"]["uid"] for each in panel["targets"])} <= names


@EVERY_BOARD
def test_panel_title_description_and_no_targets(board: dict[str, Any]) -> None:
    """Every panel has a title, a description and something to ask."""
    assert [
        panel["id"] for panel in panels(board) if not (panel["title"] and panel["description"] and panel["targets"])
    ] == []


@EVERY_BOARD
def test_panel_units(board: dict[str, Any]) -> None:
    """Every panel's and every column's unit is one that Grafana knows."""
    for panel in panels(board):
        overrides = [each for override in panel["fieldConfig"]["overrides"] for each in override["properties"]]
        units = {panel["fieldConfig"]["defaults"]["unit"]} | {
            each["value"] for each in overrides if each["id"] == "unit"
        }
        assert units <= UNITS, panel["title"]


@EVERY_BOARD
def test_target_promql(board: dict[str, Any]) -> None:
    """Every query parses."""
    for text in targets(board, "prometheus"):
        parsed(text)


@EVERY_BOARD
def test_target_rate_interval(board: dict[str, Any]) -> None:
    """`rate` is taken over `$__rate_interval`, and over nothing else."""
    for text in targets(board, "prometheus"):
        spans = [given.range.total_seconds() / 3600 for name, given in calls(parsed(text)) if name in {"rate", "irate"}]
        assert [span for span in spans if span != 11] == [], text


@EVERY_BOARD
def test_target_job_and_instance(board: dict[str, Any]) -> None:
    """Every series is selected by both; so a board can be narrowed to one sidecar."""
    for text in targets(board, "prometheus"):
        for selector in selectors(parsed(text)):
            matchers = {matcher.name: (str(matcher.op), matcher.value) for matcher in selector.matchers.matchers}
            assert "var_job" == matchers["job"][1], text
            assert "var_instance" == matchers["instance"][1], text


@EVERY_BOARD
def test_target_counter_agg(board: dict[str, Any]) -> None:
    """A counter is only ever read through rate, irate or increase."""
    for text in targets(board, "prometheus"):
        read = re.findall(r"(\w+)\(\w+_total\{[^}]*\}\[", text)
        assert len(re.findall(r"\w+_total\{", text)) == len(read), text
        assert set(read) <= RATES, text


@EVERY_BOARD
def test_target_logql_auto(board: dict[str, Any]) -> None:
    """Ranges of log lines are `$__auto`; that the queries parse is in test_board_pictures.py."""
    for text in targets(board, "loki"):
        assert set(re.findall(r"\[([^\]]*)\]\)", text)) <= {"$__auto"}, text


@EVERY_BOARD
def test_uneditable_dashboard(board: dict[str, Any]) -> None:
    """What is provisioned is not edited in place."""
    assert board["editable"] is False
