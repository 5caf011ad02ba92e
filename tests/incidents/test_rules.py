"""The table of rules says what the contract says, and users may change it."""

from __future__ import annotations

import pytest

from vllm_vigil.events.patterns import PATTERNS
from vllm_vigil.incidents.rules import RULES, Rule, RuleSettings, merge, runbook
from vllm_vigil.model import Severity
from vllm_vigil.units import Seconds

CRITICAL, WARNING = Severity.CRITICAL, Severity.WARNING

CONTRACT = {  # id: severity, count, window, quiet, needs health
    "cuda_oom": (CRITICAL, 1, 300, 600, True),
    "kv_cache_too_small": (CRITICAL, 1, 300, 600, True),
    "host_oom_kill": (CRITICAL, 1, 300, 600, True),
    "cuda_error": (CRITICAL, 1, 300, 600, True),
    "nccl_failure": (CRITICAL, 1, 300, 600, True),
    "worker_died": (CRITICAL, 1, 300, 600, True),
    "engine_dead": (CRITICAL, 1, 300, 600, True),
    "engine_stalled": (CRITICAL, 2, 300, 60, True),
    "startup_failed": (CRITICAL, 1, 300, 600, True),
    "boot_loop": (CRITICAL, 3, 900, 1800, True),
    "server_unreachable": (CRITICAL, 1, 300, 60, True),
    "request_timeout": (WARNING, 5, 300, 300, False),
    "http_5xx": (WARNING, 10, 300, 300, False),
    "error_burst": (WARNING, 10, 300, 300, False),
    "gpu_lost": (CRITICAL, 1, 300, 300, True),
    "gpu_xid": (CRITICAL, 1, 300, 300, False),
    "gpu_hot": (WARNING, 1, 300, 300, False),
    "gpu_throttled": (WARNING, 1, 300, 300, False),
    "alertmanager": (WARNING, 1, 300, 600, False),
}
ORDER = [
    "cuda_oom",
    "kv_cache_too_small",
    "host_oom_kill",
    "cuda_error",
    "nccl_failure",
    "startup_failed",
    "worker_died",
    "engine_dead",
    "server_unreachable",
    "http_5xx",
    "error_burst",
]


def test_the_rules_are_those_of_the_contract() -> None:
    """Ids, severities and thresholds."""
    rows = {row.id: (row.severity, row.count, row.window, row.quiet, row.needs_health) for row in RULES.values()}
    assert CONTRACT == rows


def test_the_order_of_a_crash_is_that_of_the_contract() -> None:
    """From cause to consequence."""
    ranked = sorted((row for row in RULES.values() if row.rank is not None), key=lambda row: row.rank or 0)
    assert ORDER == [row.id for row in ranked if row.id in ORDER]


@pytest.mark.parametrize("row", RULES.values(), ids=list(RULES))
def test_a_rule_tells_people_what_it_is_and_what_to_do(row: Rule) -> None:
    """Every row has a title and a first thing to do, each in one line."""
    assert row.title
    assert row.remedy.endswith(".")
    assert "\n" not in row.title + row.remedy


def test_every_pattern_names_a_rule_that_exists() -> None:
    """Or none: then it is only counted."""
    assert {row.rule for row in PATTERNS} - {""} <= RULES.keys()


def test_users_change_rows_and_add_their_own() -> None:
    """What is not set stays; a new id is a rule of its own."""
    rules = merge(
        {
            "http_5xx": RuleSettings(count=3, severity=CRITICAL),
            "gpu_hot": RuleSettings(enabled=False),
            "grammar": RuleSettings(title="Grammar rejected", count=2, window=Seconds(10.0)),
        }
    )
    assert (3, CRITICAL, 300) == (rules["http_5xx"].count, rules["http_5xx"].severity, rules["http_5xx"].quiet)
    assert not rules["gpu_hot"].enabled
    assert ("Grammar rejected", 2, 10.0, WARNING) == (
        rules["grammar"].title,
        rules["grammar"].count,
        rules["grammar"].window,
        rules["grammar"].severity,
    )
    assert RULES == merge({})


def test_thresholds_that_cannot_be_met_are_refused() -> None:
    """Each problem names its field."""
    settings = RuleSettings(count=0, window=Seconds(0.0), quiet=Seconds(-1.0))
    assert ["count", "window", "quiet"] == [name for name, _ in settings.problems()]
    assert [] == list(RuleSettings().problems())


def test_a_rule_has_its_page() -> None:
    """Ours for a built-in rule, unless the site has pages of its own; a rule of the user's has none of ours."""
    assert runbook("cuda_oom", None).endswith("/docs/runbooks/cuda_oom.md")
    assert runbook("mine", None) == ""
    assert runbook("mine", "https://wiki.example/{rule}") == "https://wiki.example/mine"


def test_a_rule_cannot_change_the_address_of_its_runbook() -> None:
    """Its id may come from an Alertmanager of others."""
    address = runbook("../x?y=1#<z>", "https://docs.example/{rule}")
    assert address == "https://docs.example/..%2Fx%3Fy%3D1%23%3Cz%3E"
