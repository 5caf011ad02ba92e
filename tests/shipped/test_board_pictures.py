"""The boards are seen: Grafana's own components paint every panel with data of a real Prometheus, and none overlap."""

from __future__ import annotations

import itertools
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from standins.pictures import IMAGES, RENDER, Servers, draw, page
from standins.shipped import ROOT
from vigil_boards.__main__ import BOARDS
from vigil_boards.board import Board

pytestmark = pytest.mark.no_cover
EVERY_BOARD = pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.uid)

EMPTY_IN_THE_PICTURE = {
    "First token: budget lasts": "nothing was spent in the last hour",
    "Next token: budget lasts": "nothing was spent in the last hour",
    "Whole answer: budget lasts": "nothing was spent in the last hour",
    "Full in": "no cache fills up at the end of the day",
    "Behind its tensor-parallel peers": "the play's tensor-parallel group is not busy enough to compare clocks",
    "Cgroup memory, share of the limit": "the played containers have no limit",
    "Samples left out": "no server has too many series",
    "Since the last success": "what is told is taken from the outbox, and not sent",
    "Recordings of incidents": "the simulation keeps none",
    "Heartbeats": "the played sidecar has none configured",
    "Alertmanager: pushes": "the played sidecar has none configured",
    "OOM kills of the sidecar": "it is in no cgroup",
    "The sidecar on incidents": "only vLLM's own log is followed",
    "Kernel: XID and OOM": "only vLLM's own log is followed",
}
"""Panels of the first sidecar that say so instead of showing data; test_board_queries.py shows data in all of them."""


@pytest.fixture(scope="session")
def seen(board_servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Every board drawn to its end, and what each panel painted."""
    scratch = tmp_path_factory.mktemp("pictures")
    prepared = subprocess.run(
        [ROOT / "scripts" / "pictures", "--prepare"], capture_output=True, text=True, check=False, timeout=280
    )
    assert prepared.returncode == 0, prepared.stdout + prepared.stderr
    pages = [page(board.uid, "dark", scratch / f"{board.uid}.png", height=3600) for board in BOARDS]
    return {each["board"]: each for each in draw(board_servers, pages, scratch)}


@pytest.mark.timeout(600)
@EVERY_BOARD
def test_every_panel_paints_data_or_says_why_not(seen: dict[str, dict[str, Any]], board: Board) -> None:
    """Charts have ink on their canvas, the others have text beside their title; no query failed."""
    told = seen[board.uid]
    assert told["troubles"] == []
    empty = {panel["title"] for panel in told["panels"] if panel["status"] == "empty"}
    assert empty - set(EMPTY_IN_THE_PICTURE) == set()
    for panel in told["panels"]:
        assert panel["status"] in {"data", "empty"}, panel
        text = panel["text"].replace(panel["title"], "", 1).strip()
        assert panel["painted"] > 500 or text, panel["title"]


@EVERY_BOARD
def test_no_panel_lies_over_another_or_over_the_edge(seen: dict[str, dict[str, Any]], board: Board) -> None:
    """At 1440 pixels."""
    boxes = [(panel["title"], panel["box"]) for panel in seen[board.uid]["panels"]]
    for _, box in boxes:
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 1440
    for (one, first), (other, second) in itertools.combinations(boxes, 2):
        apart = (
            first["x"] + first["width"] <= second["x"]
            or second["x"] + second["width"] <= first["x"]
            or first["y"] + first["height"] <= second["y"]
            or second["y"] + second["height"] <= first["y"]
        )
        assert apart, (one, other)


def test_the_first_screen_says_whether_it_serves_what_is_wrong_and_since_when(seen: dict[str, dict[str, Any]]) -> None:
    """Within 900 pixels: the state of each engine, the open incidents, the models, and the numbers above them."""
    shown = {panel["title"]: panel for panel in seen["vigil-overview"]["panels"] if panel["box"]["y"] < 900}
    for title in ("Engines serving", "State of each engine", "What is wrong", "Models"):
        assert shown[title]["box"]["y"] + shown[title]["box"]["height"] <= 900, title
    assert "engine_stalled" in shown["What is wrong"]["text"]
    assert "minutes ago" in shown["What is wrong"]["text"]
    assert "stalled" in shown["Models"]["text"]


@EVERY_BOARD
def test_the_committed_picture_is_there_and_small(board: Board) -> None:
    """And the documentation shows it."""
    picture = IMAGES / f"{board.uid}.png"
    assert 20_000 < picture.stat().st_size < 300_000
    assert f"images/{picture.name}" in (ROOT / "docs" / "dashboards.md").read_text()


def test_loki_s_grammar_reads_every_log_query(seen: dict[str, dict[str, Any]]) -> None:
    """By the grammar that Grafana's own editor uses; and it refuses what is none."""
    assert seen
    texts = [query.expression for board in BOARDS for panel in board.panels() if panel.logs for query in panel.queries]
    texts = [text.replace("$__auto", "5m").replace("$server", ".+") for text in texts]
    assert texts
    assert not any("$" in text for text in texts)
    broken = '{job="vllm"} |~'
    done = subprocess.run(
        ["node", "logql.mjs"],
        cwd=RENDER,
        input=json.dumps([*texts, broken]),
        capture_output=True,
        text=True,
        check=True,
    )
    assert [broken] == json.loads(done.stdout)


def test_the_renderer_is_pinned() -> None:
    """Exact versions, and a lock file with a checksum of every package."""
    package = json.loads((RENDER / "package.json").read_text())
    assert all(version[0].isdigit() for version in package["dependencies"].values())
    locked = json.loads((RENDER / "package-lock.json").read_text())["packages"]
    assert [
        name for name, each in locked.items() if name and not each.get("integrity") and not each.get("inBundle")
    ] == []
    assert Path(RENDER / "shoot.mjs").exists()
