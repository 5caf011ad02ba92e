"""The shipped alerts by name, and each as it fires in its first case of tests/shipped/rules: what Alertmanager gets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from standins.promtool import Case, alert_of, cases_of, rules_of
from vigil_rules.__main__ import FILES, TARGETS

ALERTS = {rule["alert"]: rule for rule in rules_of((*FILES, TARGETS)) if "alert" in rule}
_FOLDER = Path(__file__).parents[1] / "shipped" / "rules"


def cases() -> Iterator[tuple[Path, Case]]:
    """Every case, with its file."""
    for path in sorted(_FOLDER.glob("*.yml")):
        for case in cases_of(path):
            yield path, case


CASES = tuple(cases())


def fired(name: str) -> dict[str, Any]:
    """An alert as Prometheus sends it, without times."""
    for _, case in CASES:
        for wanted in case.get("alerts", {}).get(name, {}).get("fires", ()):
            alert = alert_of(ALERTS[name], wanted)
            return {"labels": {"alertname": name} | alert["exp_labels"], "annotations": alert["exp_annotations"]}
    raise LookupError(name)
