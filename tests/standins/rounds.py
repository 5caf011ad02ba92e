"""One round of the sidecar at work: its time is cranked while its requests are real."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from vllm_vigil.app.round import Round
from vllm_vigil.clock import CrankedClock
from vllm_vigil.config.settings import Config, ServerSettings
from vllm_vigil.model import EngineState
from vllm_vigil.sources.settings import GpuSettings, HostSettings
from vllm_vigil.state.store import Store
from vllm_vigil.telemetry import Telemetry
from vllm_vigil.units import Seconds

LASTING = Seconds(120.0)
"""How long a reading counts: a machine that is busy reads late by a clock that is cranked."""


def server(url: str, **more: Any) -> ServerSettings:
    """A server called llama, asked every second."""
    return ServerSettings(name="llama", url=url, interval=Seconds(1.0), stale_after=LASTING, **more)


class WorkingRound:
    """A round of one server, without GPU and host; what it keeps is under the directory."""

    def __init__(self, directory: Path, clock: CrankedClock, watched: ServerSettings, **config: Any) -> None:
        self.clock = clock
        self.store = Store.open(directory / "state")
        parts = Config((watched,), GpuSettings(enabled=False), HostSettings(enabled=False), **config)
        self.round = Round(parts, self.store, clock, Telemetry(clock))

    def state(self) -> EngineState | None:
        """What the only engine is in."""
        engines = self.round.metrics.engines
        return engines[0].state if engines else None

    async def until(self, what: str, condition: Callable[[], bool]) -> float:
        """Let seconds pass, with time for the requests of each; how many it took."""
        began, deadline = self.clock.monotonic(), time.monotonic() + 30
        while not condition():
            assert time.monotonic() < deadline, what
            await self.clock.crank(1)
            await asyncio.sleep(0.02)
        return self.clock.monotonic() - began

    def play(self, acts: Callable[[], Awaitable[None]]) -> None:
        """The acts, while the round is at work, up to its last commit."""

        async def run() -> None:
            work = asyncio.ensure_future(self.round.run())
            await acts()
            work.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await work
            await self.round.close()

        asyncio.run(run())
        self.store.close()
