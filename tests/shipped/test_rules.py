"""alert_rules/: generated parts are up to date, promtool and Prometheus 3 read them, every rule does what it says."""

from __future__ import annotations

import json
import re
from pathlib import Path

import promql_parser
import pytest

from standins.promql import names
from standins.promtool import Case, Rule, promtool, rules_of, try_case
from standins.shipped import ROOT, known_metrics
from standins.shipped_alerts import ALERTS, CASES
from vigil_rules.__main__ import FILES, LAYER, TARGETS, documents, sources
from vigil_rules.links import RUNBOOKS
from vigil_rules.reach import Shape, alive
from vllm_vigil.incidents.rules import RULES as INCIDENT_RULES
from vllm_vigil.verdict.xid import rule_of

ALL = (*FILES, TARGETS, *LAYER)
RULES = rules_of(FILES)
RECORDS = {rule["record"] for rule in RULES if "record" in rule}
PANELS = ROOT / "dashboards" / "panels.json"
RULES_BELOW_RAW = rules_of((*LAYER, TARGETS, *FILES))
XIDS = [rule for rule in ALERTS.values() if "gpu_xid_last_seen_timestamp_seconds" in rule["expr"]]
OF_THE_STACK = re.compile(r"(?:prometheus|alertmanager|loki_write|promtail)_")

EVERY_FILE = pytest.mark.parametrize("path", ALL, ids=lambda path: str(path.relative_to(ROOT)))
EVERY_ALERT = pytest.mark.parametrize("alert", ALERTS.values(), ids=ALERTS)


def test_what_is_generated_is_up_to_date() -> None:
    """scripts/rules has nothing to write."""
    assert [path.name for path, text in (*sources(), *documents()) if path.read_text() != text] == []


def test_every_rules_file_is_looked_at_here() -> None:
    """A new file is in the table of its order."""
    found = {path for path in (ROOT / "alert_rules").rglob("*.yml") if path.parent.name != "alertmanager"}
    assert set(ALL) == found


@EVERY_FILE
def test_promtool_accepts_the_rules(path: Path) -> None:
    """Syntax, expressions, templates, duplicates: Prometheus 2.42."""
    assert "SUCCESS" in promtool("check", "rules", "--lint=all", "--lint-fatal", str(path))


@EVERY_FILE
def test_prometheus_3_reads_every_expression(path: Path) -> None:
    """Its grammar drops what 2.42 still knew."""
    for rule in rules_of([path]):
        promql_parser.parse(rule["expr"])


@pytest.mark.parametrize(("path", "case"), CASES, ids=[f"{path.stem}: {case['case']}" for path, case in CASES])
def test_each_rule_does_what_its_cases_say(path: Path, case: Case, tmp_path: Path) -> None:
    """Fires on its trouble and not before, with exact labels and words; records have exact values."""
    try_case(case, RULES_BELOW_RAW if path.stem.startswith("raw") else RULES, tmp_path)


@EVERY_ALERT
def test_every_alert_says_what_to_do_and_where_to_look(alert: Rule) -> None:
    """Severity, component, words that name the place, the first command, a runbook, a panel, no hair trigger."""
    assert list(alert) == [
        key for key in ("alert", "expr", "for", "keep_firing_for", "labels", "annotations") if key in alert
    ]
    assert list(alert["labels"]) == ["severity", "component"]
    assert alert["labels"]["severity"] in {"critical", "warning", "info", "none"}
    assert list(alert["annotations"]) == ["summary", "description", "runbook_url", "dashboard_url"]
    assert alert["annotations"]["summary"].endswith(".")
    assert "First: " in alert["annotations"]["description"] or alert["alert"] == "Watchdog"
    assert alert["annotations"]["runbook_url"] == f"{RUNBOOKS}{alert['alert']}.md"
    assert alert["alert"] not in INCIDENT_RULES
    assert seconds(alert["for"]) >= 2 * 15  # two scrapes of 15 s


@EVERY_ALERT
def test_the_link_of_every_alert_leads_to_a_panel(alert: Rule) -> None:
    """One that exists on its board."""
    panels = {(panel["uid"], str(panel["id"])) for panel in json.loads(PANELS.read_text()).values()}
    found = re.fullmatch(
        r"/d/([\w-]+)\?viewPanel=(\d+)((?:&var-\w+={{ \$labels\.\w+ }})*)",
        link := alert["annotations"]["dashboard_url"],
    )
    assert found, link
    assert found.group(1, 2) in panels


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.get("alert") or rule["record"])
def test_every_rule_reads_only_what_there_is(rule: Rule) -> None:
    """A renamed series cannot leave a rule behind that never says anything."""
    unknown = names(rule["expr"]) - RECORDS - known_metrics() - {"up", "ALERTS"}
    assert {name for name in unknown if not OF_THE_STACK.match(name)} == set()


@pytest.mark.parametrize("xid", range(1, 200))
def test_an_xid_is_as_bad_to_prometheus_as_it_is_to_the_sidecar(xid: int) -> None:
    """One alert for each number, of the severity with which the sidecar tells of it."""
    heard = {"gpu_xid_last_seen_timestamp_seconds": [Shape({"xid": str(xid)})]}
    firing = [alert for alert in XIDS if alive(promql_parser.parse(alert["expr"]), heard)]
    assert [rule_of(xid)[1]] == [alert["labels"]["severity"] for alert in firing]


def seconds(duration: str) -> int:
    """A duration of Prometheus."""
    units = {"s": 1, "m": 60, "h": 3600, "d": 86400}
    return sum(int(count) * units[unit] for count, unit in re.findall(r"(\d+)([smhd])", duration))


def test_every_alert_and_every_record_is_tried() -> None:
    """Alerts firing and silent, records with values: all of them, those for raw sites too."""
    fired, silent, recorded = set(), set(), set()
    for _, case in CASES:
        for name, wanted in case.get("alerts", {}).items():
            fired |= {name} if wanted.get("fires") else set()
            silent |= {name} if wanted.get("silent") else set()
        recorded |= {name for name, wanted in case.get("records", {}).items() if wanted["is"]}
    by_pages = {rule["record"] for rule in rules_of(LAYER[:1])}  # test_raw_rules.py
    assert (set(), set()) == (set(ALERTS) - fired, set(ALERTS) - silent)
    assert {rule["record"] for rule in rules_of((*FILES, LAYER[1])) if "record" in rule} - by_pages - recorded == set()
