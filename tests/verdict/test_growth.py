"""A leak is told in bytes a second; a step, a breath, a warm-up and a young process are none."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vllm_vigil.verdict.growth import WARM_UP_SECONDS, WINDOW_SECONDS, Growth

GIB = float(2**30)


def after(hours: float, size: Callable[[float], float]) -> Growth:
    """So many hours of a size by the seconds since the start, seen every 5 s."""
    growth = Growth()
    for step in range(int(hours * 720)):
        growth.note(size(step * 5.0), 50.0 + step * 5.0)
    return growth


def test_a_leak_is_told_as_it_is() -> None:
    """20 MiB an hour, below a size that jumps about by ten times as much."""
    noise = random.Random(3)
    leak = 20 * 2**20 / 3600
    growth = after(3, lambda at: 8 * GIB + leak * at + noise.random() * 2**20)
    assert growth.bytes_per_second() == pytest.approx(leak, rel=0.1)


@pytest.mark.parametrize("step_at_hours", [0.6, 1.0, 1.7, 2.4, 2.9])
def test_one_step_is_no_leak(step_at_hours: float) -> None:
    """A batch larger than all before it, after which the allocator keeps what it took."""
    growth = after(3, lambda at: (8 if at < step_at_hours * 3600 else 10) * GIB)
    assert growth.bytes_per_second() == 0.0


def test_the_warm_up_is_not_counted() -> None:
    """Graphs and workspaces fill the first minutes, and then it is flat."""
    growth = after(1.5, lambda at: min(at, WARM_UP_SECONDS) * 1e6)
    assert growth.bytes_per_second() == 0.0


def test_an_hour_is_needed_after_the_warm_up_and_after_each_new_beginning() -> None:
    """Before that nothing is said."""
    assert after(1.1, lambda at: at).bytes_per_second() is None
    growth = after(3, lambda at: at)
    growth.clear()
    growth.note(1.0, 20_000.0)
    assert growth.bytes_per_second() is None


def test_a_window_with_a_hole_says_nothing() -> None:
    """An hour in which nobody looked may have held anything."""
    growth = Growth()
    for minute in (*range(60), *range(150, 200)):
        growth.note(minute * GIB, minute * 60.0)
    assert growth.bytes_per_second() is None


@given(st.lists(st.tuples(st.floats(0, 1e12), st.floats(-500.0, 5_000.0)), max_size=150))
def test_whatever_comes_memory_is_bounded(readings: list[tuple[float, float]]) -> None:
    """One number a minute, for the window."""
    growth, now = Growth(), 0.0
    for value, step in readings:
        now += step
        growth.note(value, now)
        growth.bytes_per_second()
        assert len(growth._times) <= WINDOW_SECONDS / 60 + 1
