"""Files that appear, move and vanish wake the loop, and so does the first write to each file that is listened to."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import resource
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from loguru import logger

from vllm_vigil.clock import settle
from vllm_vigil.lines.wake import LIMITS, Pipes, Watch, Writes, meaning

DEADLINE_SECONDS = 60.0


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


def test_the_watch_on_names_is_not_woken_by_writes(tmp_path: Path) -> None:
    """Modify events are not in its mask: between two logs that appear nothing is heard of 100 writes."""
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

        watch = Watch([str(tmp_path / "*.log")], hear)
        watch.start()
        try:
            (tmp_path / "first.log").touch()
            await next_event()
            with log.open("a") as writer:
                for _ in range(100):
                    print("a line", file=writer, flush=True)
            (tmp_path / "second.log").touch()
            await next_event()
        finally:
            watch.stop()

    asyncio.run(listen())
    assert 2 == heard


@pytest.mark.parametrize(
    ("configured", "name", "matters"),
    [
        ("/logs/*.log", "/logs/new.log", True),
        ("/logs/*.log", "/logs/tmp-1.part", False),
        ("/logs/vllm.log", "/logs/vllm.log", True),
        ("/logs/vllm.log", "/logs/vllm.log.part", False),
        ("/logs/*/vllm.log", "/logs/a/vllm.log", True),
        ("/logs/[a].log", "/logs/[a].log", True),
        ("/logs/[a].log", "/logs/a.log", True),
        ("/logs/caf\udce9.log", "/logs/caf\udce9.log", True),
    ],
)
def test_only_names_that_may_be_logs_matter(configured: str, name: str, matters: bool) -> None:  # noqa: FBT001  # a row
    """A path may look like a glob and be none."""
    assert matters == bool(meaning(["/elsewhere.log", configured]).fullmatch(name))


def test_nothing_else_that_comes_and_goes_in_a_busy_directory_wakes_the_loop(tmp_path: Path) -> None:
    """What else happens there is no news of a log, whatever it is; a rename counts by either of its names."""

    async def scene() -> int:
        files = Files([])
        watch = Watch([str(tmp_path / "*.log")], files.wake)
        watch.start()
        try:
            for number in range(1000):
                other = tmp_path / f"{number}.part"
                other.touch()
                other.rename(tmp_path / f"{number}.done")
            (tmp_path / "0.done").rename(tmp_path / "0.log")
            await files.woken()
            (tmp_path / "0.log").rename(tmp_path / "0.done")
            return await files.woken()
        finally:
            watch.stop()

    assert 2 == asyncio.run(scene())


def test_more_names_than_the_kernel_can_tell_of_wake_the_loop(tmp_path: Path) -> None:
    """Nobody knows whether a log was among them."""
    room = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())

    async def scene() -> int:
        files = Files([])
        watch = Watch([str(tmp_path / "*.log")], files.wake)
        watch.start()
        try:
            for _ in range(room // 2 + 1):
                (tmp_path / "part").touch()
                (tmp_path / "part").unlink()
            return await files.woken()
        finally:
            watch.stop()

    assert 1 == asyncio.run(scene())


def test_a_directory_that_is_missing_is_left_to_the_timer(tmp_path: Path) -> None:
    """Nothing to watch is no trouble."""

    async def begin_and_end() -> None:
        watch = Watch([str(tmp_path / "missing" / "vllm.log")], lambda: None)
        watch.start()
        watch.stop()
        watch.stop()

    asyncio.run(begin_and_end())


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


@dataclass
class Files:
    """Open files to listen to, a writer for each, and how often we were woken."""

    paths: list[Path]
    wakes: int = 0
    heard: asyncio.Event = field(default_factory=asyncio.Event)
    open: dict[tuple[int, int], str] = field(default_factory=dict)

    def wake(self) -> None:
        """Count it."""
        self.wakes += 1
        self.heard.set()

    def write(self, *indexes: int, times: int = 1) -> None:
        """Append to some of them, each time with a write of its own."""
        for index in indexes:
            with self.paths[index].open("ab", buffering=0) as file:
                for _ in range(times):
                    file.write(b"a line\n")

    async def woken(self) -> int:
        """How often, once it has happened and everything is told."""
        await asyncio.wait_for(self.heard.wait(), DEADLINE_SECONDS)
        self.heard.clear()
        await settle()
        return self.wakes


@asynccontextmanager
async def listening(directory: Path, count: int) -> AsyncIterator[tuple[Files, Writes]]:
    """So many files, and ears that are not listening yet."""
    files = Files([directory / f"{number}.log" for number in range(count)])
    for path in files.paths:
        path.touch()
        descriptor = os.open(path, os.O_RDONLY)
        status = os.fstat(descriptor)
        files.open[status.st_dev, status.st_ino] = f"/proc/self/fd/{descriptor}"
    writes = Writes(files.wake)
    writes.start()
    try:
        yield files, writes
    finally:
        writes.stop()
        for listened in files.open.values():
            os.close(int(Path(listened).name))


def test_a_hundred_writes_wake_once_until_we_listen_again(tmp_path: Path) -> None:
    """The kernel tells of the first and of no other."""

    async def scene() -> None:
        async with listening(tmp_path, 2) as (files, writes):
            assert not writes.listen(files.open).unheard
            files.write(0, times=100)
            assert 1 == await files.woken()
            files.write(0, times=100)
            files.write(1)
            assert 2 == await files.woken()
            assert not writes.listen(files.open).unheard
            files.write(0)
            assert 3 == await files.woken()

    asyncio.run(scene())


def test_what_was_written_to_or_renamed_or_is_new_is_stirred_and_what_grows_unheard_is_untold(tmp_path: Path) -> None:
    """So that the others need not be looked at; a file that is listened to only since the last call may have grown."""

    async def scene() -> None:
        async with listening(tmp_path, 4) as (files, writes):
            written, renamed, chmodded, quiet = files.open
            assert files.open.keys() == writes.listen(files.open).stirred
            assert (frozenset(), frozenset(), frozenset()) == writes.listen(files.open, {quiet})
            files.write(0)
            files.paths[1].rename(tmp_path / "1.log.1")
            files.paths[2].chmod(0o600)
            heard = writes.listen(files.open, {written, quiet})
            assert heard.stirred == {written, renamed, chmodded}
            assert heard.untold == {quiet}

    asyncio.run(scene())


def test_a_file_is_heard_under_another_name_and_without_one(tmp_path: Path) -> None:
    """The writer of a renamed log may never let go of it."""

    async def scene() -> None:
        async with listening(tmp_path, 1) as (files, writes):
            with files.paths[0].open("ab", buffering=0) as writer:
                files.paths[0].rename(tmp_path / "0.log.1")
                writes.listen(files.open)
                writer.write(b"renamed\n")
                assert 1 == await files.woken()
                (tmp_path / "0.log.1").unlink()
                writes.listen(files.open)
                writer.write(b"deleted\n")
                assert 2 == await files.woken()

    asyncio.run(scene())


def test_what_is_let_go_is_no_longer_heard(tmp_path: Path) -> None:
    """Only the files of the last call are listened to."""

    async def scene() -> None:
        async with listening(tmp_path, 2) as (files, writes):
            writes.listen(files.open)
            [first, second] = files.open
            writes.listen({second: files.open[second]})
            files.write(0)
            files.write(1)
            assert (1, {first, second}) == (await files.woken(), {*files.open})

    asyncio.run(scene())


@pytest.fixture
def _many_descriptors() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("_many_descriptors")
def test_when_the_kernel_s_queue_overflows_every_file_is_heard_again(tmp_path: Path) -> None:
    """More files are written to at once than it can tell of: one wake-up for all, and the next call listens anew."""
    room = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())

    async def scene() -> None:
        async with listening(tmp_path, room // 2 + 100) as (files, writes):
            assert not writes.listen(files.open).unheard
            files.write(*range(len(files.paths)))  # two events each: written to, and listened to no longer
            await files.woken()
            assert not writes.listen(files.open).unheard
            for index in (0, -1):
                wakes = files.wakes
                files.write(index)
                assert wakes < await files.woken()

    asyncio.run(scene())


NO_WATCHES = """
import asyncio, json, os, sys
from loguru import logger
from vllm_vigil.lines.wake import Writes

