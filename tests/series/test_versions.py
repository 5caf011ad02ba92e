"""`vigil catalogue --versions`: every series by release, and no hole without its reason."""

from __future__ import annotations

import pytest

from vllm_vigil.series.releases import RELEASES, ordinal
from vllm_vigil.series.versions import cell, matrix, minors, reason
from vllm_vigil.series.vllm import VLLM_ROWS, VllmRow


def test_the_matrix_goes_from_0_4_to_0_33() -> None:
    """Every minor release has a column, every row of the table a line."""
    found = [ordinal(release)[:2] for release in minors()]
    assert [(0, minor) for minor in range(4, 34)] == found
    assert set(minors()) <= set(RELEASES)
    assert {row.spec.name for row in VLLM_ROWS} <= {line.split(" ")[0] for line in matrix().splitlines()}


@pytest.mark.parametrize("row", VLLM_ROWS, ids=lambda row: row.spec.name)
def test_no_hole_is_unexplained(row: VllmRow) -> None:
    """Where a release cannot feed a series, its line says since when it can, or why it never will."""
    holes = "." in [cell(row, release) for release in minors()]
    assert bool(reason(row)) >= holes
    assert "UNEXPLAINED" not in reason(row)


@pytest.mark.parametrize(
    ("name", "release", "letter"),
    [
        ("llm_requests_running", "0.4.3", "a"),
        ("llm_requests_swapped", "0.6.6", "a"),
        ("llm_requests_swapped", "0.9.0.1", "h"),
        ("llm_requests_swapped", "0.12.0", "."),
        ("llm_prefix_cache_hits_total", "0.8.5", "1"),
        ("llm_preemptions_total", "0.7.3", "0"),
        ("llm_engine_asleep", "0.33.0", "p"),
        ("llm_requests_failed_total", "0.33.0", "n"),
    ],
)
def test_a_cell_says_which_engine(name: str, release: str, letter: str) -> None:
    """Each letter where the facts have it."""
    (row,) = (row for row in VLLM_ROWS if row.spec.name == name)
    assert letter == cell(row, release)
