"""The GPUs of this host, read through NVML -> a Reading of samples under our own names, row by row of `series/gpu.py`.

Failures come in tiers. *Never*: a call that a GPU does not support is remembered for that GPU and row, and not made
again. *Not now*: a GPU that is lost or does not answer loses all its series, and the others go on; a call that fails
in another way loses its row. *Not here*: no library, no driver, no permission, or no GPU left fails the reading, and
NVML is begun anew with a backoff of at most 30 s. It is also begun anew while a GPU is missing, because an NVML that
has lost a GPU does not find it again; and a library that no longer fits its driver is unloaded, because after an
upgrade the process would otherwise find the old one for ever.

Facts: `gpus`, how many answered, and `lost`, those that answered before and do not now ("GPU 1 (GPU-1a2b)"), also
when none is left.

All calls run in one worker thread: a driver call that never returns holds that thread, fails each reading at once,
and the source comes back when the call does. While NVML is not to be begun yet, the thread is left alone. XIDs are
`nvml_events.py`'s, one GPU is `nvml_board.py`'s.
"""

from __future__ import annotations

import _ctypes
import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pynvml
from loguru import logger

from vllm_vigil.clock import Clock
from vllm_vigil.errors import WorkerBusy
from vllm_vigil.model import Reading, Samples
from vllm_vigil.series.gpu import GpuRow
from vllm_vigil.sources.gpu_processes import GpuProcesses
from vllm_vigil.sources.nvml_board import Board
from vllm_vigil.sources.nvml_columns import Stitched
from vllm_vigil.sources.nvml_events import Gpu, NvmlEvents, XidWatch
from vllm_vigil.sources.nvml_missing import Missing
from vllm_vigil.sources.nvml_played import PlayedNvml
from vllm_vigil.sources.nvml_tiers import ENDED, LIB_RM_VERSION_MISMATCH, NOT_HERE
from vllm_vigil.sources.settings import GpuSettings
from vllm_vigil.units import format_duration
from vllm_vigil.worker import Worker

BACKOFF_LIMIT_SECONDS = 30.0
WELL_SECONDS = 60.0
"""How long all must be well after a start of NVML before the next trouble counts as the first."""

CLOSE_SECONDS = 3.0


