"""The verdict as series."""

from __future__ import annotations

from vllm_vigil.model import EngineHealth, EngineState, Snapshot, labels
from vllm_vigil.verdict.shown import shown

WORKING = EngineHealth("llama", "0", "tiny", EngineState.HEALTHY, 900.0, (), 1.5)
RESTING = EngineHealth("llama", "1", "tiny", EngineState.IDLE, 800.0)


def values(snapshot: Snapshot, name: str) -> dict[str, float]:
    """Values by engine."""
    return {dict(point.labels)["engine"]: point.value for point in snapshot.points(name)}


def test_the_state_set_has_one_1() -> None:
    """Every state is a point of `llm_engine_state`, and one of them holds."""
    points = shown([RESTING], {}).points("llm_engine_state")
    assert {dict(point.labels)["state"]: point.value for point in points} == {
        state: 1.0 if state is EngineState.IDLE else 0.0 for state in EngineState
    }


def test_every_engine_shows_since_when_and_one_that_holds_work_its_last_step() -> None:
    """The age of a step says nothing of an engine that has none to take."""
    snapshot = shown([WORKING, RESTING], {})
    assert values(snapshot, "llm_engine_state_start_time_seconds") == {"0": 900.0, "1": 800.0}
    assert values(snapshot, "llm_engine_step_age_seconds") == {"0": 1.5}


def test_no_engine_is_no_series() -> None:
    """And not an empty one."""
    assert shown([], {}) == Snapshot()


def test_a_server_that_was_told_to_stop_shows_when() -> None:
    """One that was not shows nothing, as a server of which nobody knows it."""
    points = shown([WORKING], {"llama": 950.0}).points("llm_server_stop_requested_timestamp_seconds")
    assert [(labels(server="llama"), 950.0)] == [(point.labels, point.value) for point in points]
