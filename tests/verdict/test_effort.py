"""What a GPU does."""

from __future__ import annotations

import pytest

from vllm_vigil.verdict.effort import Effort, Look, together

H100 = {"limit_watts": 700.0}
LEARNED = {"idle_watts": 70.0, "busy_watts": 300.0, "busy_memory": 0.4}


@pytest.mark.parametrize(
    ("numbers", "effort"),
    [
        (LEARNED | {"utilization": 0.0, "memory": 0.0, "watts": 71.0}, Effort.QUIET),
        (LEARNED | {"utilization": 0.95, "memory": 0.5, "watts": 400.0}, Effort.WORKING),
        (LEARNED | {"utilization": 1.0, "memory": 0.0, "watts": 130.0}, Effort.SPINNING),
        (LEARNED | {"utilization": 1.0, "memory": None, "watts": 130.0}, Effort.SPINNING),
        (LEARNED | {"utilization": 1.0, "memory": None, "watts": 290.0}, Effort.WORKING),
        (LEARNED | {"utilization": 0.4, "memory": 0.2, "watts": 160.0}, Effort.WORKING),
        (LEARNED | {"utilization": 1.0, "memory": 0.0, "watts": 350.0}, Effort.UNCLEAR),
        (LEARNED | {"utilization": 1.0, "memory": 0.3, "watts": 90.0}, Effort.UNCLEAR),
        (LEARNED | {"utilization": 0.5, "memory": 0.0, "watts": 100.0}, Effort.UNCLEAR),
        (H100 | {"utilization": 1.0, "memory": 0.0, "watts": 150.0}, Effort.SPINNING),
        (H100 | {"utilization": 1.0, "memory": 0.4, "watts": 600.0}, Effort.WORKING),
        ({"utilization": 1.0, "memory": 0.0, "watts": 22.0}, Effort.UNCLEAR),
        ({"utilization": 1.0, "busy_watts": 40.0, "watts": 22.0}, Effort.SPINNING),
        ({"utilization": 1.0, "busy_watts": 40.0, "idle_watts": 40.0, "watts": 40.0}, Effort.UNCLEAR),
        ({"utilization": 1.0, "memory": 0.5}, Effort.UNCLEAR),
    ],
)
def test_power_and_memory_together_tell_work_from_a_kernel_that_spins(
    numbers: dict[str, float], effort: Effort
) -> None:
    """Against the bands that were learned, else against the power limit, else not at all."""
    assert Look("0", **numbers).effort is effort


MEASURED = [
    ("H100 decodes", 0.57, 0.60, 355.0, Effort.WORKING),
    ("H100 prefills", 1.00, 0.31, 698.0, Effort.WORKING),
    ("H100 decodes for one client", 0.05, 0.05, 140.0, Effort.QUIET),
    ("H100 holds memory at rest", 0.0, 0.0, 122.0, Effort.QUIET),
    ("H100, 24 blocks spin", 1.0, 0.0, 135.0, Effort.SPINNING),
    ("H100, one thread spins", 1.0, 0.0, 126.0, Effort.SPINNING),
    ("H200 decodes", 0.48, 0.50, 336.0, Effort.WORKING),
    ("H200 holds memory at rest", 0.0, 0.0, 120.0, Effort.QUIET),
    ("H200, 24 blocks spin", 1.0, 0.0, 130.0, Effort.SPINNING),
]
"""Utilisation, memory activity and watts of real GPUs with a limit of 700 W, their work a stand-in for vLLM's."""


@pytest.mark.parametrize(("utilization", "memory", "watts", "effort"), [row[1:] for row in MEASURED])
@pytest.mark.parametrize("bands", [{}, {"idle_watts": 122.0, "busy_watts": 283.0, "busy_memory": 0.45}])
def test_what_real_gpus_drew_is_told_apart(
    utilization: float, memory: float, watts: float, effort: Effort, bands: dict[str, float]
) -> None:
    """Before anything was learned, and with the bands that the sidecar had learned there after four minutes."""
    assert Look("0", utilization, memory, watts, 700.0, **bands).effort is effort


def test_one_gpu_that_works_speaks_for_its_engine() -> None:
    """The others wait for it; one that spins among some at rest is the tell of a collective that hangs."""
    working = Look("0", 0.9, 0.4, 600.0, 700.0)
    spinning = Look("1", 1.0, 0.0, 120.0, 700.0)
    quiet = Look("2", 0.0, 0.0, 70.0, 700.0)
    assert together([quiet, spinning, working]) is Effort.WORKING
    assert together([quiet, spinning]) is Effort.SPINNING
    assert together([quiet]) is Effort.QUIET
    assert together([]) is None


def test_the_words_hold_the_numbers_and_the_bands() -> None:
    """What is not known is left out."""
    assert Look("3", 1.0, 0.0, 135.0, 600.0, 28.0, 250.0).words == (
        "GPU 3 at 100 %, memory 0 %, 135 W (idle 28 W, busy from 250 W)"
    )
    assert Look("0", 0.5).words == "GPU 0 at 50 %"
