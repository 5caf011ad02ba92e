"""A recording of a server that fills up, stalls and dies, for the tests of what is made of one."""

from __future__ import annotations

import math

from vllm_vigil.model import EngineState, Incident, IncidentState, Severity
from vllm_vigil.recorder.bundle import Frozen
from vllm_vigil.recorder.ring import Ring
from vllm_vigil.recorder.tracks import STATES, Track

BEGAN = 1_795_330_000.0
SECRET = "sk-abcdefghijklmnop"  # planted
INCIDENT = Incident(
    key="vigil-0123456789abcdef",
    rule="cuda_oom",
    server="llama",
    severity=Severity.CRITICAL,
    state=IncidentState.OPEN,
    title="GPU out of memory (runtime)",
    opened=BEGAN + 868,
    updated=BEGAN + 868,
    labels=(("cause", "runtime"), ("gpu", "0")),
    fix="Start vLLM with --gpu-memory-utilization 0.87.",
)
RECORDS: dict[str, list[tuple[float | None, str]]] = {
    "llama EngineCore": [(BEGAN + 868, f"ERROR torch.OutOfMemoryError: CUDA out of memory. api_key={SECRET}")],
    "llama": [(None, "WARNING Received request cmpl-1: prompt: 'a prompt of a client'")],
}


def ring(engines: int = 1, gpus: int = 2, moments: int = 900) -> Ring:
    """So many engines of the server llama, and one of another."""
    made = Ring()
    for second in range(moments):
        names = [*(f"llama/{engine}" for engine in range(engines)), "other/0"]
        state = EngineState.HEALTHY if second < 840 else EngineState.STALLED if second < 870 else EngineState.DEAD
        numbers: dict[Track, float] = {}
        for name in names:
            numbers[Track("engine", name, "state")] = float(STATES.index(state))
            if second < 870:
                numbers |= {Track("engine", name, each): value for each, value in _engine(second).items()}
        for gpu in range(gpus):
            numbers[Track("gpu", str(gpu), "power")] = 600 + 90 * math.sin(second / 37 + gpu)
            numbers[Track("gpu", str(gpu), "memory")] = 71 * 2.0**30
            numbers[Track("gpu", str(gpu), "clock")] = 1.98e9 if gpu != 1 else 1.41e9
        made.put(numbers, BEGAN + second)
    return made


def _engine(second: int) -> dict[str, float]:
    """What vLLM shows, read every 5 s."""
    read = second // 5 * 5
    return {
        "running": 64.0,
        "waiting": max(0.0, read - 600.0),
        "kv_cache": min(0.99, read / 800),
        "generation_tokens": read * 1000.0,
        "ttft_seconds": read * 0.5,
        "ttft_count": read * 1.0,
    }


def frozen(**shape: int) -> Frozen:
    """The bundle to be."""
    return Frozen(INCIDENT, BEGAN + 899, ring(**shape).copy(), RECORDS)
