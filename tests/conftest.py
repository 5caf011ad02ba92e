"""Fixtures named after nouns, shared by every room."""

from __future__ import annotations

import pytest

from vllm_vigil.clock import CrankedClock
from vllm_vigil.telemetry import Telemetry


@pytest.fixture
def clock() -> CrankedClock:
    """A clock that stands still until it is cranked."""
    return CrankedClock()


@pytest.fixture
def telemetry(clock: CrankedClock) -> Telemetry:
    """The sidecar's own metrics, from 0."""
    return Telemetry(clock)
