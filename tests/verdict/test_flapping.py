"""No order of readings, gaps, restarts, log lines and probes makes the verdict flap or page without a reason."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from standins.watch import BUSY_GPU, IDLE_GPU, SERVER, SPINNING_GPU, Watch, watching
from vllm_vigil.model import EngineState
from vllm_vigil.verdict.hold import HOLD_SECONDS, STUCK

CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "running": st.sampled_from([0.0, 1.0, 8.0]),
        "waiting": st.sampled_from([0.0, 3.0]),
        "rate": st.sampled_from([0.0, 0.03, 1.0, 20.0]),
        "steps": st.sampled_from([0.0, 100.0, 5000.0]),
        "kv": st.sampled_from([0.0, 0.5, 1.0]),
        "asleep": st.sampled_from([True, False, None]),
        "engine": st.booleans(),
        "error": st.sampled_from([None, None, "connection refused", "timed out"]),
        "health": st.sampled_from(["200", "200", "503", "unreachable", ""]),
        "connections": st.sampled_from([None, 0.0, 1.0, 9.0]),
        "gpus": st.sampled_from([(), (IDLE_GPU,), (BUSY_GPU,), (SPINNING_GPU,), (IDLE_GPU, SPINNING_GPU)]),
        "began": st.sampled_from([None, 0.0, 1_000_050.0]),
        "host": st.booleans(),
    },
)
LIFE = st.sampled_from(["", "", "starting", "loading", "ready", "stopping", "dead", "asleep"])
STEPS = st.lists(st.tuples(CHANGES, st.integers(1, 25), LIFE, st.sampled_from([None, None, True, False])), max_size=12)
GAPS = st.sampled_from([1.0, 1.0, 1.0, 4.0, 90.0, 7200.0, -30.0])


def play(watch: Watch, steps: list[tuple[dict[str, object], int, str, bool | None]]) -> None:
    """One change after the other."""
    for changes, seconds, life, probe in steps:
        if life:
            watch.verdict.hear(SERVER, life, watch.wall)
        if probe is not None:
            watch.verdict.hear_probe(SERVER, answered=probe, began=watch.wall)
        watch.go(seconds, **changes)


@settings(max_examples=60, deadline=None)
@given(STEPS, st.sampled_from([1, 5, 15]))
def test_a_state_that_was_said_stands_for_ten_seconds(
    steps: list[tuple[dict[str, object], int, str, bool | None]], interval: int
) -> None:
    """Whatever is shown meanwhile, and however often vLLM is read."""
    watch = watching(interval=interval)
    play(watch, steps)
    assert all(after - before >= HOLD_SECONDS for (before, _), (after, _) in pairwise(watch.said[1:]))


@settings(max_examples=30, deadline=None)
@given(STEPS)
def test_a_finding_of_a_stall_ends_and_begins_again_only_after_a_minute_without_a_step(
    steps: list[tuple[dict[str, object], int, str, bool | None]],
) -> None:
    """So that one hang is one page."""
    watch = watching(running=1.0)
    play(watch, steps)
    stalls = [second for second, rule in watch.paged if rule == "engine_stalled"]
    assert all(after - before >= HOLD_SECONDS for before, after in pairwise(stalls))
    assert not stalls or stalls[0] >= watch.settings.stalled_for


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(GAPS, st.sampled_from([0.0, 1.0, 9.0]), st.sampled_from([0.0, 3.0])), max_size=100))
def test_an_engine_whose_steps_move_is_never_stuck(ticks: list[tuple[float, float, float]]) -> None:
    """Through suspended machines, clocks that are set, and any number of requests."""
    watch = watching(rate=0.2)
    for seconds, running, waiting in ticks:
        watch.set(running=running, waiting=waiting)
        watch.tick(seconds)
    assert not STUCK & set(watch.states)
    assert watch.paged == []


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 50), st.integers(1, 10))
def test_a_step_now_and_then_is_no_page(every: int, times: int) -> None:
    """A pause of less than a minute may be said to be a stall, and is none that anyone is woken for."""
    watch = watching(running=1.0)
    for _ in range(times):
        watch.go(every)
        watch.set(steps=(watch.scene.steps or 0.0) + 1)
    assert watch.paged == []
    assert EngineState.FROZEN_METRICS not in watch.states
