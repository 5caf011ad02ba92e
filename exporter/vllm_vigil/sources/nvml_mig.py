"""The MIG devices of one GPU -> their series: who they are, and memory and activity of each GPU instance.

Memory and activity belong to the GPU instance (`gi`), which several compute instances (`ci`) may share: told for each
device they would count twice. `gpu_mig_info` joins the two.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from vllm_vigil.model import Sample, labels
from vllm_vigil.series.gpu import MIG_ACTIVITIES, MIG_ACTIVITY, MIG_INFO, MIG_MEMORY, MIG_PCIE, OFTEN, Gpm, GpuRow
from vllm_vigil.sources.nvml_activity import Activity
from vllm_vigil.sources.nvml_tiers import ENDED, FUNCTION_NOT_FOUND, NOT_FOUND, NOT_SUPPORTED

ROWS = (
    *(GpuRow(MIG_ACTIVITY, Gpm(id_), labels=labels(part=part), per=100) for part, id_ in MIG_ACTIVITIES),
    GpuRow(MIG_PCIE, Gpm(20), labels=labels(direction="tx"), times=2.0**20),
    GpuRow(MIG_PCIE, Gpm(21), labels=labels(direction="rx"), times=2.0**20),
)


class MigDevices:
    """What is remembered of the instances of one GPU."""

    def __init__(self, nvml: Any, parent: Any, index: int, uuid: str) -> None:
        self._nvml = nvml
        self._parent = parent
        self._gpu = {"gpu": str(index), "uuid": uuid}
        self._due = 0.0
        self._samples: list[Sample] = []
        self._activities: dict[int, Activity | None] = {}

    def read(self, now: float) -> list[Sample]:
        """Every sample of every instance, looked at every 10 s."""
        if now < self._due:
            return self._samples
        samples: list[Sample] = []
        instances: set[int] = set()
        for index, handle, gi in self._devices():
            samples.append(self._info(handle, gi, index))
            if gi not in instances:
                instances.add(gi)
                samples += self._memory(handle, gi)
                samples += self._active(gi, now)
        for gone in self._activities.keys() - instances:
            if activity := self._activities.pop(gone):
                activity.end()
        self._samples, self._due = samples, now + OFTEN
        return samples

    def end(self) -> None:
        """Give back what the driver holds for us."""
        for activity in self._activities.values():
            if activity:
                activity.end()
        self._activities = {}

    def _devices(self) -> Iterator[tuple[int, Any, int]]:
        nvml = self._nvml
        for index in range(self._count()):
            try:
                handle = nvml.nvmlDeviceGetMigDeviceHandleByIndex(self._parent, index)
                found = (index, handle, nvml.nvmlDeviceGetGpuInstanceId(handle))
            except nvml.NVMLError as error:
                if error.value not in (NOT_FOUND, NOT_SUPPORTED):  # places may be empty in between
                    raise
                continue
            yield found

    def _count(self) -> int:
        try:
            return int(self._nvml.nvmlDeviceGetMaxMigDeviceCount(self._parent))
        except self._nvml.NVMLError as error:
            if error.value in ENDED or error.value not in (NOT_SUPPORTED, FUNCTION_NOT_FOUND):
                raise
            return 0

    def _info(self, handle: Any, gi: int, index: int) -> Sample:
        nvml = self._nvml
        name = nvml.nvmlDeviceGetName(handle)
        named = labels(
            **self._gpu,
            mig=str(index),
            mig_uuid=nvml.nvmlDeviceGetUUID(handle),
            gi=str(gi),
            ci=str(nvml.nvmlDeviceGetComputeInstanceId(handle)),
            profile=name.rpartition("MIG ")[2],
        )
        return Sample(MIG_INFO.name, named, 1.0)

    def _memory(self, handle: Any, gi: int) -> Iterator[Sample]:
        nvml = self._nvml
        try:
            memory = nvml.nvmlDeviceGetMemoryInfo(handle, version=nvml.nvmlMemory_v2)
        except (nvml.NVMLError_FunctionNotFound, nvml.NVMLError_NotSupported):
            memory = nvml.nvmlDeviceGetMemoryInfo(handle)
        for spec, part in zip(MIG_MEMORY, ("used", "reserved", "free", "total"), strict=True):
            if hasattr(memory, part):
                yield Sample(spec.name, labels(**self._gpu, gi=str(gi)), float(getattr(memory, part)))

    def _active(self, gi: int, now: float) -> Iterator[Sample]:
        if gi not in self._activities:
            self._activities[gi] = Activity.found(self._nvml, self._parent, ROWS, gi)
        activity = self._activities[gi]
        for row, value in zip(*activity.read(now), strict=True) if activity else ():
            yield Sample(row.spec.name, labels(**self._gpu, gi=str(gi), **dict(row.labels)), value)
