"""The stand-in providers, and incidents to tell of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from loguru import logger

from standins.channels import Channels
from standins.notices import INCIDENT, Incidents
from vllm_vigil.state.store import Store


@pytest.fixture
def incident() -> Incidents:
    """An open incident, with any field changed."""
    return lambda **changes: replace(INCIDENT, **changes)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A state file of its own."""
    opened = Store.open(tmp_path / "state")
    yield opened
    opened.close()


@pytest.fixture
def channels(monkeypatch: pytest.MonkeyPatch) -> Iterator[Channels]:
    """The providers, and this process pointed at them."""
    with Channels() as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        yield server


@pytest.fixture
def log() -> Iterator[list[str]]:
    """Every line of our log, as `LEVEL message`."""
    lines: list[str] = []
    sink = logger.add(lambda message: lines.append(str(message).rstrip()), format="{level} {message}", level=0)
    yield lines
    logger.remove(sink)
