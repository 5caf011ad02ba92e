"""NVML's process lists of one GPU, compute and graphics -> pid and bytes of each process.

Called with pynvml and a device handle in the driver's thread, as the rows of `series/gpu.py` are. A process that
computes and draws stands in both lists with the same memory, and counts once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

LISTS = (
    ("nvmlDeviceGetComputeRunningProcesses_v3", "nvmlDeviceGetComputeRunningProcesses_v2"),
    ("nvmlDeviceGetGraphicsRunningProcesses_v3", "nvmlDeviceGetGraphicsRunningProcesses_v2"),
)
"""By kind, the newest call first: drivers before 510 know the older one only."""


@dataclass(frozen=True, slots=True)
class GpuProcesses:
    """What NVML lists on one GPU: pid and bytes (None where it does not say); None where it lists nothing at all."""

    gpu: str
    uuid: str
    processes: tuple[tuple[int, int | None], ...] | None


def list_processes(nvml: Any, device: Any, gpu: str, uuid: str) -> GpuProcesses:
    """Ask both lists. One that is refused is left out: other answers of the GPU say what is wrong with it."""
    found: dict[int, int | None] = {}
    answered = False
    for calls in LISTS:
        listed = _listed(nvml, device, calls)
        answered = answered or listed is not None
        for each in listed or ():
            known = found.get(each.pid)
            used = each.usedGpuMemory
            found[each.pid] = known if used is None else max(used, known or 0)
    return GpuProcesses(gpu, uuid, tuple(found.items()) if answered else None)


def _listed(nvml: Any, device: Any, calls: tuple[str, ...]) -> list[Any] | None:
    for name in calls:
        try:
            listed: list[Any] = getattr(nvml, name)(device)
        except nvml.NVMLError as error:
            if error.value != nvml.NVML_ERROR_FUNCTION_NOT_FOUND:
                return None
        else:
            return listed
    return None
