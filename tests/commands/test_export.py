"""`vigil export`: the shipped rules and boards come out whole, and objectives of one's own become rules that hold."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from standins.shipped import ROOT
from vllm_vigil.cli import main

TIERS = """
objectives:
  - {tier: gold, server: llama, availability_percent: 99.95, uptime_percent: 99.5,
     time_to_first_token: {within: 500ms, target_percent: 95}}
  - {tier: gold, time_to_first_token: {within: 2500ms, target_percent: 95}}
  - {time_to_first_token: {within: 1s, target_percent: 99}}
"""


def rules_of(text: str) -> list[dict[str, Any]]:
    """Every rule of a file."""
    return [rule for group in yaml.safe_load(text)["groups"] for rule in group["rules"]]


@pytest.fixture
def own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """The rules of two tiers."""
    (tmp_path / "slo.yaml").write_text(TIERS)
    assert main(["export", "rules", "--slo", str(tmp_path / "slo.yaml")]) == 0
    return capsys.readouterr().out


def test_the_default_objectives_give_the_shipped_rules(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """But for the line that says where they come from."""
    (tmp_path / "slo.yaml").write_text("")
    assert main(["export", "rules", "--slo", str(tmp_path / "slo.yaml")]) == 0
    shipped = (ROOT / "alert_rules" / "slo.yml").read_text()
    assert shipped.split("\n", 1)[1] == capsys.readouterr().out.split("\n", 1)[1]


def test_promtool_accepts_them(own: str, tmp_path: Path) -> None:
    """No two rules are the same, whatever the tiers."""
    (tmp_path / "slo.yml").write_text(own)
    checked = subprocess.run(
        ["promtool", "check", "rules", "--lint=all", "--lint-fatal", str(tmp_path / "slo.yml")],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_a_server_with_an_objective_of_its_own_is_no_other_s(own: str) -> None:
    """In the same tier; in another it is promised as much as everyone."""
    records = [rule for rule in rules_of(own) if rule.get("record", "").endswith("first_token_errors:ratio_rate5m")]
    gold, others, default = records
    assert 'le="0.5", server="llama"' in gold["expr"]
    assert 'le="2.5", server!~"llama"' in others["expr"]
    assert 'le="1.0"}' in default["expr"]
    assert [rule.get("labels", {}).get("tier") for rule in records] == ["gold", "gold", None]


def test_alerts_ask_for_their_own_tier_and_have_their_links(own: str) -> None:
    """Each leads to a runbook and a panel."""
    alerts = [rule for rule in rules_of(own) if "alert" in rule]
    assert all({"runbook_url", "dashboard_url"} <= set(alert["annotations"]) for alert in alerts)
    fast = next(alert for alert in alerts if alert["alert"] == "VllmTtftBudgetBurnsFast")
    assert 'ratio_rate1h{tier="gold", server="llama"} > 0.72' in fast["expr"]
    assert "tier gold" in fast["annotations"]["summary"]


@pytest.mark.parametrize(
    ("what", "folder", "pattern"),
    [
        ("rules", "alert_rules", "*.yml"),
        ("dashboards", "dashboards", "vigil-*.json"),
        ("alertmanager", "alert_rules/alertmanager", "**/*.*"),
    ],
)
def test_a_folder_gets_every_file(what: str, folder: str, pattern: str, tmp_path: Path) -> None:
    """As they are in the checkout."""
    output = tmp_path / "new" / what
    assert main(["export", what, "--output", str(output)]) == 0
    expected = {path.relative_to(ROOT / folder): path.read_text() for path in (ROOT / folder).glob(pattern)}
    assert expected == {path.relative_to(output): path.read_text() for path in output.rglob("*.*")}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["dashboards"], "say where to: `vigil export dashboards --output DIR`"),
        (["dashboards", "--slo", "x.yaml"], "--slo makes rules"),
        (["rules", "--slo", "missing.yaml"], "cannot read the objectives file missing.yaml"),
        (["rules", "--output", "/proc/nowhere"], "--output: cannot write into /proc/nowhere"),
    ],
)
def test_what_cannot_be_done_is_said(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 2."""
    assert main(["export", *arguments]) == 2
    assert said in capsys.readouterr().err
