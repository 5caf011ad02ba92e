"""Moments in a sidecar's life that the exposition's tests look at from several sides."""

from __future__ import annotations

from standins.sidecar import NOW, StandInSidecar
from vllm_vigil.exposition.status import Channel, Config, File, Source
from vllm_vigil.model import (
    EngineHealth,
    EngineState,
    Incident,
    IncidentState,
    Point,
    Series,
    Severity,
    Silence,
    Snapshot,
    labels,
)


def series(name: str, *points: Point) -> Series:
    """One series of these points."""
    return Series(name, points)


def snapshot_of(*found: Series) -> Snapshot:
    """A snapshot of these series."""
    return Snapshot({each.name: each for each in found})


def engine(
    state: EngineState, server: str = "llama", since: float = NOW - 250, why: str = "3 running, 18 tokens/s"
) -> EngineHealth:
    """One engine in that state."""
    return EngineHealth(server, "0", "meta-llama/Llama-3.1-8B-Instruct", state, since, (why,))


def small_snapshot() -> Snapshot:
    """A series of every kind."""
    of_engine = {"server": "llama", "model_name": "m", "engine": "0"}
    return snapshot_of(
        series("llm_requests_running", Point(labels(**of_engine), 3.0)),
        series("llm_requests_waiting", Point(labels(**of_engine), 0.0)),
        series("llm_kv_cache_usage_ratio", Point(labels(**of_engine), 0.93)),
        series("llm_generation_tokens_total", Point(labels(**of_engine), 1234.0)),
        series("llm_engine_info", Point(labels(server="llama", vllm_version="0.32.0"), 1.0)),
        series(
            "llm_engine_state",
            Point(labels(**of_engine, state="healthy"), 1.0),
            Point(labels(**of_engine, state="dead"), 0.0),
        ),
        series(
            "llm_time_to_first_token_seconds",
            Point(labels(**of_engine, le="0.001"), 0.0, "_bucket"),
            Point(labels(**of_engine, le="1.0"), 2.0, "_bucket"),
            Point(labels(**of_engine, le="+Inf"), 3.0, "_bucket"),
            Point(labels(**of_engine), 3.0, "_count"),
            Point(labels(**of_engine), 4.5, "_sum"),
        ),
        series("gpu_info", Point(labels(gpu="0", uuid="GPU-1", name="NVIDIA H100 80GB HBM3"), 1.0)),
        series("gpu_utilization_ratio", Point(labels(gpu="0", uuid="GPU-1"), 0.97)),
        series("gpu_memory_used_bytes", Point(labels(gpu="0", uuid="GPU-1"), 76_000_000_000.0)),
        series("gpu_memory_total_bytes", Point(labels(gpu="0", uuid="GPU-1"), 85_899_345_920.0)),
        series(
            "gpu_temperature_celsius",
            Point(labels(gpu="0", uuid="GPU-1", sensor="gpu"), 64.0),
            Point(labels(gpu="0", uuid="GPU-1", sensor="memory"), 88.0),
        ),
        series("gpu_energy_joules_total", Point(labels(gpu="0", uuid="GPU-1"), 1e9)),
    )


def incident(severity: Severity = Severity.CRITICAL, **changes: object) -> Incident:
    """An engine that ran out of memory."""
    fields: dict[str, object] = {
        "key": "cuda_oom/llama/1",
        "rule": "cuda_oom",
        "server": "llama",
        "severity": severity,
        "state": IncidentState.OPEN,
        "title": "CUDA out of memory at run time: asked 2.25 GiB, 1.10 GiB free",
        "opened": NOW - 262,
        "updated": NOW - 250,
        "labels": labels(phase="serving", gpu="0"),
        "count": 3,
        "evidence": ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.25 GiB.",),
    } | changes
    return Incident(**fields)  # type: ignore[arg-type]  # the fields above, by name


def quiet() -> StandInSidecar:
    """Everything is well."""
    return StandInSidecar(
        series=small_snapshot(),
        health=(engine(EngineState.HEALTHY),),
        source_facts=(Source("vllm", "llama", up=True, age_seconds=2.1, duration_seconds=0.004),),
    )


def night() -> StandInSidecar:
    """The engine died and vLLM closed its port; no GPU library; the last reload was refused; Slack is slow."""
    return StandInSidecar(
        server_names=("llama", "qwen"),
        series=small_snapshot(),
        health=(
            engine(EngineState.UNREACHABLE, why="nothing answers at its address for 250 s"),
            engine(EngineState.HEALTHY, "qwen", since=NOW - 90_000),
        ),
        open=(incident(),),
        resolved=(
            incident(
                Severity.WARNING,
                key="request_timeout/qwen/1",
                rule="request_timeout",
                server="qwen",
                state=IncidentState.RESOLVED,
                title="7 requests timed out in 5 min",
                opened=NOW - 200_000,
                resolved=NOW - 199_000,
            ),
        ),
        source_facts=(
            Source("vllm", "llama", up=False, error="connection refused", age_seconds=251.0, duration_seconds=0.001),
            Source("vllm", "qwen", up=True, age_seconds=1.2, duration_seconds=0.006),
            Source("nvml", "", up=False, error="no NVIDIA driver on this machine"),
        ),
        file_facts=(
            File("/var/log/vllm/llama.log", "llama", readable=True, lag_bytes=0),
            File("/var/log/vllm/qwen.log", "qwen", readable=False),
        ),
        channel_facts=(Channel("slack", 1, 4.0), Channel("pagerduty", 0)),
        silence_facts=(Silence(7, (("server", "qwen"),), NOW - 60, NOW + 1800, "kim", "driver update"),),
        config_facts=Config(
            "/etc/vllm-vigil/vigil.yaml", NOW - 60, successful=False, error="line 3: vllm.ulr: unknown"
        ),
    )
