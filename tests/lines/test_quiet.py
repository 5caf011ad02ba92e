"""A log at which nothing happens is not looked at, and whatever happens to one is told, or found with everything."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lines.test_model import ACTIONS, EXAMPLES, World
from standins.logs import Logs, as_nobody, lines_of
from vllm_vigil.clock import CrankedClock
from vllm_vigil.lines.follower import UNENDED_SECONDS
from vllm_vigil.lines.news import LOOK, News
from vllm_vigil.lines.reader import Batch, Reader
from vllm_vigil.lines.retired import QUIET_SECONDS
from vllm_vigil.lines.still import SETTLED_SECONDS, Still
from vllm_vigil.lines.wake import Writes

NOTHING = News(everything=False)
NAMES = "RDSO"
"""Actions that change what a directory holds: the kernel tells of those by name."""


def pass_time(clock: CrankedClock, seconds: float) -> None:
    """Crank it."""
    asyncio.run(clock.crank(seconds))


def key_of(path: Path) -> tuple[int, int]:
    """What the kernel knows a file by."""
    status = path.stat()
    return status.st_dev, status.st_ino


def texts(logs: Logs, news: News) -> list[str]:
    """What a read of these news gives."""
    return [line.data.decode() for line in lines_of(logs.reader.read(1 << 20, news))]


@pytest.fixture
def crowd(tmp_path: Path, clock: CrankedClock) -> Logs:
    """A hundred logs that were read to their end."""
    names = [f"{number}.log" for number in range(100)]
    for name in names:
        (tmp_path / name).write_text("before\n")
    logs = Logs(tmp_path, clock, *names)
    logs.read()
    logs.commit()
    return logs


def test_only_the_logs_that_news_came_of_are_looked_at(crowd: Logs) -> None:
    """Their lines are given, their positions asked for; what happened to others waits for a look at everything."""
    for name in ("7.log", "8.log"):
        crowd.write("a line\n", name)
    assert [] == texts(crowd, NOTHING)
    assert {} == crowd.reader.positions()
    assert ["a line"] == texts(crowd, News(everything=False, files=frozenset({key_of(crowd.directory / "8.log")})))
    assert {str(crowd.directory / "8.log")} == {*crowd.reader.positions()}
    assert ["a line"] == texts(crowd, LOOK)


def test_a_quiet_log_costs_one_stat_of_a_sweep_and_none_otherwise(crowd: Logs, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once it has not changed for a while: neither its size nor the number of those beside it costs reading."""
    pass_time(crowd.clock, SETTLED_SECONDS)
    crowd.read()
    asked: list[str] = []
    stat = os.stat

    def counting(path: str) -> os.stat_result:
        asked.append(path)
        return stat(path)

    monkeypatch.setattr(os, "stat", counting)
    monkeypatch.setattr(os, "pread", None)  # nothing may be read
    crowd.reader.read(1 << 20, NOTHING)
    assert [] == asked
    crowd.reader.read(1 << 20, LOOK)
    assert 100 == len(asked)
    assert {} == crowd.reader.positions()


def test_a_hole_without_a_line_s_end_comes_to_rest_too(tmp_path: Path, clock: CrankedClock) -> None:
    """Nothing of it is held, so nothing is waited for."""
    logs = Logs(tmp_path, clock)
    logs.path.touch()
    logs.read()
    os.truncate(logs.path, 100_000)
    logs.read()
    logs.write("a line\n")
    assert [] == texts(logs, NOTHING)


def test_what_has_something_to_do_is_looked_at_without_news(tmp_path: Path, clock: CrankedClock) -> None:
    """A line without an end is given when it has not grown for a while; a renamed log is let go."""
    logs = Logs(tmp_path, clock)
    logs.path.touch()
    logs.read()
    logs.write("half a line")
    assert [] == texts(logs, LOOK)
    pass_time(clock, UNENDED_SECONDS)
    assert ["half a line"] == texts(logs, NOTHING)
    logs.path.rename(tmp_path / "vllm.log.1")
    logs.write("next\n")
    assert ["next"] == texts(logs, LOOK)
    pass_time(clock, QUIET_SECONDS)
    texts(logs, NOTHING)
    assert {key_of(logs.path)} == logs.reader.read(1, NOTHING).files.keys()


