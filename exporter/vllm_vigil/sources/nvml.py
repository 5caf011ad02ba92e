"""The GPUs of this host, read through NVML -> a Reading of samples under our own names, row by row of `series/gpu.py`.

Failures come in tiers. *Never*: a call that a GPU does not support is remembered for that GPU and row, and not made
again. *Not now*: a GPU that is lost or does not answer loses all its series, and the others go on; a call that fails
in another way loses its row. *Not here*: no library, no driver, no permission, or no GPU left fails the reading, and
NVML is begun anew with a backoff of at most 30 s. It is also begun anew while a GPU is missing, because an NVML that
has lost a GPU does not find it again.

Facts: `gpus`, how many answered, and `lost`, those that answered before and do not now ("GPU 1 (GPU-1a2b)"), also
when none is left.

All calls run in one worker thread: a driver call that never returns holds that thread, fails each reading at once,
and the source comes back when the call does. XIDs are not here: they are events, which need a thread of their own.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pynvml
from loguru import logger

from vllm_vigil.clock import Clock
from vllm_vigil.errors import WorkerBusy
from vllm_vigil.model import Reading, Sample, labels
from vllm_vigil.series.gpu import GPU_ROWS, GpuRow
from vllm_vigil.units import Seconds, format_duration
from vllm_vigil.worker import Worker

BACKOFF_LIMIT_SECONDS = 30.0
CLOSE_SECONDS = 1.0

NOT_HERE = {
    pynvml.NVML_ERROR_LIBRARY_NOT_FOUND: "libnvidia-ml.so.1 not found: no NVIDIA driver on this host, "
    "or not passed into this container",
    pynvml.NVML_ERROR_DRIVER_NOT_LOADED: "the NVIDIA kernel driver is not loaded",
    pynvml.NVML_ERROR_NO_PERMISSION: "no permission to use the NVIDIA driver: this user needs access to /dev/nvidia*",
    pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH: "libnvidia-ml.so.1 and the loaded kernel driver differ in version: "
    "after an upgrade of the driver, reboot or reload its modules, then restart the sidecar",
}
NEVER = {pynvml.NVML_ERROR_NOT_SUPPORTED, pynvml.NVML_ERROR_FUNCTION_NOT_FOUND}
NOT_NOW = {
    pynvml.NVML_ERROR_GPU_IS_LOST,
    pynvml.NVML_ERROR_RESET_REQUIRED,
    pynvml.NVML_ERROR_TIMEOUT,
    pynvml.NVML_ERROR_NOT_FOUND,
}
ENDED = {
    pynvml.NVML_ERROR_UNINITIALIZED,
    pynvml.NVML_ERROR_DRIVER_NOT_LOADED,
    pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH,
}


@dataclass(frozen=True, slots=True)
class GpuSettings:
    """Whether and how often the GPUs are read."""

    enabled: bool = True
    interval: Seconds = Seconds(1.0)
    timeout: Seconds = Seconds(5.0)
    stale_after: Seconds | None = None

    def problems(self) -> Iterator[tuple[str, str]]:
        """What cannot be used, as (field, message)."""
        for name in ("interval", "timeout", "stale_after"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                yield name, "must be more than 0"
        if self.stale_after is not None and self.stale_after < self.interval:
            yield "stale_after", "must not be shorter than interval, or every reading is stale before the next one"


class Nvml:
    """The source: hands one sweep over all GPUs to the worker, and never waits for it longer than the timeout."""

    source = "nvml"
    server = ""

    def __init__(self, settings: GpuSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._worker = Worker("nvml")
        self._driver = _Driver(clock)

    async def read(self) -> Reading:
        """Read every row of every GPU."""
        started = self._clock.monotonic()
        timeout = self._settings.timeout
        try:
            sweep = await self._worker.run(self._driver.sweep, timeout)
        except TimeoutError:
            sweep = _Sweep(error=f"the driver did not answer within {format_duration(timeout)}")
        except WorkerBusy:
            sweep = _Sweep(error="still waiting for a call of the driver that has not returned")
        now = self._clock.monotonic()
        return Reading(self.source, self.server, now, now - started, sweep.samples, sweep.facts, sweep.error)

    async def close(self) -> None:
        """End NVML, unless a call is stuck in it."""
        if not self._worker.busy:
            with contextlib.suppress(TimeoutError):
                await self._worker.run(self._driver.end, CLOSE_SECONDS)


@dataclass(frozen=True, slots=True)
class _Sweep:
    """What one pass over the GPUs found, or why there was none."""

    samples: tuple[Sample, ...] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    error: str | None = None


class _Driver:
    """NVML itself, and what is remembered of it. Used in the worker's thread only."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._begun = False
        self._error: str | None = None
        self._delay_seconds = 0.0
        self._again_at = 0.0
        self._known: dict[str, int] = {}
        self._missing: dict[str, str] = {}
        self._never: set[tuple[str, GpuRow]] = set()
        self._told: set[tuple[str, GpuRow, int]] = set()

    def sweep(self) -> _Sweep:
        """Ask every GPU for every row, after beginning NVML if that is due."""
        if (not self._begun or self._missing) and self._clock.monotonic() >= self._again_at:
            self._delay_seconds = min(BACKOFF_LIMIT_SECONDS, 2 * self._delay_seconds or 1.0)
            self._again_at = self._clock.monotonic() + self._delay_seconds
            self.end()
            self._error = self._begin()
        if not self._begun:
            return _Sweep(error=self._error)
        try:
            return self._ask_all()
        except pynvml.NVMLError as error:
            self.end()
            self._error = NOT_HERE.get(error.value, f"NVML failed: {error}")
            return _Sweep(error=self._error)

    def end(self) -> None:
        """Shut NVML down, so that it can be begun anew."""
        if self._begun:
            self._begun = False
            try:
                pynvml.nvmlShutdown()
            except pynvml.NVMLError as error:
                logger.debug("NVML could not be shut down: {}", error)

    def _begin(self) -> str | None:
        try:
            pynvml.nvmlInit()
        except pynvml.NVMLError as error:
            return NOT_HERE.get(error.value, f"NVML cannot be started: {error}")
        self._begun = True
        return None

    def _ask_all(self) -> _Sweep:
        samples: list[Sample] = []
        answered: dict[str, int] = {}
        silent: dict[int, str] = {}
        for index in range(pynvml.nvmlDeviceGetCount()):
            try:
                handle = pynvml.nvmlDeviceGetHandleByIndex(index)
                uuid = pynvml.nvmlDeviceGetUUID(handle)
                samples += self._ask(handle, index, uuid)
                answered[uuid] = index
            except pynvml.NVMLError as error:
                if error.value in ENDED:
                    raise
                silent[index] = str(error)
        self._missed(answered, silent)
        facts = {"gpus": str(len(answered))}
        if lost := [f"GPU {index} ({uuid})" for uuid, index in self._known.items() if uuid not in answered]:
            facts["lost"] = ", ".join(lost)
        if answered:
            return _Sweep(tuple(samples), facts)
        troubles = "; ".join(f"{gpu}: {why}" for gpu, why in self._missing.items())
        return _Sweep(facts=facts, error=f"no GPU answers: {troubles or 'the driver shows none'}")

    def _missed(self, answered: Mapping[str, int], silent: Mapping[int, str]) -> None:
        """Find who is missing among those that ever answered, and say what has changed."""
        self._known |= answered
        missing = {
            f"GPU {index} ({uuid})": silent.get(index, "the driver shows it no more")
            for uuid, index in self._known.items()
            if uuid not in answered
        }
        strangers = silent.keys() - {index for uuid, index in self._known.items() if uuid not in answered}
        missing |= {f"GPU {index}": silent[index] for index in sorted(strangers)}
        for gpu, why in missing.items():
            if self._missing.get(gpu) != why:
                logger.warning("{} is not read: {}", gpu, why)
        for gpu in self._missing.keys() - missing.keys():
            logger.info("{} is read again", gpu)
        self._missing = missing
        if not missing:
            self._delay_seconds = self._again_at = 0.0

    def _ask(self, handle: Any, index: int, uuid: str) -> list[Sample]:
        samples: list[Sample] = []
        common = {"gpu": str(index), "uuid": uuid}
        for row in GPU_ROWS:
            if (uuid, row) not in self._never:
                samples += self._ask_row(handle, row, common)
        return samples

    def _ask_row(self, handle: Any, row: GpuRow, common: Mapping[str, str]) -> list[Sample]:
        uuid = common["uuid"]
        try:
            answer = row.read(pynvml, handle)
            pairs = [((), answer)] if isinstance(answer, int | float) else list(answer)
        except pynvml.NVMLError as error:
            if error.value in NOT_NOW | ENDED:
                raise
            if error.value in NEVER:
                self._never.add((uuid, row))
            if (uuid, row, error.value) not in self._told:
                self._told.add((uuid, row, error.value))
                logger.debug("{} gives no {} {}: {}", uuid, row.spec.name, dict(row.labels), error)
            return []
        return [
            Sample(row.spec.name, labels(**common, **dict(row.labels), **dict(extra)), float(value))
            for extra, value in pairs
        ]
