"""Snapshot -> the few numbers that people look at first, per server and per GPU. What is absent is None, never 0."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from vllm_vigil.model import Snapshot


@dataclass(frozen=True, slots=True)
class ServerFigures:
    """One vLLM server: requests summed over its engines and models, the fullest of its KV caches."""

    server: str
    requests_running: float | None
    requests_waiting: float | None
    kv_cache_usage_ratio: float | None


@dataclass(frozen=True, slots=True)
class GpuFigures:
    """One GPU. `name` is the product's, "" if it is not known."""

    gpu: str
    uuid: str
    name: str
    utilization_ratio: float | None
    memory_used_bytes: float | None
    memory_total_bytes: float | None
    temperature_celsius: float | None
    power_watts: float | None


def server_figures(snapshot: Snapshot, server: str) -> ServerFigures:
    """The numbers of one server."""

    def of(name: str, join: Callable[[Iterable[float]], float]) -> float | None:
        return _joined(snapshot, name, {"server": server}, join)

    return ServerFigures(
        server, of("llm_requests_running", sum), of("llm_requests_waiting", sum), of("llm_kv_cache_usage_ratio", max)
    )


def gpu_figures(snapshot: Snapshot) -> tuple[GpuFigures, ...]:
    """The numbers of every GPU of which anything is known, by index."""
    found: dict[str, dict[str, str]] = {}
    for name in ("gpu_info", "gpu_memory_total_bytes", "gpu_utilization_ratio"):
        for point in snapshot.points(name):
            labels = dict(point.labels)
            found.setdefault(labels.get("gpu", ""), labels)
    return tuple(_gpu(snapshot, gpu, found[gpu]) for gpu in sorted(found, key=_index))


def _gpu(snapshot: Snapshot, gpu: str, labels: Mapping[str, str]) -> GpuFigures:
    def of(name: str, **more: str) -> float | None:
        return _joined(snapshot, name, {"gpu": gpu} | more, max)

    return GpuFigures(
        gpu,
        labels.get("uuid", ""),
        labels.get("name", ""),
        of("gpu_utilization_ratio"),
        of("gpu_memory_used_bytes"),
        of("gpu_memory_total_bytes"),
        of("gpu_temperature_celsius", sensor="gpu"),  # the die, which everyone means
        of("gpu_power_watts"),
    )


def _joined(
    snapshot: Snapshot, name: str, wanted: Mapping[str, str], join: Callable[[Iterable[float]], float]
) -> float | None:
    values = [
        point.value
        for point in snapshot.points(name)
        if math.isfinite(point.value) and wanted.items() <= dict(point.labels).items()
    ]
    return join(values) if values else None


def _index(gpu: str) -> tuple[int, str]:
    return (int(gpu), gpu) if gpu.isascii() and gpu.isdigit() else (-1, gpu)
