"""The whole way once: failures of the play fire in a real Prometheus, reach their receivers, and resolve."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from standins.failures import READY
from standins.live_alerts import SPEED, Stage, Told, faster, faster_rules, monitoring, one_a_second
from standins.program import until
from standins.shipped import ROOT
from standins.simulation import Simulation
from vigil_rules.__main__ import FILES
from vllm_vigil.demo.script import LOADING, Act, Mood, Scene, only

STORY = (
    Scene("both servers start", 60, only(chat=LOADING, code=LOADING)),
    Scene("ordinary traffic", 180, only(chat=READY, code=READY)),
    Scene("code dies of CUDA out of memory", 150, only(code=Act(Mood.DOWN, 0, log="cuda_oom"))),
    Scene("code loads", 60, only(code=LOADING)),
    Scene("ordinary traffic", 240, only(code=READY)),
    Scene("the sidecar is down", 240, watched=False),
    Scene("ordinary traffic", 300),
)


ONE_PAGE_EACH = (
    Scene("both servers start", 60, only(chat=LOADING, code=LOADING)),
    Scene("ordinary traffic", 180, only(chat=READY, code=READY)),
    Scene("code is told to stop", 240, only(code=Act(Mood.DOWN, 0, log="stop"))),
    Scene("code loads", 60, only(code=LOADING)),
    Scene("two thirds of what chat is asked fail", 420, only(chat=Act(errors=3), code=READY)),
    Scene("a GPU of code is lost", 240, only(code=Act(Mood.DOWN, 0, log="gpu_lost")), lost=frozenset({3})),
)


def receivers(told: list[Told], alert: str) -> set[tuple[str, str]]:
    """Who was told what of an alert."""
    return {(each.receiver, each.status) for each in told if each.alert == alert}


@contextmanager
def played(directory: Path, story: Sequence[Scene]) -> Iterator[Stage]:
    """The pair that has seen a whole story, under the shipped rules and routes, and goes on."""
    rules = faster_rules([group for path in FILES for group in yaml.safe_load(path.read_text())["groups"]])
    routes = yaml.safe_load((ROOT / "alert_rules" / "alertmanager" / "alertmanager.yml").read_text())
    with (
        Simulation(directory / "play", story, step_seconds=SPEED) as simulation,
        monitoring(directory, rules, routes) as stage,
    ):
        for moment in one_a_second(simulation.moments()):
            stage.page = moment.text
        yield stage


@pytest.mark.no_cover
@pytest.mark.timeout(300)
def test_failures_reach_the_right_receiver_in_the_right_words_and_resolve(tmp_path: Path) -> None:
    """A dead engine pages, a sidecar that is down is a warning, both are told to be over; nothing else is told."""
    with played(tmp_path, STORY) as stage:
        until(
            60,
            "the last alert is told to be over",
            lambda: ("slack-alerts", "resolved") in receivers(stage.told, "VigilSidecarDown"),
        )
    told = stage.told
    assert {("pagerduty-and-slack", "firing"), ("pagerduty-and-slack", "resolved")} == receivers(told, "VllmEngineDead")
    assert {("slack-alerts", "firing"), ("slack-alerts", "resolved")} == receivers(told, "VigilSidecarDown")
    dead = next(each for each in told if each.alert == "VllmEngineDead")
    assert "Engine 0 of code (qwen3-coder-30b) is dead." == dead.annotations["summary"]
    assert dead.annotations["runbook_url"].endswith("/docs/runbooks/VllmEngineDead.md")
    assert {"VllmEngineDead"} == {each.alert for each in told if each.labels["severity"] == "critical"}
    assert {"VigilSidecarDown"} == {each.alert for each in told if each.labels["severity"] == "warning"}


@pytest.mark.no_cover
@pytest.mark.timeout(300)
def test_each_trouble_is_one_page_and_a_stop_that_was_asked_for_is_none(tmp_path: Path) -> None:
    """A storm of 5xx by one of the rules that see it, a lost GPU by itself and not by the engine that dies of it."""
    with played(tmp_path, ONE_PAGE_EACH) as stage:
        until(60, "the lost GPU pages", lambda: receivers(stage.told, "GpuLost"))
    pages = [each for each in stage.told if each.labels["severity"] == "critical" and each.status == "firing"]
    storm = {"VllmHttp5xxOverFivePercent", "VllmAvailabilityBudgetBurnsFast"} & {each.alert for each in pages}
    assert 1 == len(storm)
    assert {"GpuLost"} == {each.alert for each in pages} - storm


def test_a_faster_clock_changes_durations_and_nothing_else() -> None:
    """In what is waited for, in ranges, subqueries and offsets; numbers of the expression stay."""
    assert ("4000ms", "5760000ms") == (faster("1m"), faster("1d"))
    rule = {"alert": "A", "for": "1m", "expr": "rate(a[5m]) > 5 and avg_over_time(b[2h5m:5m] offset 15m) > 10"}
    (group,) = faster_rules([{"name": "g", "rules": [rule]}])["groups"]
    assert (
        "rate(a[20000ms]) > 5 and avg_over_time(b[500000ms:20000ms] offset 60000ms) > 10" == group["rules"][0]["expr"]
    )
