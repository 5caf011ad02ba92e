"""XIDs, the numbered errors of the driver, as they happen -> counters that are born with their first event.

NVML hands them out to whoever waits, so a thread waits. It waits outside of the readings, because the GPU that says
XID 79 is the one on which the next call hangs. Promise: an XID is in the next reading, which is taken as soon as it is
heard, also when NVML is down then; and what was counted stays counted while NVML is begun anew, for a minute or for
ever.

The thread holds an event set of the NVML that `nvml.py` has begun. Before that is ended it is asked to leave, which
takes up to a second; a thread that is stuck in the driver is left behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import queue
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from loguru import logger

from vllm_vigil.clock import Clock, Waker
from vllm_vigil.model import Reading, Sample, labels
from vllm_vigil.series.gpu import XID_ERRORS, XID_LAST_SEEN
from vllm_vigil.sources.nvml_tiers import ENDED, NOT_NOW

FIRST_SLICE_MILLISECONDS, LAST_SLICE_MILLISECONDS = 125, 1000
"""An event ends the wait at once; this is for how long it may take to leave it, and each slice costs CPU.

Slices grow, because a watch that has just begun is often left soon: NVML is begun anew while a GPU is missing.
"""

LEAVE_SECONDS = 2.0
EVENTS_SECONDS = 10.0
"""How often the watch is looked at while it has no news."""


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU that answers."""

    handle: Any
    index: int
    uuid: str


@dataclass(frozen=True, slots=True)
class Xid:
    """One event; `at` in seconds since the epoch."""

    index: int
    uuid: str
    xid: int
    at: float


@dataclass(slots=True)
class _Wait:
    """One thread and what it waits on."""

    stop: threading.Event = field(default_factory=threading.Event)
    thread: threading.Thread | None = None
    event_set: Any = None
    error: str | None = None


class XidWatch:
    """The thread's keeper. `begin` and `end` belong to the worker's thread, which uses NVML; `heard` is anyone's.

    `tell` is called, from a thread, when there is something to read: an XID, or that none can be heard any more.
    """

    def __init__(self, nvml: Any, clock: Clock) -> None:
        self._nvml = nvml
        self._clock = clock
        self._wait: _Wait | None = None
        self.heard: queue.SimpleQueue[Xid] = queue.SimpleQueue()
        self.tell: Callable[[], object] = lambda: None

    @property
    def error(self) -> str | None:
        """Why no XID would be heard now."""
        return "NVML is not running" if self._wait is None else self._wait.error

    @property
    def failed(self) -> bool:
        """Whether it was begun and has given up."""
        return self._wait is not None and self._wait.thread is not None and self._wait.error is not None

    def begin(self, gpus: Iterable[Gpu]) -> None:
        """Wait for the XIDs of these GPUs, those that have such events."""
        wait = self._wait = _Wait()
        self.tell()
        try:
            wait.event_set = self._nvml.nvmlEventSetCreate()
        except self._nvml.NVMLError as error:
            wait.error = f"the driver gives no events: {error}"
            return
        watched = {address(gpu.handle): gpu for gpu in gpus if self._register(gpu, wait.event_set)}
        if not watched:
            wait.error = "no GPU here reports XID errors to NVML"
            return
        wait.thread = threading.Thread(target=self._listen, args=(wait, watched), name="nvml-events", daemon=True)
        wait.thread.start()

    def end(self) -> bool:
        """Let go of NVML. False if the thread is stuck in it."""
        wait, self._wait = self._wait, None
        if wait is None or wait.event_set is None:
            return True
        wait.stop.set()
        if wait.thread is not None:
            wait.thread.join(LEAVE_SECONDS)
            if wait.thread.is_alive():
                return False
        try:
            self._nvml.nvmlEventSetFree(wait.event_set)
        except self._nvml.NVMLError as error:
            logger.debug("an event set of NVML could not be freed: {}", error)
        return True

    def _register(self, gpu: Gpu, event_set: Any) -> bool:
        nvml = self._nvml
        try:
            if not nvml.nvmlDeviceGetSupportedEventTypes(gpu.handle) & nvml.nvmlEventTypeXidCriticalError:
                return False
            nvml.nvmlDeviceRegisterEvents(gpu.handle, nvml.nvmlEventTypeXidCriticalError, event_set)
        except nvml.NVMLError as error:
            if error.value in ENDED:
                raise
            level = "WARNING" if error.value in NOT_NOW else "DEBUG"
            logger.log(level, "the XID errors of GPU {} ({}) are not watched: {}", gpu.index, gpu.uuid, error)
            return False
        return True

    def _listen(self, wait: _Wait, watched: dict[int | None, Gpu]) -> None:
        """The thread: hand on every event until asked to leave or told that there is no more to hear."""
        nvml = self._nvml
        slice_milliseconds = FIRST_SLICE_MILLISECONDS
        while not wait.stop.is_set():
            try:
                event = nvml.nvmlEventSetWait_v2(wait.event_set, slice_milliseconds)
            except nvml.NVMLError_Timeout:
                slice_milliseconds = min(2 * slice_milliseconds, LAST_SLICE_MILLISECONDS)
                continue
            except nvml.NVMLError as error:
                wait.error = f"the driver ended the watch for XID errors: {error}"
                self.tell()
                return
            gpu = watched.get(address(event.device))
            if gpu is not None:
                self.heard.put(Xid(gpu.index, gpu.uuid, event.eventData, self._clock.wall()))
                self.tell()


class NvmlEvents:
    """The source: what the watch has heard, counted. Its numbers are of the past and do not grow stale.

    `tried` is set once the GPUs have been read or could not be: whether XIDs are heard is not known before. `news`
    wakes who reads.
    """

    source = "nvml_events"
    server = ""

    def __init__(self, watch: XidWatch, clock: Clock, tried: asyncio.Event) -> None:
        self._watch = watch
        self._clock = clock
        self._tried = tried
        self.news = Waker(clock)
        self._counts: dict[tuple[int, str, int], tuple[int, float]] = {}

    async def read(self) -> Reading:
        """Count what was heard. Good also while nothing can be heard if there is something new to tell."""
        self._watch.tell = partial(_on_loop, asyncio.get_running_loop(), self.news.wake)
        await self._tried.wait()
        news = self._count()
        samples = tuple(self._samples())
        error = None if news else self._watch.error
        return Reading(self.source, self.server, self._clock.monotonic(), 0.0, samples, error=error)

    async def close(self) -> None:
        """Nothing is held here: the watch ends with NVML."""

    def _count(self) -> bool:
        news = False
        while not self._watch.heard.empty():
            heard = self._watch.heard.get()
            logger.warning("GPU {} ({}) reports XID {}", heard.index, heard.uuid, heard.xid)
            key = (heard.index, heard.uuid, heard.xid)
            self._counts[key] = (self._counts.get(key, (0, 0.0))[0] + 1, heard.at)
            news = True
        return news

    def _samples(self) -> Iterable[Sample]:
        for (index, uuid, xid), (count, at) in self._counts.items():
            which = labels(gpu=str(index), uuid=uuid, xid=str(xid))
            yield Sample(XID_ERRORS.name, which, float(count))
            yield Sample(XID_LAST_SEEN.name, which, at)


def _on_loop(loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> None:
    """From any thread; one that has ended is told nothing."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(call)


def address(handle: Any) -> int | None:
    """What tells one device handle from another."""
    return ctypes.cast(handle, ctypes.c_void_p).value
