"""Sliding windows count what came within so many seconds, in bounded memory."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from vllm_vigil.incidents.burst import Windows

KEY = ("llama", "http_5xx", "")


@given(st.lists(st.floats(0, 1000), min_size=1, max_size=60), st.integers(1, 8), st.floats(1, 300))
def test_a_window_holds_what_came_within_it(times: list[float], count: int, window: float) -> None:
    """For times that do not go back, the number is that of a plain count, up to the rule's."""
    windows = Windows()
    ordered = sorted(times)
    for index, at in enumerate(ordered):
        expected = min(count, sum(at - window <= time for time in ordered[: index + 1]))
        assert expected == windows.add(KEY, at, count, window)


def test_records_a_little_out_of_order_count_the_same() -> None:
    """Three events within a minute are three, whichever is written first."""
    for order in ((0.0, 5.0, 9.0), (9.0, 5.0, 0.0), (5.0, 9.0, 0.0)):
        windows = Windows()
        assert 3 == [windows.add(KEY, at, 3, 60.0) for at in order][-1]


def test_a_clock_that_jumps_loses_no_event_that_has_just_come() -> None:
    """Set on by a day, or back by one: the window begins anew with it; set back a little: it goes on."""
    for day in (86_400.0, -86_400.0):
        windows = Windows()
        assert 2 == [windows.add(KEY, at, 3, 60.0) for at in (100_000.0, 100_001.0)][-1]
        assert [1, 2, 3] == [windows.add(KEY, 100_002.0 + day + n, 3, 60.0) for n in range(3)]
        assert [1, 2, 3] == [windows.add(KEY, 100_010.0 + n, 3, 60.0) for n in range(3)]
        assert 3 == windows.add(KEY, 99_990.0, 3, 60.0)


def test_what_is_found_late_does_not_begin_a_window_anew() -> None:
    """It counts within the window, and before it not at all."""
    windows = Windows()
    windows.add(KEY, 1000.0, 9, 60.0)
    windows.warm(KEY, 100.0, 9, 60.0)
    windows.warm(KEY, 970.0, 9, 60.0)
    assert 3 == windows.add(KEY, 1001.0, 9, 60.0)


def test_a_flood_of_keys_pushes_out_quiet_ones_only() -> None:
    """Fifty thousand keys cost a thousand, and the one that goes on bursting is still counted."""
    windows = Windows()
    reached = 0
    for n in range(50_000):
        windows.add(("llama", "error_burst", f"message {n}"), float(n), 10, 300.0)
        if n % 100 == 0:
            reached = windows.add(KEY, n / 100, 10, 300.0)
    assert 1024 == len(windows)
    assert 10 == reached


def test_windows_survive_a_restart() -> None:
    """What was remembered as JSON counts on, also when the rule's count was raised in between."""
    before, after = Windows(), Windows()
    for at in (1.0, 2.0):
        before.add(KEY, at, 3, 60.0)
    after.restore(json.loads(json.dumps(before.remember())))
    assert [3, 4] == [after.add(KEY, at, 5, 60.0) for at in (3.0, 4.0)]
    after.clear("llama", "http_5xx")
    assert 1 == after.add(KEY, 5.0, 5, 60.0)
