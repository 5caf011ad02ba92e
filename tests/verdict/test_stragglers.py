"""A GPU that is slower than its tensor-parallel peers is told, and no other: idle ones, other groups, lone GPUs."""

from __future__ import annotations

import pytest

from vllm_vigil.model import Point, Series, Snapshot, labels
from vllm_vigil.verdict.stragglers import Stragglers, groups_of

CLOCK, THROTTLE, PCIE = "gpu_straggler_ratio", "gpu_straggler_throttle_ratio", "gpu_straggler_pcie_width_ratio"


def moment(
    *,
    ranks: tuple[str, ...] = ("TP0", "TP1", "TP2", "TP3"),
    clocks: tuple[float, ...] = (1980e6,) * 4,
    busy: tuple[float, ...] = (1.0,) * 4,
    lanes: tuple[float, ...] = (16,) * 4,
    throttled: tuple[float, ...] = (0.0,) * 4,
) -> Snapshot:
    """Four GPUs of the server llama."""

    def series(name: str, values: tuple[float, ...], **more: str) -> Series:
        points = (
            Point(labels(gpu=str(index), uuid=f"GPU-{index}", **more), value) for index, value in enumerate(values)
        )
        return Series(name, tuple(points))

    held = tuple(
        Point(labels(gpu=str(index), uuid=f"GPU-{index}", server="llama", engine="0", role="worker", rank=rank), 7e10)
        for index, rank in enumerate(ranks)
    )
    known = (
        Series("gpu_process_memory_bytes", held),
        series("gpu_clock_hertz", clocks, clock="sm"),
        series("gpu_utilization_ratio", busy),
        series("gpu_pcie_link_width_lanes", lanes),
        series("gpu_throttle_seconds_total", throttled, reason="hw_slowdown"),
    )
    return Snapshot({each.name: each for each in known})


def told(*moments: Snapshot) -> dict[str, list[float]]:
    """The series after these moments, 5 s apart, by name, in the order of the GPUs."""
    stragglers, found = Stragglers(), []
    for index, each in enumerate(moments):
        found = list(stragglers.note(each, index * 5.0))
    return {each.name: [round(point.value, 3) for point in each.points] for each in found}


SLOW = moment(clocks=(1980e6, 1980e6, 1290e6, 1980e6))


def test_a_slow_clock_is_told_against_the_median_of_the_others() -> None:
    """1290 of 1980 MHz; the three others lose nothing by it."""
    assert told(*[SLOW] * 12)[CLOCK] == [0.0, 0.0, pytest.approx(0.348, abs=1e-3), 0.0]


def test_clocks_need_a_minute_in_which_all_of_the_group_are_busy() -> None:
    """An idle GPU clocks down by itself."""
    idle = moment(clocks=(1980e6, 1980e6, 210e6, 1980e6), busy=(1.0, 1.0, 0.0, 1.0))
    assert CLOCK not in told(*[SLOW] * 11)
    assert CLOCK not in told(*[idle] * 60)


def test_throttling_is_told_by_the_share_of_time_beyond_the_others() -> None:
    """Half of the time, while the others are never slowed down."""
    moments = [moment(throttled=(3.0, 0.0, 100.0 + 2.5 * index, 7.0)) for index in range(30)]
    assert told(*moments)[THROTTLE] == [0.0, 0.0, 0.5, 0.0]


def test_fewer_lanes_are_told_at_once() -> None:
    """Eight of sixteen."""
    assert told(moment(lanes=(16, 8, 16, 16)))[PCIE] == [0.0, 0.5, 0.0, 0.0]


def test_what_is_not_known_of_one_is_told_of_none() -> None:
    """A GPU that has gone leaves nothing to compare."""
    lost = moment(clocks=(1980e6, 1980e6, 1290e6))
    assert CLOCK not in told(*[SLOW] * 20, lost)


@pytest.mark.parametrize(
    ("ranks", "groups"),
    [
        (("TP0", "TP1", "TP2", "TP3"), [{"0", "1", "2", "3"}]),
        (("DP0_PP0_TP0_EP0", "DP0_PP0_TP1_EP1", "DP1_PP0_TP0_EP2", "DP1_PP0_TP1_EP3"), [{"0", "1"}, {"2", "3"}]),
        (("PP0_TP0", "PP0_TP1", "PP1_TP0", "PP1_TP1"), [{"0", "1"}, {"2", "3"}]),
        (("DP0", "DP1", "DP2", "DP3"), []),
        (("TP0",), []),
        (("", ""), []),
    ],
)
def test_a_group_differs_in_tp_only(ranks: tuple[str, ...], groups: list[set[str]]) -> None:
    """Pipeline stages and data-parallel replicas wait for nobody's clocks in lockstep."""
    found = groups_of(moment(ranks=ranks)).values()
    assert groups == sorted(({gpu.gpu for gpu in group} for group in found), key=min)
