"""Text that is aimed at the expressions costs time in proportion to its length, for every row of the table."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import pytest

from vllm_vigil.events.pattern import Pattern
from vllm_vigil.events.patterns import PATTERNS

SHORT, LONG = 4_000, 64_000
"""Characters; a record holds no more than the second."""
TRIFLE_SECONDS = 0.02
STEEPEST = 4.0  # of what length alone would make of it; a square would be 16


def aimed(row: Pattern) -> Iterator[str]:
    """What a row almost matches, to be said again and again: examples cut off, texts, and what it skips."""
    for example in (*row.examples[:2], *row.literals):
        yield example[: len(example) * 2 // 3]
        yield f"{example[:-1]}\n"
        yield from (word + " " for word in {*re.findall(r"\S{6,}", example)})
    yield from (" ", "1", "a", "a.", "Error: ", "'", "\n ")


def seconds(regex: re.Pattern[str], text: str) -> float:
    """CPU time of one search, the better of two."""
    best = 1e9
    for _ in range(2):
        began = time.process_time()
        regex.search(text)
        best = min(best, time.process_time() - began)
    return best


@pytest.mark.parametrize("row", PATTERNS, ids=lambda row: row.id)
def test_a_row_looks_through_hostile_text_in_linear_time(row: Pattern) -> None:
    """Also what the rows look for besides, to tell a phase or a cause."""
    for regex in (row.regex, *(regex for _, _, regex in row.tells)):
        for seed in {*aimed(row)}:
            text = f"{seed * (LONG // len(seed))}"
            long = seconds(regex, text)
            if long > TRIFLE_SECONDS:
                short = seconds(regex, text[:SHORT])
                assert long <= STEEPEST * LONG / SHORT * short, f"{seed!r}: {short:.4f} s, then {long:.4f} s"
