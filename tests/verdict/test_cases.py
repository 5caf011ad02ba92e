"""Every case of the public reports gives its state, what only looks like a hang gives none, and the table says so.

After a change: PYTHONPATH=tests .venv/bin/python -m standins.cases docs/verdict.md
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from standins.cases import CASES, Case, run, written
from vllm_vigil.verdict.hold import HOLD_SECONDS

WITHIN_SECONDS = 30


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.happened[:60])
def test_what_happens_is_said_in_time_and_nothing_else_is(case: Case) -> None:
    """The states in their order and no other; one page, or none; nothing flaps."""
    watch, outcome = run(case)
    said = [state for _, state in watch.said]
    assert said[-1] is case.says[-1], watch.health.reasons
    assert set(said) <= {*case.says, "idle"}
    assert outcome.seconds is None or outcome.seconds <= WITHIN_SECONDS
    assert [rule for _, rule in watch.paged] == ([case.page] if case.page else [])
    assert all(after - before >= HOLD_SECONDS for (before, _), (after, _) in pairwise(watch.said[1:]))


def test_the_page_holds_both_tables_as_they_are() -> None:
    """What was said of every case, and the evidence for every state."""
    page = Path(__file__).parents[2] / "docs" / "verdict.md"
    text = page.read_text()
    assert written(text) == text
