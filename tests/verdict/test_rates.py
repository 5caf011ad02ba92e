"""A counter's rate is its increase a second over a window, whatever resets and gaps there are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vllm_vigil.model import labels
from vllm_vigil.verdict.rates import STEPS, Rates

ONE = labels(server="llama")
WINDOW = 300.0


def test_nothing_is_said_before_the_window_is_covered() -> None:
    """Then the rate of a steady counter is exact."""
    rates = Rates(WINDOW)
    said = [rates.take(ONE, 1000.0 + 2.0 * second, float(second)) for second in range(600)]
    assert [None] * 270 == said[:270]
    assert [2.0] * 330 == pytest.approx(said[270:])


def test_what_is_less_than_before_was_counted_since_a_reset() -> None:
    """A restart is no fall, and its absence for a minute does not begin the window anew."""
    rates = Rates(WINDOW)
    for second in range(301):
        rates.take(ONE, 1000.0 + second, float(second))
    for second in range(360, 600):
        rates.forget(float(second))
        rate = rates.take(ONE, second - 360.0, float(second))
        assert rate is not None
        assert rate == pytest.approx(0.8, abs=0.03)  # nothing for a minute of five


def test_after_a_longer_gap_it_begins_anew() -> None:
    """Of a counter that was away for a window nothing is known."""
    rates = Rates(WINDOW)
    for second in range(301):
        rates.take(ONE, float(second), float(second))
    rates.forget(700.0)
    assert rates.take(ONE, 9999.0, 700.0) is None


def test_a_burst_is_over_when_the_window_has_passed_it() -> None:
    """And counts fully until then."""
    rates = Rates(WINDOW)
    said = {second: rates.take(ONE, 30.0 * (second >= 300), float(second)) for second in range(700)}
    assert (0.0, 0.1, 0.1) == pytest.approx((said[299], said[300], said[590]), abs=0.002)
    assert 0.0 == said[610]


@given(st.lists(st.tuples(st.floats(0.1, 200), st.floats(0, 1e6)), max_size=200))
def test_a_rate_is_never_negative_and_memory_is_bounded(ticks: list[tuple[float, float]]) -> None:
    """Whatever the counter does."""
    rates, now = Rates(WINDOW), 0.0
    for passed, value in ticks:
        now += passed
        rate = rates.take(ONE, value, now)
        assert rate is None or rate >= 0
        assert len(rates._counters[ONE].past) <= STEPS + 2


def test_a_clock_that_is_set_back_begins_it_anew() -> None:
    """It is said again when a window is covered, and not a day later."""
    rates = Rates(WINDOW)
    for second in range(301):
        rates.take(ONE, 2.0 * second, 90_000.0 + second)
    said = [rates.take(ONE, 602.0 + 2.0 * second, float(second)) for second in range(301)]
    assert said[0] is None
    assert 2.0 == pytest.approx(said[-1])
