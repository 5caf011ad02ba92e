"""A worker: calls that may never return."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time

import pytest

from vllm_vigil.errors import WorkerBusy
from vllm_vigil.worker import Worker


def test_a_call_gives_its_result_or_raises_what_it_raised() -> None:
    """The caller sees what the call came to, as if it had been made in place."""

    def fail() -> None:
        raise LookupError("nothing here")

    async def scene() -> str:
        worker = Worker("w")
        with pytest.raises(LookupError, match="nothing here"):
            await worker.run(fail, 5)
        return await worker.run(lambda: threading.current_thread().name, 5)

    assert asyncio.run(scene()) == "w"


def test_a_call_that_does_not_return_fails_alone_and_the_worker_recovers() -> None:
    """The deadline ends the waiting, the next call is refused at once, and the one after the release goes through."""
    gate = threading.Event()

    async def scene() -> int:
        worker = Worker("w")
        with pytest.raises(TimeoutError):
            await worker.run(gate.wait, 0.01)
        with pytest.raises(WorkerBusy):
            await worker.run(lambda: 1, 5)
        gate.set()
        deadline = time.monotonic() + 60
        while worker.busy and time.monotonic() < deadline:
            await asyncio.sleep(0.001)
        return await worker.run(lambda: 7, 5)

    assert asyncio.run(scene()) == 7


def test_process_exit_does_not_wait_for_a_stuck_call() -> None:
    """The thread is a daemon: a wedged driver cannot hold the process."""
    program = (
        "import asyncio, threading\n"
        "from vllm_vigil.worker import Worker\n"
        "async def scene():\n"
        "    try:\n"
        "        await Worker('stuck').run(threading.Event().wait, 0.01)\n"
        "    except TimeoutError:\n"
        "        print('given up')\n"
        "asyncio.run(scene())\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "given up\n"


def test_the_thread_ends_when_nobody_holds_the_worker_any_more() -> None:
    """Every reload makes new workers."""

    async def scene() -> threading.Thread:
        worker = Worker("w")
        return await worker.run(threading.current_thread, 5)

    thread = asyncio.run(scene())
    thread.join(10)
    assert not thread.is_alive()
