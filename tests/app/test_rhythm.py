"""The logs are read at once when one is written to, and otherwise when the timer says so."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from vllm_vigil.app.rhythm import (
    DEAF_SECONDS,
    NAMED_SECONDS,
    PACE_SECONDS,
    QUICK_SECONDS,
    SLOW_SECONDS,
    SPARE_READS,
    Rhythm,
)
from vllm_vigil.clock import CrankedClock, settle
from vllm_vigil.lines.news import Key, News
from vllm_vigil.lines.reader import Batch
from vllm_vigil.lines.roll import Followed
from vllm_vigil.model import Line

NOTHING = Batch((), more=False)
SOMETHING = Batch((Line("vllm.log", b"a line"),), more=False)
DEADLINE_SECONDS = 60.0


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


def files_in(directory: Path, count: int) -> dict[Key, str]:
    """So many files to listen to."""
    files = {}
    for number in range(count):
        path = directory / f"{number}.log"
        path.touch()
        files[path.stat().st_dev, path.stat().st_ino] = str(path)
    return files


def test_the_timer_is_slow_while_wake_ups_come_and_quick_while_something_is_held(clock: CrankedClock) -> None:
    """A record that is not complete yet is completed by time."""

    async def scene() -> None:
        async with at_work(clock) as rhythm:
            await rests(rhythm, clock, SOMETHING, SLOW_SECONDS)  # what was there at the start
            await rests(rhythm, clock, NOTHING, QUICK_SECONDS, soon=True)
            await rests(rhythm, clock, NOTHING, SLOW_SECONDS)

    asyncio.run(scene())


def test_a_file_that_grows_unheard_makes_the_timer_quick_for_all_of_its_device(
    clock: CrankedClock, tmp_path: Path
) -> None:
    """As on a network file system that another machine writes to."""
    files = files_in(tmp_path, 3)
    grown = frozenset([*files][:1])

    async def scene() -> None:
        async with at_work(clock) as rhythm:
            rhythm.listen(Batch((), more=False, files=files))
            assert News(everything=False) == rhythm.listen(Batch((), more=False, files=files))
            news = rhythm.listen(Batch((), more=False, files=files, grown=grown))
            assert News(everything=False, files=frozenset(files)) == news
            await rests(rhythm, clock, NOTHING, QUICK_SECONDS)
            await clock.crank(DEAF_SECONDS)
            assert News(everything=True) == rhythm.listen(Batch((), more=False, files=files))
            await rests(rhythm, clock, NOTHING, SLOW_SECONDS)

    asyncio.run(scene())


def test_everything_is_looked_at_every_second_and_less_often_the_more_there_is(clock: CrankedClock) -> None:
    """A thousand quiet files cost no more than a hundred; what happens to a name is looked at at once."""
    few, many = (
        Batch((), more=False, followed=(Followed("vllm.log", "llama", readable=True, lag_bytes=0),) * count)
        for count in (100, 1000)
    )

    async def scene() -> None:
        async with at_work(clock) as rhythm:
            assert rhythm.listen(few).everything
            await clock.crank(SLOW_SECONDS)
            assert rhythm.listen(few).everything
            await clock.crank(9 * SLOW_SECONDS)
            assert not rhythm.listen(many).everything
            rhythm.wake()
            assert rhythm.listen(many).everything
            await clock.crank(10 * SLOW_SECONDS)
            assert rhythm.listen(many).everything

    asyncio.run(scene())


def test_a_file_that_cannot_be_listened_to_makes_the_timer_quick(clock: CrankedClock) -> None:
    """The kernel gave no watch; it is looked at every time."""
    batch = Batch((), more=False, files={(0, 0): "/missing"})

    async def scene() -> None:
        async with at_work(clock) as rhythm:
            for _ in range(2):
                assert {(0, 0)} == rhythm.listen(batch).files
                await rests(rhythm, clock, NOTHING, QUICK_SECONDS)

    asyncio.run(scene())


def test_a_write_ends_the_rest_at_once_and_of_a_busy_log_a_stretch_is_read_at_a_time(
    clock: CrankedClock, tmp_path: Path
) -> None:
    """Lone lines wait for nothing, also a few in a row; half a line that goes on and on is as busy as whole ones."""
    files = files_in(tmp_path, 1)
    log = tmp_path / "0.log"

    async def scene() -> None:
        async with at_work(clock) as rhythm:

            async def written(batch: Batch) -> None:
                rhythm.listen(Batch((), more=False, files=files))
                log.write_text("one\n")
                await asyncio.wait_for(rhythm.rest(batch, soon=False), DEADLINE_SECONDS)

            for batch in (SOMETHING, Batch((), more=False, grown=frozenset(files))):
                for _ in range(SPARE_READS):
                    await written(batch)
                rhythm.listen(Batch((), more=False, files=files))
                log.write_text("two\n")
                await rests(rhythm, clock, batch, PACE_SECONDS)
                await clock.crank(SPARE_READS * PACE_SECONDS)
                await written(NOTHING)

    asyncio.run(scene())


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


def test_names_that_come_and_go_all_the_time_are_looked_for_at_bounded_times(clock: CrankedClock) -> None:
    """The first is seen to at once; what comes within the next half second, of 500 logs, together after it."""
    followed = tuple(Followed(f"{number}.log", "llama", readable=True, lag_bytes=0) for number in range(500))
    batch = Batch((), more=False, followed=followed)

    async def scene() -> None:
        async with at_work(clock) as rhythm:
            rhythm.listen(batch)
            await clock.crank(500 * NAMED_SECONDS)
            rhythm.wake()
            await rhythm.rest(batch, soon=False)
            assert rhythm.listen(batch).everything
            rhythm.wake()
            await rhythm.rest(batch, soon=False)
            assert not rhythm.listen(batch).everything
            for _ in range(1000):
                rhythm.wake()
            await rests(rhythm, clock, batch, 500 * NAMED_SECONDS)
            assert rhythm.listen(batch).everything

    asyncio.run(scene())
