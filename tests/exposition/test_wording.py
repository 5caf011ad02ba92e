"""Numbers as people read them."""

from __future__ import annotations

import pytest

from standins.sidecar import NOW
from vllm_vigil.exposition.wording import ABSENT, moment, number, percent, size, span


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, ABSENT),
        (-1.0, "0 ms"),
        (0.0042, "4 ms"),
        (1.9, "1 s"),
        (59.9, "59 s"),
        (60.0, "1 min"),
        (3600.0, "1 h 00 min"),
        (11_100.0, "3 h 05 min"),
        (187_200.0, "2 d 4 h"),
    ],
)
def test_spans_are_told_in_two_units(seconds: float | None, text: str) -> None:
    """A span needs no arithmetic to be understood."""
    assert text == span(seconds)


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (None, ABSENT),
        (0, "0 B"),
        (1023, "1023 B"),
        (1536, "1.5 KiB"),
        (10**8, "95.4 MiB"),
        (200 * 2**20 + 7, "200 MiB"),
        (85899345920, "80.0 GiB"),
    ],
)
def test_sizes_are_told_in_binary_units(size_bytes: float | None, text: str) -> None:
    """As GPUs and files are sold and listed."""
    assert text == size(size_bytes)


def test_what_is_absent_is_a_dash() -> None:
    """Never a 0, which would be a claim."""
    assert [ABSENT, "0", "64 °C", ABSENT, "93 %"] == [
        number(None),
        number(0.0),
        number(64.2, "°C"),
        percent(None),
        percent(0.93),
    ]


def test_a_moment_has_its_date_when_it_is_not_of_this_day() -> None:
    """The hour alone is enough within a day."""
    assert ["20:26:40 UTC", "2026-05-27 16:40 UTC"] == [moment(NOW, NOW), moment(NOW - 100_000, NOW)]
