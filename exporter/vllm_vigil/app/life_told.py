"""An event of a log -> what it says that the server does from then on, for the verdict."""

from __future__ import annotations

from vllm_vigil.model import Event

FATAL = frozenset(
    {
        "cuda_oom",
        "kv_cache_too_small",
        "host_oom_kill",
        "cuda_error",
        "nccl_failure",
        "startup_failed",
        "worker_died",
        "engine_dead",
    }
)
"""Rules whose events mean that the engine is not coming back by itself."""

LIFE = {
    "server_started": "starting",
    "weights_loading": "loading",
    "weights_loaded": "profiling",
    "kv_cache_sized": "warming",
    "server_ready": "ready",
    "engine_asleep": "asleep",
    "engine_awake": "ready",
    "server_stopping": "stopping",
}
"""What a line says that the server does from then on."""


def life_told(event: Event) -> str | None:
    """A state of the server's life, None if the event says nothing of it; a death that is long past is none."""
    return LIFE.get(event.kind) or ("dead" if event.rule in FATAL and not event.record.old else None)
