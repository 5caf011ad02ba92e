"""A watched server whose signs disagree is asked for one token, which decides; the whole sidecar but its HTTP side."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from standins.completions import hangs, says
from standins.vllm import StandInVllm
from vllm_vigil.app.round import Round
from vllm_vigil.clock import CrankedClock
from vllm_vigil.config.settings import Config, ServerSettings
from vllm_vigil.model import EngineState
from vllm_vigil.probe.settings import ProbeSettings
from vllm_vigil.sources.host import HostSettings
from vllm_vigil.sources.nvml import GpuSettings
from vllm_vigil.state.store import Store
from vllm_vigil.telemetry import Telemetry
from vllm_vigil.units import Seconds

# What vLLM goes on showing when it hangs, and also when its last step emptied it: work, and no step.
STILL = """
vllm:num_requests_running{engine="0",model_name="tiny"} 9
vllm:num_requests_waiting{engine="0",model_name="tiny"} 50
vllm:iteration_tokens_total_count{engine="0",model_name="tiny"} 700
"""
STEPPED = STILL.replace("700", "701")


@pytest.fixture
def vllm() -> Iterator[StandInVllm]:
    with StandInVllm(STILL) as server:
        server.model = "tiny"
        yield server


class Scene:
    """One round of the sidecar, whose time is cranked while its requests are real."""

    def __init__(self, vllm: StandInVllm, store: Store, clock: CrankedClock) -> None:
        self.clock = clock
        probe = ProbeSettings(enabled=True, timeout=Seconds(0.5))
        lasting = Seconds(120.0)  # a machine that is busy reads late by a clock that is cranked
        server = ServerSettings(name="llama", url=vllm.url, interval=Seconds(1.0), stale_after=lasting, probe=probe)
        config = Config((server,), GpuSettings(enabled=False), HostSettings(enabled=False))
        self.round = Round(config, store, clock, Telemetry(clock))

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

    async def play(self, acts: Callable[[Scene], Awaitable[None]]) -> None:
        """The acts, while the round is at work."""
        work = asyncio.ensure_future(self.round.run())
        await acts(self)
        work.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await work
        await self.round.close()


def counted(scene: Scene, outcome: str) -> float:
    """How many probes ended so, as the snapshot says it."""
    points = scene.round.metrics.snapshot.points("llm_probe_requests_total")
    return next(point.value for point in points if dict(point.labels)["outcome"] == outcome)


def test_one_token_decides_between_a_stall_and_numbers_that_stand_still(
    vllm: StandInVllm, tmp_path: Path, clock: CrankedClock
) -> None:
    """First it gets none: stalled. A minute later it gets one: frozen metrics. A step: healthy, and no more probes."""

    async def acts(scene: Scene) -> None:
        vllm.complete = hangs
        await scene.until("it is stalled", lambda: scene.state() is EngineState.STALLED)
        await scene.until("the probe ends", lambda: counted(scene, "timeout") == 1)
        await scene.until("it says why", lambda: "a probe got no token" in scene.round.metrics.engines[0].reasons[0])
        assert scene.state() is EngineState.STALLED
        vllm.complete = says("once")
        waited = await scene.until("its numbers are frozen", lambda: scene.state() is EngineState.FROZEN_METRICS)
        assert waited > 30, "the next probe has waited its minute"
        assert (1.0, 1.0) == (counted(scene, "timeout"), counted(scene, "ok"))
        vllm.page = STEPPED
        await scene.until("it is healthy", lambda: scene.state() is EngineState.HEALTHY)
        await scene.until("ten seconds pass", lambda: scene.clock.monotonic() % 10 == 0)
        assert 2 == vllm.asked("/v1/completions")

    store = Store.open(tmp_path / "state")
    asyncio.run(Scene(vllm, store, clock).play(acts))
    store.close()
