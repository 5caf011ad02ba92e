"""dashboards/: what the source says, with everything that a panel must have, and only series and pages that exist."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as model

from standins.shipped import ROOT, known_metrics, metrics_in
from vigil_boards import runbooks
from vigil_boards.__main__ import BOARDS, files, index
from vllm_vigil.incidents.rules import RULES

DASHBOARDS = {board.uid: json.loads((ROOT / "dashboards" / f"{board.uid}.json").read_text()) for board in BOARDS}
EVERY_BOARD = pytest.mark.parametrize("board", DASHBOARDS.values(), ids=DASHBOARDS)


def panels(board: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every panel of a dashboard, those of collapsed rows too."""
    for panel in board["panels"]:
        if panel["type"] == "row":
            yield from panel["panels"]
        else:
            yield panel


def promql(board: dict[str, Any]) -> list[str]:
    """Every PromQL expression, of panels and annotations, with the variables expanded as Grafana does."""
    found = [
        target["expr"]
        for panel in panels(board)
        for target in panel["targets"]
        if target["datasource"]["type"] == "prometheus"
    ]
    return [expanded(text) for text in found + [each["expr"] for each in board["annotations"]["list"]]]


def expanded(text: str) -> str:
    """The text with a value in the place of each variable."""
    for name, value in {
        "$__rate_interval": "5m",
        "$__range_s": "3600",
        "$__range": "1h",
        "$__interval_ms": "60000",
        "$__interval": "1m",
    }.items():
        text = text.replace(name, value)
    text = re.sub(r'le="\$\w+"', 'le="1.0"', text)
    return re.sub(r"\$(?:\w+|\{\w+\})", "0.99", re.sub(r'"\$\w+"', '".+"', text))


@pytest.mark.parametrize(
    ("path", "text"), list(files()), ids=lambda value: value.name if isinstance(value, Path) else ""
)
def test_the_committed_file_is_what_its_source_gives(path: Path, text: str) -> None:
    """`scripts/dashboards` would change nothing."""
    assert text == path.read_text()


@EVERY_BOARD
def test_every_panel_explains_itself(board: dict[str, Any]) -> None:
    """Title, unit, a text for no data; what it means, what bad implies, and what feeds it."""
    for panel in panels(board):
        defaults = panel["fieldConfig"]["defaults"]
        assert panel["title"]
        assert {"unit", "noValue"} <= set(defaults), panel["title"]
        assert "**When it is bad:** " in panel["description"], panel["title"]
        assert "**Series:** " in panel["description"] or panel["datasource"]["type"] == "loki", panel["title"]


@EVERY_BOARD
def test_every_query_names_series_of_ours(board: dict[str, Any]) -> None:
    """A renamed series cannot leave a blank panel behind."""
    known = known_metrics() | {"up"}
    assert {name for text in promql(board) for name in metrics_in(text)} - known == set()


@EVERY_BOARD
def test_prometheus_3_can_read_every_query(board: dict[str, Any]) -> None:
    """As promtool of Prometheus 2 does, in the other test."""
    for text in promql(board):
        promql_parser.parse(text)


@EVERY_BOARD
def test_every_link_leads_somewhere(board: dict[str, Any]) -> None:
    """To a board of ours, to the page of a rule or an alert, or to a document that exists."""
    uids = set(DASHBOARDS)
    for url in re.findall(r'"url": "([^"]+)"', json.dumps(board)):
        if url.startswith("/d/"):
            assert url.removeprefix("/d/").split("?")[0] in uids, url
        elif url.startswith(runbooks.URL):
            assert url.removeprefix(runbooks.URL).removesuffix(".md") in set(RULES) | alerts(), url
        else:
            assert (ROOT / url.partition("/blob/main/")[2]).is_file(), url


def alerts() -> set[str]:
    """The names of the alerts that we ship."""
    texts = [path.read_text() for path in (ROOT / "alert_rules").rglob("*.yml")]
    return {name for text in texts for name in re.findall(r"alert: (\w+)", text)}


def test_titles_and_ids_say_which_panel_is_meant() -> None:
    """Links of alerts go by the id, and people by the title: each belongs to one panel only."""
    every = [panel for board in BOARDS for panel in board.panels()]
    assert len(index()) == len(every)
    for board in DASHBOARDS.values():
        ids = [panel["id"] for panel in [*board["panels"], *panels(board)] if panel["type"] != "row"]
        rows = [panel["id"] for panel in board["panels"] if panel["type"] == "row"]
        assert len(set(rows) | set(ids)) == len(rows) + len({panel["id"] for panel in panels(board)})


@EVERY_BOARD
def test_the_sdk_s_model_knows_every_key(board: dict[str, Any]) -> None:
    """Read and written again, nothing is lost: a key that Grafana does not know would be."""
    again = json.loads(json.dumps(model.Dashboard.from_json(board), cls=JSONEncoder))
    assert again == board


@EVERY_BOARD
def test_the_file_can_be_imported_and_provisioned(board: dict[str, Any]) -> None:
    """A uid of its own, no id, no inputs that only the import form fills in, and small enough for a ConfigMap."""
    assert {"id", "__inputs", "iteration", "gnetId"} & set(board) == set()
    assert 8 <= len(board["uid"]) <= 40
    assert 39 <= board["schemaVersion"] <= 42
    assert len(json.dumps(board)) < 250_000


def test_promises_can_be_counted() -> None:
    """Every threshold that can be chosen is a bound of a bucket of the real vLLM, written as Prometheus 3 writes it."""
    page = (ROOT / "tests" / "data" / "golden" / "normalised-metrics-0.32.0-after-load.txt").read_text()
    for name, series in (
        ("ttft_slo", "llm_time_to_first_token_seconds"),
        ("itl_slo", "llm_inter_token_latency_seconds"),
        ("e2e_slo", "llm_e2e_request_latency_seconds"),
    ):
        bounds = set(re.findall(rf"{series}_bucket\{{[^}}]*le='([^']+)'", page))
        (choice,) = [each for board in BOARDS for each in board.choices if each.name == name]
        assert set(choice.values) <= bounds
        assert choice.default in choice.values


def test_collapsed_rows_name_what_enables_them() -> None:
    """A flag or a setting, in the title; and no other row is collapsed."""
    for board in DASHBOARDS.values():
        for row in (panel for panel in board["panels"] if panel["type"] == "row"):
            assert row["collapsed"] == ("(requires " in row["title"]), row["title"]
