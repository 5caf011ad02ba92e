"""What several tests of shipped files look at: the boards' day in a real Prometheus, made once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from standins import board_day
from standins.pictures import Servers, servers


@pytest.fixture(scope="session")
def board_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """A Prometheus with three hours of two sidecars, and the log lines of the first."""
    directory: Path = tmp_path_factory.mktemp("boards")
    board_day.fill(directory)
    with servers(directory) as at:
        yield at
