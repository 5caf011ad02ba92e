"""alert_rules/: promtool accepts the rules, their unit tests pass, and every metric in them is one of ours."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from standins.shipped import ROOT, known_metrics, metrics_in

RULES = sorted((ROOT / "alert_rules").glob("*.yml"))
UNIT_TESTS = Path(__file__).with_name("vigil_rules_test.yml")


def promtool(*arguments: str) -> str:
    """What promtool says; it must have nothing to complain of."""
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("path", RULES, ids=lambda path: path.name)
def test_promtool_accepts_the_rules(path: Path) -> None:
    """Syntax, expressions, templates."""
    assert "SUCCESS" in promtool("check", "rules", str(path))


def test_each_alert_fires_on_its_trouble_and_not_before(tmp_path: Path) -> None:
    """With its exact annotations; the unit tests name every alert."""
    text = UNIT_TESTS.read_text().replace("RULES", ", ".join(map(str, RULES)))
    (tmp_path / "tests.yml").write_text(text)
    promtool("test", "rules", str(tmp_path / "tests.yml"))
    tested = set(re.findall(r"alertname: (\w+)\n", text))
    assert tested == {rule["alert"] for rule in rules()}


def test_every_alert_names_a_metric_of_ours_and_says_what_to_do() -> None:
    """A renamed series cannot leave an alert behind that never fires."""
    for rule in rules():
        assert metrics_in(rule["expr"]) <= {"up"} | known_metrics(), rule["alert"]
        assert {"summary", "description"} <= set(rule["annotations"]), rule["alert"]
        assert rule["labels"]["severity"] in {"critical", "warning", "info"}


def rules() -> list[dict[str, Any]]:
    """Every rule of every file."""
    groups = [group for path in RULES for group in yaml.safe_load(path.read_text())["groups"]]
    return [rule for group in groups for rule in group["rules"]]
