"""The small lines say the same as the numbers, on any terminal's width."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from standins.flights import frozen
from vllm_vigil.recorder.bundle import read, write
from vllm_vigil.recorder.text import BARS, WIDTH, sparkline, view

NUMBERS = st.lists(st.one_of(st.just(math.nan), st.floats(0, 1e12)), max_size=300)


def test_a_view_of_a_bundle() -> None:
    """State, requests, cache, rates, latencies and GPUs; each with its span and its last number."""
    document = read_back()
    shown = "\n".join(view(document))
    assert shown.startswith("06:46:40 to 07:01:39 UTC, one column is 15 s\nState\n")
    assert "!!xx  healthy, stalled, dead" in shown
    assert "64 to 64, last 64" in shown
    assert "0 % to 99 %, last 99 %" in shown
    assert "GPU clock\n" in shown
    assert max(map(len, shown.split("\n"))) < 120


def test_of_many_gpus_the_lowest_and_the_highest_are_shown() -> None:
    """The one whose clock is down among eight."""
    shown = [line.split("  ")[1].strip() for line in view(read_back(gpus=8)) if line.startswith("  GPU")]
    assert "GPU 1 low" in shown
    assert len(shown) == 6


def read_back(**shape: int) -> dict[str, object]:
    """A bundle's document, through the disk."""
    with tempfile.TemporaryDirectory() as scratch:
        written = write(Path(scratch), frozen(**shape))
        document = read(Path(scratch), written.name)
    assert document is not None
    return document


@given(NUMBERS)
def test_a_line_is_as_wide_as_it_may_be_and_blank_where_nothing_was_known(values: list[float]) -> None:
    """Whatever the numbers."""
    line = sparkline(values)
    assert len(line) == min(WIDTH, len(values))
    assert set(line) <= {*BARS, " "}
    if len(values) <= WIDTH:
        assert [math.isnan(value) for value in values] == [char == " " for char in line]


def test_a_scale_with_an_end_is_kept() -> None:
    """Half full is half high, whatever the highest was."""
    assert sparkline([0.0, 0.5, 1.0], 1.0) == "▁▅█"