def test_a_parked_log_is_listened_to_by_its_path(crowd: Logs, monkeypatch: pytest.MonkeyPatch) -> None:
    """It holds no descriptor, and its next line is told all the same."""
    monkeypatch.setattr("resource.getrlimit", lambda _: (64, 64))
    batch = crowd.reader.read(1 << 20)
    open_now = [path for path in batch.files.values() if path.startswith("/proc/self/fd/")]
    assert (100, 32) == (len(batch.files), len(open_now))
    parked = next(Path(path) for path in batch.files.values() if path not in open_now)
    crowd.write("a line\n", parked.name)
    assert ["a line"] == texts(crowd, News(everything=False, files=frozenset({key_of(parked)})))


def test_a_file_is_still_only_when_it_was_looked_at_long_after_its_last_change(tmp_path: Path) -> None:
    """Within one tick of the kernel's clock a file can change twice under the same time."""
    path, still = tmp_path / "vllm.log", Still()
    path.write_text("one\n")
    still.saw(path.stat(), 0.0)
    assert not still.holds(str(path))
    still.saw(path.stat(), SETTLED_SECONDS)
    assert still.holds(str(path))
    path.write_text("two\n")
    assert not still.holds(str(path))
    path.unlink()
    assert not still.holds(str(path))


class Listening(Reader):
    """Looks only where the kernel's news lead it, and at everything when `named`."""

    writes: Writes
    clock: CrankedClock
    named = True
    last = Batch((), more=False)
    seconds = 0.0

    def read(self, max_bytes: int, _news: News = LOOK) -> Batch:
        """Some time after the last one, as long as no renamed file is let go for it."""
        if self.seconds < QUIET_SECONDS - SETTLED_SECONDS:
            self.seconds += SETTLED_SECONDS
            pass_time(self.clock, SETTLED_SECONDS)
        heard = self.writes.listen(self.last.files, self.last.grown)
        assert not heard.untold
        self.last = super().read(max_bytes, News(self.named, heard.stirred | heard.unheard))
        self.named = False
        return self.last


class ListeningWorld(World):
    """The same random life; what happens to names is told, too, and what may not be opened is tried again."""

    def __init__(self, directory: Path, writes: Writes) -> None:
        super().__init__(directory)
        self.logs.kind = type("Here", (Listening,), {"writes": writes, "clock": self.logs.clock})
        self.kill()

    def named(self) -> None:
        """The next read looks at everything."""
        if isinstance(self.logs.reader, Listening):
            self.logs.reader.named = True

    def rename(self) -> None:
        """As ever."""
        super().rename()
        self.named()

    def delete(self) -> None:
        """As ever."""
        super().delete()
        self.named()

    def swap(self) -> None:
        """As ever."""
        super().swap()
        self.named()

    def lock(self) -> None:
        """As ever."""
        super().lock()
        self.named()


@contextlib.contextmanager
def ears() -> Iterator[Writes]:
    """What the kernel tells, read when it is asked for."""
    loop = asyncio.new_event_loop()
    writes = Writes(lambda: None)

    async def begin() -> None:
        writes.start()

    async def end() -> None:
        writes.stop()

    loop.run_until_complete(begin())
    yield writes
    loop.run_until_complete(end())
    loop.close()


@settings(max_examples=EXAMPLES, deadline=None, derandomize=True)
@given(st.lists(st.sampled_from(ACTIONS), min_size=5, max_size=40).map("".join))
@example("ACWAZA")
def test_whatever_happens_to_a_log_is_told_by_the_kernel(actions: str) -> None:
    """The same life as in the other model, read where the news lead: no line waits for a look at everything."""
    with as_nobody() as directory, ears() as writes, contextlib.closing(ListeningWorld(directory, writes)) as world:
        world.run(actions)
