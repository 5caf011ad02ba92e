"""Minutes of open incidents become spells; a gap in the data ends one where it was last seen."""

from __future__ import annotations

import pytest

from vllm_vigil.report.spells import Spell, Trouble, longest_first, spells


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([(0, 0), (60, 1), (120, 1), (180, 0)], [(60, 180)]),
        ([(0, 1), (60, 2), (120, 1), (180, 0), (240, 1), (300, 0)], [(0, 180), (240, 300)]),
        ([(0, 1), (60, 1)], [(0, 120)]),  # open at the end of the month
        ([(0, 1), (60, 1), (6000, 0)], [(0, 120)]),  # nobody watched in between
        ([(0, 1), (6000, 1), (6060, 0)], [(0, 60), (6000, 6060)]),
        ([(0, 0), (60, 0)], []),
        ([], []),
    ],
)
def test_spells(values: list[tuple[float, float]], expected: list[tuple[float, float]]) -> None:
    """From the first minute above 0 to the first that is not."""
    assert tuple(Spell(start, end) for start, end in expected) == spells(values)


def test_what_cost_most_time_comes_first() -> None:
    """And what was never open not at all."""
    brief = Trouble("gpu_hot", "warning", (Spell(0, 60), Spell(120, 240)))
    long = Trouble("engine_dead", "critical", (Spell(0, 600),))
    assert longest_first([brief, Trouble("cuda_oom", "critical", ()), long]) == [long, brief]
    assert (brief.total_seconds, brief.recovery_seconds, brief.longest) == (180, 90, Spell(120, 240))
