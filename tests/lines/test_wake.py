"""Files that appear, move and vanish wake the loop; writing does not."""

from __future__ import annotations

import asyncio
import errno
import resource
from collections.abc import Callable
from pathlib import Path

import pytest
from loguru import logger
from watchdog.events import FileCreatedEvent

from vllm_vigil.lines.wake import LIMITS, Watch, _Call

DEADLINE_SECONDS = 10.0


async def woken_by(act: Callable[[], object], *paths: str) -> None:
    """Return when the act has woken the loop; TimeoutError if it does not."""
    event = asyncio.Event()
    watch = Watch(paths, event.set)
    watch.start()
    try:
        while not event.is_set():
            act()
            try:
                await asyncio.wait_for(event.wait(), 0.05)
            except TimeoutError:
                continue
    finally:
        watch.stop()


def test_a_file_that_appears_moves_or_vanishes_wakes_the_loop(tmp_path: Path) -> None:
    """Each of them, in the directory of a path or of a glob."""
    here, there, gone = tmp_path / "here.log", tmp_path / "there.log", tmp_path / "gone.log"

    def appear() -> None:
        here.unlink(missing_ok=True)
        here.touch()

    def move() -> None:
        here.touch()
        here.rename(there)

    def vanish() -> None:
        gone.touch()
        gone.unlink()

    async def each() -> None:
        for act, path in ((appear, "here.log"), (move, "*.log"), (vanish, "gone.log")):
            await asyncio.wait_for(woken_by(act, str(tmp_path / path)), DEADLINE_SECONDS)

    asyncio.run(each())


def test_writing_to_a_file_wakes_nobody(tmp_path: Path) -> None:
    """Modify events are not in the mask: between two files that appear nothing is heard of 100 writes."""
    log = tmp_path / "vllm.log"
    log.touch()
    heard = 0

    async def listen() -> None:
        event = asyncio.Event()

        def hear() -> None:
            nonlocal heard
            heard += 1
            event.set()

        async def next_event() -> None:
            event.clear()
            await asyncio.wait_for(event.wait(), DEADLINE_SECONDS)

        watch = Watch([str(log)], hear)
        watch.start()
        try:
            (tmp_path / "first").touch()
            await next_event()
            with log.open("a") as writer:
                for _ in range(100):
                    print("a line", file=writer, flush=True)
            (tmp_path / "second").touch()
            await next_event()
        finally:
            watch.stop()

    asyncio.run(listen())
    assert 2 == heard


def test_a_directory_that_is_missing_is_left_to_the_timer(tmp_path: Path) -> None:
    """Nothing to watch is no trouble."""

    async def begin_and_end() -> None:
        watch = Watch([str(tmp_path / "missing" / "vllm.log")], lambda: None)
        watch.start()
        watch.stop()
        watch.stop()

    asyncio.run(begin_and_end())


def test_an_event_after_the_loop_is_closed_raises_nothing(tmp_path: Path) -> None:
    """watchdog's thread must not die of our stopping."""
    loop = asyncio.new_event_loop()
    loop.close()
    _Call(loop, lambda: None).dispatch(FileCreatedEvent(str(tmp_path)))


@pytest.mark.parametrize(("code", "sysctl"), [(errno.EMFILE, "max_user_instances"), (errno.ENOSPC, "max_user_watches")])
def test_each_limit_of_inotify_is_named_with_its_sysctl(code: int, sysctl: str) -> None:
    """So that the one warning says what to do."""
    assert sysctl in LIMITS[code]


def test_without_inotify_there_is_one_warning_and_no_crash(tmp_path: Path) -> None:
    """With no descriptor left, the kernel refuses the instance with the same error as at its own limit."""
    told: list[str] = []
    sink = logger.add(lambda message: told.append(str(message)), level="WARNING", format="{message}")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

    async def begin_and_end() -> None:
        watch = Watch([str(tmp_path / "vllm.log")], lambda: None)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
        try:
            watch.start()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        watch.stop()

    try:
        asyncio.run(begin_and_end())
    finally:
        logger.remove(sink)
    assert 1 == len(told)
    assert "fs.inotify.max_user_instances" in told[0]
