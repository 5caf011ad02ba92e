"""dashboards/: every panel asks for metrics that exist, through the data source variable, and explains itself."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from standins.shipped import ROOT, known_metrics, metrics_in

DASHBOARDS = sorted((ROOT / "dashboards").glob("*.json"))


def panels(path: Path) -> Iterator[dict[str, Any]]:
    """Every panel of a dashboard."""
    yield from json.loads(path.read_text())["panels"]


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.name)
def test_every_query_names_metrics_of_ours(path: Path) -> None:
    """A renamed series cannot leave a blank panel behind."""
    expressions = [target["expr"] for panel in panels(path) for target in panel["targets"]]
    assert expressions
    assert [found for text in expressions if (found := metrics_in(text)) == set() or not found <= known_metrics()] == []


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.name)
def test_every_panel_explains_itself_and_asks_the_chosen_data_source(path: Path) -> None:
    """Title, description, unit, a text for no data; no data source is fixed."""
    for panel in panels(path):
        defaults = panel["fieldConfig"]["defaults"]
        assert panel["title"], panel["id"]
        assert panel["description"], panel["title"]
        assert {"unit", "noValue"} <= set(defaults), panel["title"]
        assert {target["datasource"]["uid"] for target in panel["targets"]} == {"${datasource}"}


def test_no_two_dashboards_share_a_uid() -> None:
    """Grafana would keep one of them."""
    uids = [json.loads(path.read_text())["uid"] for path in DASHBOARDS]
    assert sorted(set(uids)) == sorted(uids)
