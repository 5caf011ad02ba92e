"""All logs of all servers -> batches of lines, and the positions to go on from after a restart.

Promise: from its positions a new Reader gives every line that was not dealt with, and none that was, through rotation
while running and while not; what copytruncate destroyed is counted. Reading on a timer is the truth: nothing here
waits to be notified. A file that stands there at its first sight is followed from a little before its end, and what
stood there is marked old, because old trouble must not page; one that appears later, from its beginning.

Everything here touches the disk and may hang with it: call it in a Worker, one call at a time. A `read` whose result is
thrown away has handed lines to nobody; then close this Reader and make another from the stored positions.
"""

from __future__ import annotations

import glob
import os
import resource
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from loguru import logger

from vllm_vigil.clock import Clock
from vllm_vigil.lines.backlog import Stamp
from vllm_vigil.lines.docker import Containers
from vllm_vigil.lines.follower import Follower
from vllm_vigil.lines.journal import Journal, left_from_json
from vllm_vigil.lines.mark import marks_from_json
from vllm_vigil.lines.outset import Outset, Place
from vllm_vigil.lines.pump import Pump
from vllm_vigil.lines.report import Report
from vllm_vigil.lines.settings import LogSettings
from vllm_vigil.lines.siblings import rotated
from vllm_vigil.lines.sift import Sieve
from vllm_vigil.lines.source import Source
from vllm_vigil.lines.stdin import Stdin
from vllm_vigil.model import Line, Stretch
from vllm_vigil.telemetry import Telemetry

T = TypeVar("T")

LEAST_OPEN = 8
SHARE_BYTES = 4096  # what a file gets at least, so that a crowd of them does not make for tiny reads

Logs = Mapping[str, tuple[LogSettings, ...]]
"""The logs of each server, by its configured name."""


@dataclass(frozen=True, slots=True)
class Followed:
    """How it stands with one path, after a read."""

    file: str
    server: str
    readable: bool
    lag_bytes: int


@dataclass(frozen=True, slots=True)
class Batch:
    """Lines in file order, file after file; `more` says that others wait already, `followed` what is followed.

    `files` (device and inode -> descriptor) and `pipes` are where more is heard; they are open until the next read.
    """

    lines: tuple[Line | Stretch, ...]
    more: bool
    followed: tuple[Followed, ...] = ()
    files: Mapping[tuple[int, int], int] = field(default_factory=dict)
    pipes: tuple[int, ...] = ()


