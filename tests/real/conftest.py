"""What the tests against a real vLLM share: the server, whose start is the longest wait, and the channels."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from standins.real_vllm import RealVllm


@pytest.fixture(scope="session")
def vllm(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[RealVllm]:
    """Installed by `scripts/test --real-vllm`. It serves from the first test that starts it, whatever they do to it.

    Each worker of pytest-xdist has one of its own, on a core of its own.
    """
    core = int(worker_id.removeprefix("gw")) if worker_id != "master" else 0
    server = RealVllm(Path(os.environ["VIGIL_REAL_VLLM"]), tmp_path_factory.mktemp("vllm"), core)
    yield server
    server.stop()
