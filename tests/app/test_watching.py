"""A `watch:` row becomes an incident as every other: opened once, with its numbers, and resolved."""

from __future__ import annotations

from pathlib import Path

from standins.rounds import WorkingRound, server
from standins.vllm import StandInVllm
from vllm_vigil.clock import CrankedClock
from vllm_vigil.model import IncidentState, Severity
from vllm_vigil.units import Seconds
from vllm_vigil.verdict.watch_settings import WatchSettings

BUSY = 'vllm:num_requests_waiting{engine="0",model_name="tiny"} 50\n'
QUIET = 'vllm:num_requests_waiting{engine="0",model_name="tiny"} 0\n'
ROWS = {
    "long_queue": WatchSettings(
        "llm_requests_waiting",
        above=20.0,
        for_=Seconds(10.0),
        quiet=Seconds(15.0),
        severity=Severity.CRITICAL,
        title="The queue is long",
        remedy="Add a replica.",
    )
}


def test_a_row_opens_one_incident_which_resolves(tmp_path: Path, clock: CrankedClock) -> None:
    """Under its own name as the rule; a restart in between changes nothing."""
    with StandInVllm(BUSY) as vllm:
        scene = WorkingRound(tmp_path, clock, server(vllm.url), watch=ROWS)

        async def opens() -> None:
            waited = await scene.until("it opens", lambda: bool(scene.round.alerts.open()))
            assert waited >= 10
            await scene.until("a while passes", lambda: scene.clock.monotonic() % 30 == 0)

        scene.play(opens)
        scene = again(tmp_path, clock, vllm)
        (first,) = scene.store.open_incidents()
        assert ("long_queue", "llama", Severity.CRITICAL, 1) == (first.rule, first.server, first.severity, first.count)
        assert "The queue is long" == first.title
        assert {"value": "50", "limit": "above 20", "engine": "0", "model_name": "tiny"} == dict(first.labels)
        assert "llm_requests_waiting has been above 20 for 10s: 50" in first.evidence[0]

        assert "Add a replica." == scene.round.remedy("long_queue")

        async def resolves() -> None:
            await scene.until("a while passes", lambda: scene.clock.monotonic() % 30 == 15)
            assert [first.key] == [incident.key for incident in scene.round.alerts.open()]
            vllm.page = QUIET
            await scene.until("it resolves", lambda: not scene.round.alerts.open())
            (over,) = scene.round.alerts.resolved()
            assert (first.key, IncidentState.RESOLVED) == (over.key, over.state)

        scene.play(resolves)


def again(directory: Path, clock: CrankedClock, vllm: StandInVllm) -> WorkingRound:
    """The next process."""
    return WorkingRound(directory, clock, server(vllm.url), watch=ROWS)
