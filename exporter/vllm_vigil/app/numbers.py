"""The snapshot -> the few numbers of a server that a message holds: what a person would look up first at night.

Under names that `notifications/wording` has words for. What is not known now is left out, never 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime

from vllm_vigil.model import Labels, Snapshot

GIB = 2**30


def numbers(snapshot: Snapshot, server: str) -> Labels:
    """KV cache, queue, the fullest GPU, the server's last start and version, as texts."""
    return tuple(_numbers(snapshot, server))


def _numbers(snapshot: Snapshot, server: str) -> Iterator[tuple[str, str]]:
    usage = _of(snapshot, "llm_kv_cache_usage_ratio", server, max)
    if usage is not None:
        yield "kv_cache", f"{usage * 100:.0f} %"
    for name, series in (("running", "llm_requests_running"), ("waiting", "llm_requests_waiting")):
        count = _of(snapshot, series, server, sum)
        if count is not None:
            yield name, f"{count:.0f}"
    yield from _memory(snapshot)
    started = _of(snapshot, "llm_server_start_time_seconds", server, max) or _of(
        snapshot, "llm_process_start_time_seconds", server, max
    )
    if started is not None:
        yield "started", datetime.fromtimestamp(started, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    for point in snapshot.points("llm_engine_info"):
        found = dict(point.labels)
        if found.get("server") == server and "vllm_version" in found:
            yield "vllm", found["vllm_version"]
            return


def _memory(snapshot: Snapshot) -> Iterator[tuple[str, str]]:
    """Of the fullest GPU of this host."""
    totals = {dict(point.labels).get("gpu"): point.value for point in snapshot.points("gpu_memory_total_bytes")}
    used = [
        (point.value / total, point.value, total)
        for point in snapshot.points("gpu_memory_used_bytes")
        if (total := totals.get(dict(point.labels).get("gpu"), 0.0))
    ]
    if used:
        _, fullest, total = max(used)
        yield "gpu_memory", f"{fullest / GIB:.1f} of {total / GIB:.1f} GiB"


def _of(snapshot: Snapshot, name: str, server: str, join: Callable[[Iterable[float]], float]) -> float | None:
    values = [point.value for point in snapshot.points(name) if dict(point.labels).get("server") == server]
    return join(values) if values else None
