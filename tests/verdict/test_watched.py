"""Seconds that were watched."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vllm_vigil.verdict.watched import LONGEST_TICK_SECONDS, Watched


def test_what_lies_between_two_ticks_counts_up_to_a_bound_and_never_back() -> None:
    """A machine that slept, a clock that was set."""
    watched = Watched()
    assert [watched.tick(wall) for wall in (100.0, 101.0, 4000.0, 4000.5, 50.0, 51.0)] == [0.0, 1.0, 6.0, 6.5, 6.5, 7.5]
    assert watched.at(49.0) == 5.5


@given(st.lists(st.floats(0, 1e9)))
def test_they_only_grow_and_never_by_more_than_a_tick(walls: list[float]) -> None:
    """Whatever the clock does."""
    watched, before = Watched(), 0.0
    for wall in walls:
        after = watched.tick(wall)
        assert before <= after <= before + LONGEST_TICK_SECONDS
        before = after