class Nvml:
    """The source: hands one sweep over all GPUs to the worker, and never waits for it longer than the timeout.

    `processes` is what the last sweep listed on each GPU, for `sources/host.py`, which finds out whose they are.
    """

    source = "nvml"
    server = ""

    def __init__(self, settings: GpuSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._worker = Worker("nvml")
        nvml = pynvml if settings.machine is None else PlayedNvml(pynvml, settings.machine)
        self._watch = XidWatch(nvml, clock)
        self._driver = _Driver(nvml, clock, self._watch, _options(settings))
        self._tried = asyncio.Event()
        self.processes: tuple[GpuProcesses, ...] = ()

    def events(self) -> NvmlEvents:
        """The XID errors of the same GPUs, as a source of their own: they are heard also while a reading hangs."""
        return NvmlEvents(self._watch, self._clock, self._tried)

    async def read(self) -> Reading:
        """Read every row of every GPU."""
        started = self._clock.monotonic()
        timeout = self._settings.timeout
        try:
            if self._driver.rests and not self._worker.busy:
                sweep = _Sweep(error=self._driver.error)
            else:
                sweep = await self._worker.run(self._driver.sweep, timeout)
        except TimeoutError:
            sweep = _Sweep(error=f"the driver did not answer within {format_duration(timeout)}")
        except WorkerBusy:
            sweep = _Sweep(error="still waiting for a call of the driver that has not returned")
        finally:
            self._tried.set()
        self.processes = sweep.processes
        now = self._clock.monotonic()
        return Reading(self.source, self.server, now, now - started, sweep.samples, sweep.facts, sweep.error)

    async def close(self) -> None:
        """End NVML; if a call is stuck in it, that ends it when it comes back."""
        self._driver.closed = True
        if not self._worker.busy:
            with contextlib.suppress(TimeoutError):
                await self._worker.run(self._driver.end, CLOSE_SECONDS)


@dataclass(frozen=True, slots=True)
class _Sweep:
    """What one pass over the GPUs found, or why there was none."""

    samples: Samples = field(default_factory=Samples)
    facts: Mapping[str, str] = field(default_factory=dict)
    error: str | None = None
    processes: tuple[GpuProcesses, ...] = ()


class _Driver:
    """NVML itself, and what is remembered of it. Used in the worker's thread, or while that waits for a job."""

    def __init__(self, nvml: Any, clock: Clock, watch: XidWatch, options: frozenset[str]) -> None:
        self.closed = False
        self.error: str | None = None
        self._nvml = nvml
        self._clock = clock
        self._watch = watch
        self._options = options
        self._begun = False
        self._watch_due = False
        self._delay_seconds = 0.0
        self._again_at = 0.0
        self._shown = 0
        self._gpus: dict[int, Gpu] = {}
        self._boards: dict[str, Board] = {}
        self._all = Stitched()
        self._told: set[tuple[str, GpuRow, int]] = set()
        self._missing = Missing()

    @property
    def rests(self) -> bool:
        """Whether NVML is not here, and is not to be looked for again yet: then there is nothing to do."""
        return not self._begun and self._clock.monotonic() < self._again_at

    def sweep(self) -> _Sweep:
        """One pass over the GPUs."""
        swept = self._sweep()
        if self.closed:
            self.end()
        return swept

    def _sweep(self) -> _Sweep:
        """Ask every GPU for what is due, after beginning NVML if that is due."""
        if (not self._begun or self._missing.whys or self._watch.failed) and self._clock.monotonic() >= self._again_at:
            self._delay_seconds = min(BACKOFF_LIMIT_SECONDS, 2 * self._delay_seconds or 1.0)
            self._again_at = self._clock.monotonic() + self._delay_seconds
            self.end()
            self.error = self._begin()
        if not self._begun:
            return _Sweep(error=self.error)
        try:
            return self._ask_all()
        except self._nvml.NVMLError as error:
            self.end()
            self.error = NOT_HERE.get(error.value, f"NVML failed: {error}")
            return _Sweep(error=self.error)

    def end(self) -> None:
        """Shut NVML down, so that it can be begun anew."""
        if not self._begun:
            return
        self._begun = False
        free = self._watch.end()
        try:
            for board in self._boards.values():
                board.end()
            self._nvml.nvmlShutdown()
        except self._nvml.NVMLError as error:
            logger.debug("NVML could not be shut down: {}", error)
        self._boards, self._gpus = {}, {}
        if not free:
            logger.warning("a thread is stuck in the driver's wait for events; it is left behind")

    def _begin(self) -> str | None:
        try:
            self._nvml.nvmlInit()
        except self._nvml.NVMLError as error:
            if error.value == LIB_RM_VERSION_MISMATCH:
                _unload()
            return NOT_HERE.get(error.value, f"NVML cannot be started: {error}")
        self._begun = self._watch_due = True
        return None

    def _ask_all(self) -> _Sweep:
        now = self._clock.monotonic()
        answered: dict[str, Gpu] = {}
        silent: dict[int, str] = {}
        for index in range(self._count()):
            try:
                gpu = self._gpu(index)
                self._board_of(gpu).read(now)
                answered[gpu.uuid] = gpu
            except self._nvml.NVMLError as error:
                if error.value in ENDED:
                    raise
                silent[index] = str(error)
                self._gpus.pop(index, None)
        for gone in self._boards.keys() - answered.keys():
            del self._boards[gone]
        self._watch_for_xids(answered)
        self._missing.note({uuid: gpu.index for uuid, gpu in answered.items()}, silent)
        if not self._missing.whys and now >= self._again_at + WELL_SECONDS:
            self._delay_seconds = 0.0
        facts = {"gpus": str(len(answered))}
        if self._missing.lost:
            facts["lost"] = ", ".join(self._missing.lost)
        if answered:
            boards = [self._boards[uuid] for uuid in answered]
            all_ = self._all.stitch([board.sheet for board in boards])
            return _Sweep(Samples(all_.keys, all_.values), facts, processes=tuple(board.processes for board in boards))
        troubles = "; ".join(f"{gpu}: {why}" for gpu, why in self._missing.whys.items())
        return _Sweep(facts=facts, error=f"no GPU answers: {troubles or 'the driver shows none'}")

    def _count(self) -> int:
        """How many GPUs the driver shows; if that has changed, others have moved up."""
        before, self._shown = self._shown, int(self._nvml.nvmlDeviceGetCount())
        if self._shown != before:
            self._gpus = {}
        return self._shown

    def _gpu(self, index: int) -> Gpu:
        """Who that is, asked once as long as NVML runs and the GPU answers."""
        gpu = self._gpus.get(index)
        if gpu is None:
            handle = self._nvml.nvmlDeviceGetHandleByIndex(index)
            gpu = self._gpus[index] = Gpu(handle, index, self._nvml.nvmlDeviceGetUUID(handle))
        return gpu

    def _board_of(self, gpu: Gpu) -> Board:
        board = self._boards.get(gpu.uuid)
        if board is None or board.index != gpu.index:
            board = self._boards[gpu.uuid] = Board(
                self._nvml, gpu.handle, gpu.index, gpu.uuid, self._options, self._told
            )
        return board

    def _watch_for_xids(self, answered: Mapping[str, Gpu]) -> None:
        if self._watch_due:
            self._watch_due = False
            self._watch.begin(answered.values())


def _options(settings: GpuSettings) -> frozenset[str]:
    """What rows of the table may name as their `option`."""
    wanted = {"serial" if settings.serial else "no_serial"}
    return frozenset(wanted | ({"pcie_throughput"} if settings.pcie_throughput else set()))


def _unload() -> None:
    """Forget the library, so that the next start loads the one that is installed now.

    pynvml keeps the library that it loaded first, and the loader hands out a library that is mapped already before it
    looks for a file. Nobody is in the library here: NVML could not be begun.
    """
    if pynvml.nvmlLib is not None:
        _ctypes.dlclose(pynvml.nvmlLib._handle)  # noqa: SLF001  # ctypes has no other way
        pynvml.nvmlLib = None
        pynvml._nvmlGetFunctionPointer_cache.clear()  # noqa: SLF001  # it holds addresses in what was unmapped
