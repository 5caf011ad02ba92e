"""The ring holds the last 15 minutes of every number in order, and no more memory than that."""

from __future__ import annotations

import math
import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from standins.flights import ring
from vllm_vigil.recorder.ring import Ring
from vllm_vigil.recorder.tracks import Track

LIMIT_BYTES = 10 * 2**20
POWER = Track("gpu", "0", "power")


def test_eight_gpus_and_eight_engines_cost_less_than_ten_megabytes_however_long_it_runs() -> None:
    """Full after 15 minutes, and the same after half an hour."""
    tracemalloc.start()
    made = ring(engines=8, gpus=8, moments=900)
    full = tracemalloc.get_traced_memory()[0]
    for second in range(900):
        made.put({POWER: 1.0}, float(second))
    later = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert full < LIMIT_BYTES
    assert later < full + 100_000


@given(st.lists(st.dictionaries(st.sampled_from("abc"), st.floats(0, 1e6)), max_size=60))
def test_what_comes_out_is_what_was_put_in_last(moments: list[dict[str, float]]) -> None:
    """In order, with NaN where a number was not known; as if it had all been kept."""
    made = Ring(moments=16)
    for at, numbers in enumerate(moments):
        made.put({Track("gpu", name, "power"): value for name, value in numbers.items()}, float(at))
    copy, last = made.copy(), moments[-16:]
    assert [float(at) for at in range(len(moments))][-16:] == list(copy.times)
    for name in {name for numbers in last for name in numbers}:
        values = copy.tracks[Track("gpu", name, "power")]
        assert [numbers.get(name) for numbers in last] == [None if math.isnan(value) else value for value in values]


def test_a_track_that_is_gone_is_forgotten_and_too_many_are_not_begun() -> None:
    """A GPU that fell off, and engines that change their name on every start."""
    made = Ring(moments=8, max_tracks=3)
    made.put({POWER: 1.0}, 0.0)
    for second in range(1, 30):
        made.put({Track("engine", f"llama/{number}", "running"): 1.0 for number in range(9)}, float(second))
    assert POWER not in made.copy().tracks
    assert made.tracks == 3


def test_a_copy_does_not_change_any_more() -> None:
    """An incident freezes it."""
    made = Ring(moments=4)
    made.put({POWER: 1.0}, 0.0)
    copy = made.copy()
    made.put({POWER: 2.0}, 1.0)
    assert list(copy.tracks[POWER]) == [1.0]
