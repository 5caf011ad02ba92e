"""The snapshot -> what stands around a sign of memory that ran out: the server's settings, and who else holds its GPU.

PyTorch numbers the GPUs that its process may see, NVML all of the host: which one is meant is known from where the
server holds memory, and from its worker's rank. If that is not one GPU, nothing is said of any.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from vllm_vigil.incidents.said import known_settings
from vllm_vigil.incidents.shortage import Surroundings
from vllm_vigil.model import Point, Snapshot

Labels = Mapping[str, str]


def surroundings(snapshot: Snapshot, server: str, fields: Mapping[str, str]) -> Surroundings:
    """What is known now; `fields` are those of the sign (`process` is vLLM's name of it, `Worker_TP1`)."""
    settings: dict[str, float] = {}
    for labels, _ in _of(snapshot, "llm_cache_config_info", server):
        settings |= known_settings(labels)
    limits = [value for _, value in _of(snapshot, "llm_cgroup_memory_limit_bytes", server)]
    gpu = _gpu(snapshot, server, fields.get("process", ""))
    if gpu is None:
        return Surroundings(settings, limit=min(limits, default=None))
    total = next((point.value for point in snapshot.points("gpu_memory_total_bytes") if _uuid(point) == gpu), None)
    others = _others(snapshot, server, gpu)
    held = sum(others.values()) if _is_complete(snapshot, gpu) else None
    holder = max(others, key=lambda name: others[name], default="") if held else ""
    return Surroundings(settings, total, held, holder, min(limits, default=None))


def _gpu(snapshot: Snapshot, server: str, process: str) -> str | None:
    """The UUID of the GPU that a process of the server works on; the host's only one, if it has one."""
    rank = process.removeprefix("Worker_") if process.startswith("Worker_") else ""
    held = [(labels, value) for labels, value in _of(snapshot, "gpu_process_memory_bytes", server)]
    of_rank = {labels.get("uuid", "") for labels, _ in held if rank and labels.get("rank") == rank}
    for found in (of_rank, {labels.get("uuid", "") for labels, _ in held}):
        if len(found) == 1:
            return found.pop()
    every = {_uuid(point) for point in snapshot.points("gpu_memory_total_bytes")}
    return every.pop() if len(every) == 1 else None


def _others(snapshot: Snapshot, server: str, gpu: str) -> dict[str, float]:
    """Bytes by who holds them: a program by its name, another server, a vLLM that is not configured."""
    found: dict[str, float] = {}
    for point in snapshot.points("gpu_process_memory_bytes"):
        labels = dict(point.labels)
        if labels.get("uuid") == gpu and labels.get("server") != server:
            found[_named(labels)] = found.get(_named(labels), 0.0) + point.value
    return found


def _named(labels: Labels) -> str:
    if other := labels.get("server"):
        return f"the vLLM server {other}"
    if labels.get("role") in ("foreign", "hidden"):
        return labels.get("command", "")
    return "another vLLM, maybe one left over from the last run,"


def _is_complete(snapshot: Snapshot, gpu: str) -> bool:
    """Whether it is known whose every process on the GPU is."""
    return any(
        point.value == 1.0 for point in snapshot.points("gpu_process_attribution_available") if _uuid(point) == gpu
    )


def _of(snapshot: Snapshot, name: str, server: str) -> Iterator[tuple[Labels, float]]:
    for point in snapshot.points(name):
        labels = dict(point.labels)
        if labels.get("server") == server:
            yield labels, point.value


def _uuid(point: Point) -> str:
    return next((value for name, value in point.labels if name == "uuid"), "")