class Reader:
    """Reads every log. `positions` is what was stored: the path's name -> the body that `positions()` gave.

    `stamp` reads the time in a line; without it there is no looking back. `stdin` is what a log of `stdin: true` reads.
    `sieve` makes for each file one that knows which lines matter; without it all of them come one by one.
    """

    def __init__(
        self,
        logs: Logs,
        positions: Mapping[str, str],
        telemetry: Telemetry,
        clock: Clock,
        *,
        stamp: Stamp = lambda _data, _now: None,
        stdin: Pump | None = None,
        sieve: Callable[[], Sieve | None] = lambda: None,
    ) -> None:
        self._logs = logs
        self._stamp = stamp
        self._stdin = stdin
        self._sieve = sieve
        self._containers = Containers()
        self._stored = dict(positions)
        self._left: dict[str, str] = {}  # positions of paths let go since they were last asked for
        self._telemetry = telemetry
        self._clock = clock
        self._followers: dict[str, Source] = {}
        self._origins: dict[str, str] = {}  # path -> the configured path or glob that led to it
        self._reports: dict[str, Report] = {}
        self._seen: set[str] = set()  # configured paths that were looked for before
        self._passed_over: set[str] = set()  # found paths that are not followed, each told once
        self._turn = 0

    @property
    def blind(self) -> bool:
        """Whether there is nothing to follow, nor will be."""
        return not any(self._logs.values())

    def read(self, max_bytes: int) -> Batch:
        """What was written since, of at most so many bytes, shared out fairly among the files in which any waits."""
        for follower in self._followers.values():
            follower.look()
            self._spare_descriptors()
        self._discover()
        waiting = [follower for follower in self._followers.values() if follower.waiting]
        lines: list[Line | Stretch] = []
        for follower, share in self._shares(waiting, max_bytes):
            lines += follower.read(share)
            self._spare_descriptors()
        more = any(follower.waiting for follower in waiting)
        sources = self._followers.values()
        files = {key: descriptor for source in sources for key, descriptor in source.files.items()}
        pipes = tuple(pipe for source in sources for pipe in source.pipes)
        return Batch(tuple(lines), more, tuple(self._followed()), files, pipes)

    def _followed(self) -> Iterator[Followed]:
        for name, follower in self._followers.items():
            yield Followed(name, follower.server, self._reports[name].readable, follower.lag_bytes)

    def positions(self, held: Iterable[Place] = ()) -> dict[str, str]:
        """Bodies to store, of the paths whose position changed since the last call: up to the last line given.

        `held` are lines or records that are not dealt with yet; what begins with the earliest of them in each file is
        given again after a restart.
        """
        places = list(held)
        bodies, self._left = self._left, {}
        for name, follower in self._followers.items():
            body = follower.position(places)
            if body is not None:
                bodies[name] = body
        changed = {name: body for name, body in bodies.items() if body != self._stored.get(name)}
        self._stored |= changed
        return changed

    def close(self) -> None:
        """Give every descriptor back."""
        for follower in self._followers.values():
            follower.close()

    # --- sharing out

    def _shares(self, waiting: list[Source], max_bytes: int) -> Iterator[tuple[Source, int]]:
        """Who may read how much; whoever comes too late today begins tomorrow."""
        self._turn += 1
        left = max_bytes
        for index in range(len(waiting)):
            follower = waiting[(index + self._turn) % len(waiting)]
            share = min(left, max(SHARE_BYTES, left // (len(waiting) - index)))
            left -= min(share, follower.lag_bytes)
            yield follower, share  # also 0: last lines of files that were let go must not stay behind

    def _spare_descriptors(self) -> None:
        """Park who has been quiet for longest, while more files are open than half of what this process may open."""
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        count = sum(len(follower.files) for follower in self._followers.values())
        if count <= max(LEAST_OPEN, soft // 2):
            return
        idle = [follower for follower in self._followers.values() if follower.idle]
        for follower in sorted(idle, key=lambda follower: follower.used_at)[: count - max(LEAST_OPEN, soft // 2)]:
            follower.park()

    # --- finding

    def _discover(self) -> None:
        found = self._found()
        for name in sorted(found.keys() - self._followers.keys(), key=lambda name: (Path(name).is_symlink(), name)):
            if not self._double(name):
                self._follow(name, *found[name])
        for name, follower in list(self._followers.items()):
            if name not in found and not follower.keys and not follower.waiting:
                self._drop(name)
        self._seen |= {log.name for _, log in _each(self._logs)}

    def _found(self) -> dict[str, tuple[str, LogSettings]]:
        """Name -> the server, and the configured log that led to it. The first server that names one has it."""
        found: dict[str, tuple[str, LogSettings]] = {}
        for server, log in _each(self._logs):
            for name in self._names(log):
                found.setdefault(name, (server, log))
        return found

    def _names(self, log: LogSettings) -> list[str]:
        if log.docker:
            logs = self._containers.logs(log.docker_root, log.docker)
            self._told_empty(log.name, empty=not logs)
            return logs
        if log.stdin and not self._stdin:
            return []  # replayed or tested: nobody pumps
        return [log.name] if log.journal or log.stdin else self._expand(log.path)

    def _expand(self, path: str) -> list[str]:
        if not glob.has_magic(path) or os.path.lexists(path):
            return [path]
        names = glob.glob(path)  # noqa: PTH207  # the shell's rules: a * leaves out dotfiles
        self._told_empty(path, empty=not names)
        paths = set(names)
        return sorted(name for name in names if not (rotated(name, paths) and self._pass(name, "a rotated file")))

    def _told_empty(self, path: str, *, empty: bool) -> None:
        if empty:
            report = self._reports.setdefault(path, Report(path, self._telemetry))
            report.trouble(FileNotFoundError(2, "no such file", path), expected=False)
        elif path in self._reports:
            self._reports.pop(path).over()

    def _double(self, name: str) -> bool:
        """Whether the file at a new path is open under another one already: a link, or an old file of it."""
        try:
            status = os.stat(name)  # noqa: PTH116  # as in the rest of this room
        except OSError:
            return False
        key = (status.st_dev, status.st_ino)
        return any(key in follower.keys for follower in self._followers.values()) and self._pass(
            name, "a file that is followed under another name"
        )

    def _pass(self, name: str, what: str) -> bool:
        if name not in self._passed_over:
            logger.info("log {!r} is {}: not followed", name, what)
            self._passed_over.add(name)
        return True

    def _follow(self, name: str, server: str, log: LogSettings) -> None:
        report = self._reports[name] = Report(name, self._telemetry)
        report.expect()
        self._followers[name] = self._source(name, server, log, report)
        self._origins[name] = log.name
        self._followers[name].look()  # before the next path: a file under two names is known by what is open
        self._spare_descriptors()

    def _source(self, name: str, server: str, log: LogSettings, report: Report) -> Source:
        if log.stdin and self._stdin:
            return Stdin(server, report, self._clock, self._stdin, self._sieve())
        if log.journal:
            return Journal(name, server, report, self._clock, self._stored_as(name, left_from_json))
        marks = self._stored_as(name, marks_from_json)
        first_sight = marks is None and log.name not in self._seen
        outset = Outset(marks, first_sight, self._stamp, log.format, self._sieve())
        return Follower(name, server, report, self._clock, outset)

    def _stored_as(self, name: str, parse: Callable[[str], T]) -> T | None:
        """The position of a log, None if there is none that can be used."""
        body = self._left.get(name) or self._stored.get(name)
        if body is None:
            return None
        try:
            return parse(body)
        except ValueError as error:
            logger.warning("log {!r}: its stored position cannot be used ({}); this is a first sight", name, error)
            return None

    def _drop(self, name: str) -> None:
        follower = self._followers.pop(name)
        body = follower.position(())
        if body is not None:
            self._left[name] = body
        follower.close()
        del self._origins[name]
        self._reports.pop(name).over()


def _each(logs: Logs) -> Iterator[tuple[str, LogSettings]]:
    for server, settings in logs.items():
        for log in settings:
            yield server, log
