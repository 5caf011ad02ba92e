"""Preemptions per finished request hold through resets, and are absent without traffic."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vllm_vigil.verdict.ratio import WINDOW_SECONDS, Preemptions, Rise


def ratio(*readings: tuple[float, float, float]) -> float | None:
    """What these readings (preempted, finished, at) come to."""
    both = Preemptions()
    for preempted, finished, at in readings:
        both.note(preempted, finished, at)
    return both.ratio()


def test_it_is_one_rise_over_the_other() -> None:
    """30 preemptions, 60 finished requests."""
    assert ratio((100, 500, 0), (110, 520, 60), (130, 560, 120)) == 0.5


def test_a_restart_counts_from_zero() -> None:
    """What the new process says has all come since; what the first reading says has not."""
    assert ratio((100, 500, 0), (110, 510, 60), (5, 20, 120)) == 15 / 30


def test_without_traffic_there_is_none() -> None:
    """Nothing preempted, nothing finished."""
    assert ratio((100, 500, 0), (100, 500, 300)) is None


def test_what_only_thrashes_is_not_hidden() -> None:
    """40 preemptions, and nothing gets done."""
    assert ratio((0, 9, 0), (40, 9, 120)) == 40.0


def test_less_than_a_minute_and_more_than_the_window_say_nothing() -> None:
    """After a gap longer than the window, nothing is known of the last minutes."""
    assert ratio((0, 0, 0), (5, 5, 55)) is None
    assert ratio((0, 0, 0), (5, 5, 100), (9, 9, 101 + WINDOW_SECONDS)) is None


@given(st.lists(st.integers(0, 1000)))
def test_a_rise_never_falls_and_is_what_came_since_the_first(values: list[int]) -> None:
    """Whatever the counter does."""
    rise, before = Rise(), 0.0
    for value in values:
        rise.note(value)
        assert rise.total >= before
        before = rise.total
    if values == sorted(values) and values:
        assert rise.total == values[-1] - values[0]
