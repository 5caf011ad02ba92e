"""The logs are read at once when one is written to, and otherwise when the timer says so."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from vllm_vigil.app.rhythm import DEAF_SECONDS, PACE_SECONDS, QUICK_SECONDS, SLOW_SECONDS, Rhythm
from vllm_vigil.clock import CrankedClock, settle
from vllm_vigil.lines.reader import Batch
from vllm_vigil.model import Line

NOTHING = Batch((), more=False)
SOMETHING = Batch((Line("vllm.log", b"a line"),), more=False)
DEADLINE_SECONDS = 10.0


@asynccontextmanager
async def at_work(clock: CrankedClock) -> AsyncIterator[Rhythm]:
    """A rhythm that was started."""
    rhythm = Rhythm(clock)
    rhythm.start()
    try:
        yield rhythm
    finally:
        rhythm.stop()


async def rests(rhythm: Rhythm, clock: CrankedClock, batch: Batch, seconds: float, *, soon: bool = False) -> None:
    """Assert that it rests for just so long after a batch."""
    resting = asyncio.create_task(rhythm.rest(batch, soon=soon))
    await settle()
    await clock.crank(seconds - 0.01)
    assert not resting.done()
    await clock.crank(0.02)
    assert resting.done()


def test_the_timer_is_slow_while_wake_ups_come_and_quick_while_something_is_held(clock: CrankedClock) -> None:
    """A record that is not complete yet is completed by time."""

    async def scene() -> None:
        async with at_work(clock) as rhythm:
            await rests(rhythm, clock, SOMETHING, PACE_SECONDS + SLOW_SECONDS)  # what was there at the start
            await rests(rhythm, clock, NOTHING, QUICK_SECONDS, soon=True)
            await rests(rhythm, clock, NOTHING, SLOW_SECONDS)

    asyncio.run(scene())


def test_what_the_timer_finds_without_a_wake_up_makes_it_quick_for_a_minute(clock: CrankedClock) -> None:
    """As on a network file system that another machine writes to."""

    async def scene() -> None:
        async with at_work(clock) as rhythm:
            await rests(rhythm, clock, NOTHING, SLOW_SECONDS)
            await rests(rhythm, clock, SOMETHING, PACE_SECONDS + QUICK_SECONDS)
            await rests(rhythm, clock, NOTHING, QUICK_SECONDS)
            await clock.crank(DEAF_SECONDS)
            await rests(rhythm, clock, NOTHING, SLOW_SECONDS)

    asyncio.run(scene())


def test_a_file_that_cannot_be_listened_to_makes_the_timer_quick(clock: CrankedClock) -> None:
    """The kernel gave no watch."""

    async def scene() -> None:
        async with at_work(clock) as rhythm:
            rhythm.listen(Batch((), more=False, files={(0, 0): 1_000_000}))
            await rests(rhythm, clock, NOTHING, QUICK_SECONDS)

    asyncio.run(scene())


def test_a_write_ends_the_rest_at_once_and_after_a_read_only_when_its_pace_is_over(
    clock: CrankedClock, tmp_path: Path
) -> None:
    """A lone line waits for nothing; of a busy log a stretch is read at a time."""
    log = tmp_path / "vllm.log"
    log.touch()
    descriptor = os.open(log, os.O_RDONLY)
    files = {(os.fstat(descriptor).st_dev, os.fstat(descriptor).st_ino): descriptor}

    async def scene() -> None:
        async with at_work(clock) as rhythm:
            rhythm.listen(Batch((), more=False, files=files))
            resting = asyncio.create_task(rhythm.rest(NOTHING, soon=False))
            await settle()
            log.write_text("one\n")
            await asyncio.wait_for(resting, DEADLINE_SECONDS)
            rhythm.listen(Batch((), more=False, files=files))
            log.write_text("two\n")
            await rests(rhythm, clock, SOMETHING, PACE_SECONDS)

    asyncio.run(scene())
    os.close(descriptor)


def test_a_pipe_that_has_something_ends_the_rest(clock: CrankedClock) -> None:
    """journalctl, or standard input."""
    source, sink = os.pipe()

    async def scene() -> None:
        async with at_work(clock) as rhythm:
            resting = asyncio.create_task(rhythm.rest(Batch((), more=False, pipes=(source,)), soon=False))
            await settle()
            assert not resting.done()
            os.write(sink, b"an entry")
            await asyncio.wait_for(resting, DEADLINE_SECONDS)

    asyncio.run(scene())
    os.close(source)
    os.close(sink)
