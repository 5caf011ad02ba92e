"""When a channel is left alone, and for how long."""

from __future__ import annotations

from vllm_vigil.notifications.breaker import FAILURES, LAST_SECONDS, Breaker, backoff_seconds


def test_it_opens_at_the_fifth_failure_in_a_row_and_closes_at_an_answer() -> None:
    """A failure among answers is none of these."""
    breaker = Breaker(lambda: 1.0)
    for _ in range(FAILURES - 1):
        breaker.failed(0.0, 0.0)
    breaker.answered()
    for _ in range(FAILURES - 1):
        breaker.failed(0.0, 0.0)
    assert (breaker.open, breaker.hold_seconds(0.0)) == (False, 0.0)
    breaker.failed(0.0, 0.0)
    assert (breaker.open, breaker.hold_seconds(0.0)) == (True, 80.0)
    breaker.answered()
    assert (breaker.open, breaker.hold_seconds(0.0)) == (False, 0.0)


def test_it_holds_longer_each_time_up_to_five_minutes() -> None:
    """And not for a moment longer than that."""
    breaker = Breaker(lambda: 1.0)
    for _ in range(50):
        breaker.failed(0.0, 0.0)
    assert LAST_SECONDS == breaker.hold_seconds(0.0)
    assert breaker.hold_seconds(LAST_SECONDS) == 0.0


def test_what_the_channel_asks_for_holds_from_the_first_failure() -> None:
    """Its word counts more than our guess, where it is longer."""
    breaker = Breaker(lambda: 1.0)
    breaker.failed(10.0, 30.0)
    assert (breaker.open, breaker.hold_seconds(20.0)) == (False, 20.0)


def test_the_backoff_is_anything_up_to_its_bound() -> None:
    """From a second to what doubles with each failure."""
    assert [1.0, 2.5, 5.0] == [backoff_seconds(1, jitter) for jitter in (0.0, 0.5, 1.0)]
    assert [5, 10, 20, 40, 80, 160, 300, 300] == [backoff_seconds(failures, 1.0) for failures in range(1, 9)]
