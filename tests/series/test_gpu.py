"""The table of what the GPUs tell is whole, and says of each row how NVML is asked."""

from __future__ import annotations

import re

import pytest

from standins.nvml import MACHINES
from vllm_vigil.series.catalogue import SPECS
from vllm_vigil.series.gpu import (
    GPU_ROWS,
    GPU_SPECS,
    LEFT_OUT,
    MIG_SPECS,
    OFTEN,
    RARELY,
    SELDOM,
    Ask,
    Field,
    Gpm,
    GpuRow,
)

PEER = [line.split(None, 1) for line in (MACHINES / "peer-series.txt").read_text().splitlines() if line[0] != "#"]


def test_the_peers_127_families_and_16_names_are_all_listed() -> None:
    """The list that the next test goes through is complete; `gpu_info` is beside the families."""
    assert 127 + 16 == len({name for name, _ in PEER} - {"gpu_info"})


@pytest.mark.parametrize(("theirs", "ours"), PEER)
def test_what_the_best_gpu_exporter_tells_is_told_here_or_left_out_with_a_reason(theirs: str, ours: str) -> None:
    """Every family has a series of ours, or a sentence in LEFT_OUT."""
    assert theirs
    assert ours[2:] in LEFT_OUT if ours.startswith("= ") else ours in SPECS


def test_every_series_of_the_table_is_in_the_catalogue() -> None:
    """Also those that are counted from events and those of MIG instances."""
    assert [] == [spec.name for spec in GPU_SPECS if SPECS.get(spec.name) is not spec]


@pytest.mark.parametrize("row", GPU_ROWS, ids=lambda row: f"{row.spec.name}{dict(row.labels) or ''}")
def test_a_row_carries_labels_that_its_series_declares_and_says_how_old_it_may_be(row: GpuRow) -> None:
    """A label that the declaration lacks would be no series of it; a cadence that the help lacks would be a secret."""
    assert {name for name, _ in row.labels} <= set(row.spec.labels)
    if isinstance(row.read, Gpm):
        assert "10 s" in row.spec.help
        return
    says = re.search(r"Asked every (\d+) (s|min)\.", row.spec.help)
    assert row.read.every_seconds == (float(says[1]) * {"s": 1, "min": 60}[says[2]] if says else 0.0)
    assert row.read.every_seconds in {0.0, OFTEN, RARELY, SELDOM}


def test_no_two_rows_read_the_same_number() -> None:
    """A field or metric that stands twice under one label would be a duplicate on the page."""
    reads = [
        (row.read.id, getattr(row.read, "scope", 0), type(row.read))
        for row in GPU_ROWS
        if not isinstance(row.read, Ask)
    ]
    labelled = [(row.spec.name, row.labels) for row in GPU_ROWS if isinstance(row.read, Field)]
    assert len(reads) == len(set(reads))
    assert len(labelled) == len(set(labelled))


def test_series_of_a_mig_instance_name_it() -> None:
    """GPU, board and GPU instance."""
    assert [] == [spec.name for spec in MIG_SPECS if not {"gpu", "uuid", "gi"} <= set(spec.labels)]
