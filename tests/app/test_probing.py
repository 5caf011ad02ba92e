"""A watched server whose signs disagree is asked for one token, which decides; the whole sidecar but its HTTP side."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from standins.completions import hangs, says
from standins.rounds import WorkingRound, server
from standins.vllm import StandInVllm
from vllm_vigil.clock import CrankedClock
from vllm_vigil.model import EngineState
from vllm_vigil.probe.settings import ProbeSettings
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
    with StandInVllm(STILL) as standin:
        standin.model = "tiny"
        yield standin


def counted(scene: WorkingRound, outcome: str) -> float:
    """How many probes ended so, as the snapshot says it."""
    points = scene.round.metrics.snapshot.points("llm_probe_requests_total")
    return next((point.value for point in points if dict(point.labels)["outcome"] == outcome), 0.0)


def test_one_token_decides_between_a_stall_and_numbers_that_stand_still(
    vllm: StandInVllm, tmp_path: Path, clock: CrankedClock
) -> None:
    """First it gets none: stalled. A minute later it gets one: frozen metrics. A step: healthy, and no more probes."""
    probe = ProbeSettings(enabled=True, timeout=Seconds(0.5))
    scene = WorkingRound(tmp_path, clock, server(vllm.url, probe=probe))

    async def acts() -> None:
        vllm.complete = hangs
        await scene.until("it is stalled", lambda: scene.state() is EngineState.STALLED)
        await scene.until("the probe ends", lambda: counted(scene, "timeout") >= 1)
        await scene.until("it says why", lambda: "a probe got no token" in scene.round.metrics.engines[0].reasons[0])
        assert scene.state() is EngineState.STALLED
        vllm.complete = says("once")
        await scene.until("its numbers are frozen", lambda: scene.state() is EngineState.FROZEN_METRICS)
        assert 1 == counted(scene, "ok")
        vllm.page = STEPPED
        await scene.until("it is healthy", lambda: scene.state() is EngineState.HEALTHY)
        await scene.until("ten seconds pass", lambda: scene.clock.monotonic() % 10 == 0)
        assert counted(scene, "timeout") + 1 == vllm.asked("/v1/completions")  # a busy machine may be late twice

    scene.play(acts)


def test_a_server_at_rest_has_its_canary(vllm: StandInVllm, tmp_path: Path, clock: CrankedClock) -> None:
    """From the first moment that it is known to serve."""
    vllm.page, vllm.complete = STILL.replace(" 9\n", " 0\n").replace(" 50\n", " 0\n"), says("once")
    probe = ProbeSettings(enabled=True, every=Seconds(60.0))
    scene = WorkingRound(tmp_path, clock, server(vllm.url, probe=probe))

    async def acts() -> None:
        waited = await scene.until("a canary is answered", lambda: counted(scene, "ok") == 1)
        assert scene.state() is EngineState.IDLE
        assert waited < 60

    scene.play(acts)