async def scene():
    writes = Writes(lambda: None)
    writes.start()
    files = {(0, number): sys.argv[1] for number in range(3)}
    heard = [len(writes.listen(each).unheard) for each in (files, files, {})]
    writes.stop()
    return heard

told = []
logger.remove()
logger.add(lambda message: told.append(str(message)), format="{message}")
print(json.dumps([asyncio.run(scene()), told]))
"""


def test_with_the_watches_exhausted_there_is_one_warning_and_the_timer_reads(tmp_path: Path) -> None:
    """The limit of this user is 0, in a namespace of its own; the rhythm is told that it cannot hear."""
    log = tmp_path / "vllm.log"
    log.touch()
    script = 'echo 0 > /proc/sys/user/max_inotify_watches && exec "$@"'
    ours = [sys.executable, "-c", NO_WATCHES, str(log)]
    command = ["unshare", "--user", "--map-root-user", "sh", "-c", script, "sh", *ours]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    heard, told = json.loads(done.stdout)
    assert [3, 3, 0] == heard
    assert 1 == len(told)
    assert "fs.inotify.max_user_watches" in told[0]


def test_without_a_descriptor_for_inotify_there_is_one_warning_and_nothing_is_heard() -> None:
    """As at the limit of instances."""
    told: list[str] = []
    sink = logger.add(lambda message: told.append(str(message)), level="WARNING", format="{message}")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

    async def scene() -> list[int]:
        writes = Writes(lambda: None)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
        try:
            writes.start()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        heard = [len(writes.listen(each).unheard) for each in ({(0, 0): "vllm.log"}, {})]
        writes.stop()
        return heard

    try:
        assert [1, 0] == asyncio.run(scene())
    finally:
        logger.remove(sink)
    assert 1 == len(told)
    assert "fs.inotify.max_user_instances" in told[0]


def test_a_pipe_wakes_once_until_we_listen_again_also_when_it_ends() -> None:
    """What waits in it when we begin to listen counts too."""

    async def scene() -> list[int]:
        files = Files([])
        source, sink = os.pipe()
        pipes = Pipes(files.wake)
        os.write(sink, b"before")
        pipes.listen((source,))
        counts = [await files.woken()]
        os.write(sink, b"deaf")
        await settle()
        counts.append(files.wakes)
        os.read(source, 100)
        pipes.listen((source,))
        pipes.mute()
        pipes.listen((source,))
        os.close(sink)
        counts.append(await files.woken())
        os.close(source)
        return counts

    assert [1, 1, 2] == asyncio.run(scene())
