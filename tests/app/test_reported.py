"""What becomes of an incident stands in our own log: trouble as a warning, its end as information, more of it not."""

from __future__ import annotations

import pytest
from loguru import logger

from vllm_vigil.app.reported import report
from vllm_vigil.clock import CrankedClock
from vllm_vigil.model import Change, Incident, IncidentState, Severity, Transition
from vllm_vigil.telemetry import Telemetry

INCIDENT = Incident("vigil-1", "gpu_lost", "code", Severity.CRITICAL, IncidentState.OPEN, "GPU lost", 0.0, 0.0)


@pytest.mark.parametrize(
    ("transition", "said"),
    [
        (Transition.OPENED, ["WARNING incident vigil-1 opened: GPU lost (gpu_lost, code)"]),
        (Transition.TAKEN_OVER, ["WARNING incident vigil-1 taken over: GPU lost (gpu_lost, code)"]),
        (Transition.RESOLVED, ["INFO incident vigil-1 resolved: GPU lost (gpu_lost, code)"]),
        (Transition.UPDATED, []),
    ],
)
def test_a_change_is_said_as_loudly_as_it_matters(transition: Transition, said: list[str]) -> None:
    """What is over wants nobody's eye."""
    heard: list[str] = []
    sink = logger.add(heard.append, format="{level} {message}")
    report(Change(INCIDENT, transition), Telemetry(CrankedClock()))
    logger.remove(sink)
    assert said == [line.rstrip("\n") for line in heard]
