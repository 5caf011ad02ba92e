"""A level that rises is told when it is full; one that breathes, falls, begins anew or was not seen is not."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vllm_vigil.verdict.forecast import FARTHEST_SECONDS, GAP_SECONDS, WINDOW_SECONDS, Level


def seen(values: list[float], every_seconds: float = 5.0) -> Level:
    """A level after these readings."""
    level = Level()
    for index, value in enumerate(values):
        level.note(value, 1_000.0 + index * every_seconds)
    return level


def test_a_straight_rise_is_told_to_the_second() -> None:
    """From 0.4 at 0.001 a second, a minute later, 540 s are left."""
    assert seen([0.4 + 0.005 * step for step in range(13)]).seconds_to(1.0) == pytest.approx(540.0)


def test_less_than_a_minute_says_nothing() -> None:
    """Two requests that begin are no trend."""
    assert seen([0.4 + 0.05 * step for step in range(12)]).seconds_to(1.0) is None


@pytest.mark.parametrize(
    "values",
    [
        [0.95] * 60,
        [0.9 - 0.005 * step for step in range(60)],
        [0.5 + 0.2 * math.sin(step / 4) for step in range(60)],
        [0.5 + 0.1 * random.Random(7).random() for _ in range(60)],
        [0.3 + 0.0001 * step for step in range(60)],
    ],
    ids=["flat and high", "falling", "breathing", "noise", "a rise that comes to nothing"],
)
def test_what_does_not_rise_has_no_forecast(values: list[float]) -> None:
    """Near 1 is normal under load; only a rise is news."""
    assert seen(values).seconds_to(1.0) is None


def test_a_cache_that_is_full_already_is_full_in_no_time() -> None:
    """It rose to the top: nothing is left of the way."""
    assert seen([min(1.0, 0.5 + 0.02 * step) for step in range(26)]).seconds_to(1.0) == 0.0


def test_what_lies_before_a_gap_is_forgotten() -> None:
    """A line across a gap would join two runs."""
    level = seen([0.1 + 0.005 * step for step in range(40)])
    level.note(0.9, 1_195.0 + GAP_SECONDS + 1)
    assert level.seconds_to(1.0) is None


@given(st.lists(st.tuples(st.floats(0.0, 1.0), st.floats(-100.0, 200.0, allow_nan=False)), max_size=200))
def test_whatever_comes_it_keeps_a_window_and_tells_a_time_ahead(readings: list[tuple[float, float]]) -> None:
    """Clocks that jump, gaps and every value: bounded memory, and a number between now and an hour, or none."""
    level, now = Level(), 0.0
    for value, step in readings:
        now += step
        level.note(value, now)
        seconds = level.seconds_to(1.0)
        assert seconds is None or 0.0 <= seconds <= FARTHEST_SECONDS
        assert all(now - WINDOW_SECONDS <= at <= now for at, _ in level._seen)
