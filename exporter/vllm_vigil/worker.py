"""A call that may never return -> an awaited result, or a refusal while an earlier call has not come back.

One daemon thread per worker. A wedged driver or disk then costs one thread and one source; it never delays the loop,
the next call fails at once instead of queueing behind it, and process exit does not wait for it (a ThreadPoolExecutor
would do all three). The thread ends with its worker: a reload makes new ones and leaves none behind.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from vllm_vigil.errors import WorkerBusy

T = TypeVar("T")
Deliver = Callable[[Any, BaseException | None], None]
Job = tuple[Callable[[], Any], asyncio.AbstractEventLoop, Deliver]


class Worker:
    """Runs one call at a time, off the loop's thread."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._busy = False
        self._thread: threading.Thread | None = None

    @property
    def busy(self) -> bool:
        """Whether a call has not come back yet."""
        return self._busy

    async def run(self, call: Callable[[], T], timeout_seconds: float) -> T:
        """Give the call's result or raise what it raised.

        Raises `WorkerBusy` if an earlier call still holds the thread and `TimeoutError` when the time is up; the call
        itself goes on then, and its result is thrown away.
        """
        return await asyncio.wait_for(self.begin(call), timeout_seconds)

    def begin(self, call: Callable[[], T]) -> asyncio.Future[T]:
        """The same for who waits as long as it takes, or does something else meanwhile. Raises `WorkerBusy`."""
        if self._busy:
            raise WorkerBusy(f"{self.name}: an earlier call has not come back yet")
        self._start()
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._busy = True
        self._jobs.put((call, loop, partial(self._deliver, future)))
        return future

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=_work, args=(self._jobs,), name=self.name, daemon=True)
            self._thread.start()
            weakref.finalize(self, self._jobs.put, None).atexit = False

    def _deliver(self, future: asyncio.Future[Any], result: object, error: BaseException | None) -> None:
        self._busy = False
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)


def _work(jobs: queue.SimpleQueue[Job | None]) -> None:
    """The thread, which does not hold its worker between two calls. None ends it."""
    while job := jobs.get():
        call, loop, deliver = job
        result: Any = None
        error: BaseException | None = None
        try:
            result = call()
        except BaseException as caught:  # the thread must outlive any call; the caller gets what was raised
            error = caught
        if loop.is_closed():
            return
        loop.call_soon_threadsafe(deliver, result, error)
        del job, call, deliver, result, error
