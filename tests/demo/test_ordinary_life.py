"""A week of ordinary days is no news: bursts, idle nights, restarts, long prefills and sleep open no incident."""

from __future__ import annotations

from pathlib import Path

import pytest

from standins.days import ordinary_week
from standins.simulation import DAY, NEVER, Simulation, close_then_coarse
from vllm_vigil.model import EngineState

ORDINARY = {EngineState.HEALTHY, EngineState.IDLE, EngineState.STARTING, EngineState.ASLEEP, EngineState.UNREACHABLE}
"""States that an ordinary week knows. A server that was stopped on purpose is not to be reached for a while."""


@pytest.mark.no_cover
@pytest.mark.timeout(600)
def test_an_ordinary_week_raises_no_incident(tmp_path: Path) -> None:
    """Seven days through the real pipeline, close around every change and coarse in between: no page, no bad state."""
    told, states, requests = [], set(), 0.0
    with Simulation(tmp_path, ordinary_week(), step_seconds=close_then_coarse, scrape_seconds=NEVER) as week:
        began = week.clock.wall()
        for moment in week.moments():
            told += [each for each in moment.notifications if each.incident.rule]
            states |= {(engine.state, moment.scene.title) for engine in moment.engines}
            requests = max(
                requests, *(point.value for point in moment.snapshot.points("llm_generation_tokens_total")), 0
            )
        opened = week.store.recent_incidents(100)
        ended = week.clock.wall()
    assert [] == [(each.rule, each.title) for each in opened]
    assert [] == told
    assert {state for state, _ in states} <= ORDINARY, states
    assert 7 * DAY == ended - began
    assert requests > 1_000_000
