"""Every query of every panel, variable and annotation gives data from a real Prometheus that the sidecar has filled."""

from __future__ import annotations

import json
import math
import re
import urllib.parse
import urllib.request
from typing import Any

import pytest

from standins import board_day
from standins.pictures import Servers
from vigil_boards.__main__ import BOARDS
from vigil_boards.board import ANNOTATIONS, Board
from vigil_boards.scope import scoped
from vllm_vigil.series.catalogue import SPECS

WITHOUT_DATA: dict[str, str] = {}
"""Panels that may show nothing, with the reason."""

OWN = {"__rate_interval": "1m", "__range": "3h", "__range_s": "10800", "__interval": "1m", "__interval_ms": "60000"}
pytestmark = pytest.mark.no_cover
EVERY_BOARD = pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.uid)


@pytest.fixture
def prometheus(board_servers: Servers) -> str:
    """The address of the Prometheus with the boards' day."""
    return board_servers.prometheus


def ask(address: str, path: str, **parameters: object) -> Any:
    """What Prometheus answers; an error is one of the test."""
    with urllib.request.urlopen(f"{address}/api/v1/{path}?{urllib.parse.urlencode(parameters, doseq=True)}") as answer:
        return json.load(answer)["data"]


def variables(board: Board) -> dict[str, dict[str, Any]]:
    """The board's variables by name, as they stand in the file."""
    return {each["name"]: each for each in json.loads(board.json())["templating"]["list"]}


def expanded(text: str, board: Board) -> str:
    """The text as Grafana asks it with All chosen; nothing is left to fill in."""
    values = dict(OWN)
    for name, variable in variables(board).items():
        values[name] = (
            variable["allValue"] if variable["type"] == "query" else variable.get("current", {}).get("value", "")
        )
    text = re.sub(r"\$\{?(\w+)\}?", lambda found: values[found[1]], text)
    assert "$" not in text
    return text


def finite(address: str, expression: str) -> int:
    """How many numbers the expression gave in the three hours."""
    asked = {"query": expression, "start": board_day.BEGIN, "end": board_day.END, "step": 60}
    found = ask(address, "query_range", **asked)["result"]
    return sum(math.isfinite(float(value)) for series in found for _, value in series["values"])


@pytest.mark.timeout(300)
@EVERY_BOARD
def test_every_query_gives_data(prometheus: str, board: Board) -> None:
    """All of them, those of collapsed rows too; a panel on the list above must really have none."""
    empty = [
        (panel.title, query.expression)
        for panel in board.panels()
        if not panel.logs
        for query in panel.queries
        if not finite(prometheus, expanded(scoped(query.expression), board))
    ]
    assert [title for title in WITHOUT_DATA if title in {panel.title for panel in board.panels()}] == [
        title for title, _ in empty if title in WITHOUT_DATA
    ]
    assert [each for each in empty if each[0] not in WITHOUT_DATA] == []


@EVERY_BOARD
def test_every_variable_has_values_to_choose_from(prometheus: str, board: Board) -> None:
    """And each is chained to the ones before it."""
    seen: list[str] = []
    for name, variable in variables(board).items():
        if variable["type"] != "query":
            continue
        query = variable["definition"]
        assert [
            each for each in seen if f'=~"${each}"' not in query and not {each, name} <= {"model_name", "gpu"}
        ] == []
        series, label = query.removeprefix("label_values(").removesuffix(")").rsplit(", ", 1)
        moment = {"match[]": expanded(series, board), "start": board_day.BEGIN, "end": board_day.END}
        assert ask(prometheus, f"label/{label}/values", **moment), query
        seen.append(name)


@pytest.mark.parametrize("annotation", ANNOTATIONS, ids=lambda annotation: annotation[0])
def test_every_annotation_marks_something(prometheus: str, annotation: tuple[str, ...]) -> None:
    """The play has restarts, incidents and an XID; a new version comes by hand."""
    if annotation[0] == "New vLLM version":
        assert ask(prometheus, "query", query=expanded(scoped(annotation[2]), BOARDS[0]))["result"] == []
    else:
        assert finite(prometheus, expanded(scoped(annotation[2]), BOARDS[0]))


def test_the_second_sidecar_has_every_series() -> None:
    """So that a panel without data cannot be blamed on the test."""
    text = board_day.featured_text()
    assert [name for name in SPECS if not re.search(rf"^{name}(?:_bucket)?[{{ ]", text, re.MULTILINE)] == []
