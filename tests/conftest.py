"""Fixtures named after nouns, shared by every room."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path

import coverage
import pytest

from standins.channels import Channels
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


@pytest.fixture
def channels() -> Iterator[Channels]:
    """The providers of chat, pages and webhooks, played here."""
    with Channels() as playing:
        yield playing


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """An empty log that is followed from its beginning."""
    path = tmp_path / "vllm.log"
    path.touch()
    return path


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """A test that is marked `no_cover`, its fixtures and the programs that it starts, run unmeasured: far faster."""
    measured = coverage.Coverage.current()
    if measured is None or item.get_closest_marker("no_cover") is None:
        return (yield)
    with pytest.MonkeyPatch.context() as environment:
        environment.delenv("COVERAGE_PROCESS_CONFIG", raising=False)
        measured.stop()
        try:
            return (yield)
        finally:
            measured.start()
