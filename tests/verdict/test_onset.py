"""A condition holds since it began to, without a break."""

from __future__ import annotations

from vllm_vigil.verdict.onset import Onsets


def test_a_condition_holds_since_it_began_and_begins_anew_after_a_break() -> None:
    """Its end forgets its beginning."""
    onsets = Onsets()
    assert [10.0, 10.0] == [onsets.since("hot", now, holds=True) for now in (10.0, 20.0)]
    assert onsets.since("hot", 30.0, holds=False) is None
    assert 40.0 == onsets.since("hot", 40.0, holds=True)


def test_a_clock_that_is_set_back_begins_the_time_there() -> None:
    """Else a condition would have to hold for a day before its minute was over."""
    onsets = Onsets()
    onsets.since("hot", 90_000.0, holds=True)
    assert [3600.0, 3600.0] == [onsets.since("hot", now, holds=True) for now in (3600.0, 3660.0)]


def test_a_clock_that_is_set_takes_the_onsets_along() -> None:
    """Nobody has watched the condition hold for the hours that the clock was set on."""
    onsets = Onsets()
    onsets.since("hot", 10.0, holds=True)
    onsets.move(3600.0)
    assert 3610.0 == onsets.since("hot", 3620.0, holds=True)
