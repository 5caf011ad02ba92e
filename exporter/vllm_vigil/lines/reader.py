"""All logs of all servers, by path or glob -> batches of lines, and the positions to go on from after a restart.

Promise: from its positions a new Reader gives every line that was not dealt with, and none that was, through rotation
while running and while not; what copytruncate destroyed is counted. Reading on a timer is the truth: nothing here
waits to be notified. A file that stands there at its first sight is followed from its end, because old trouble must
not page; one that appears later, from its beginning.

Everything here touches the disk and may hang with it: call it in a Worker, one call at a time. A `read` whose result is
thrown away has handed lines to nobody; then close this Reader and make another from the stored positions.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from loguru import logger

from vllm_vigil.clock import Clock
from vllm_vigil.lines.follower import Follower, Place
from vllm_vigil.lines.mark import Mark, marks_from_json, marks_to_json
from vllm_vigil.lines.report import Report
from vllm_vigil.lines.settings import LogSettings
from vllm_vigil.lines.siblings import rotated
from vllm_vigil.model import Line
from vllm_vigil.telemetry import Telemetry

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
    """Lines in file order, file after file; `more` says that others wait already, `followed` what is followed."""

    lines: tuple[Line, ...]
    more: bool
    followed: tuple[Followed, ...] = ()


class Reader:
    """Reads every log. `positions` is what was stored: the path's name -> the body that `positions()` gave."""

    def __init__(self, logs: Logs, positions: Mapping[str, str], telemetry: Telemetry, clock: Clock) -> None:
        self._logs = logs
        self._stored = dict(positions)
        self._left: dict[str, str] = {}  # positions of paths let go since they were last asked for
        self._telemetry = telemetry
        self._clock = clock
        self._followers: dict[str, Follower] = {}
        self._origins: dict[str, str] = {}  # path -> the configured path or glob that led to it
        self._reports: dict[str, Report] = {}
        self._seen: set[str] = set()  # configured paths that were looked for before
        self._passed_over: set[str] = set()  # found paths that are not followed, each told once
        self._turn = 0

    def read(self, max_bytes: int) -> Batch:
        """What was written since, of at most so many bytes, shared out fairly among the files in which any waits."""
        for follower in self._followers.values():
            follower.look()
        self._discover()
        waiting = [follower for follower in self._followers.values() if follower.waiting]
        lines = [line for follower, share in self._shares(waiting, max_bytes) for line in follower.read(share)]
        return Batch(tuple(lines), any(follower.waiting for follower in waiting), tuple(self._followed()))

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
            marks = follower.marks(places)
            if marks is not None:
                bodies[name] = marks_to_json(marks)
        changed = {name: body for name, body in bodies.items() if body != self._stored.get(name)}
        self._stored |= changed
        return changed

    def reconfigure(self, logs: Logs) -> None:
        """Follow these logs from now on; those that stay keep their place, and one that comes back finds its own."""
        self._logs = logs
        configured = {log.path for _, log in _each(logs)}
        self._seen &= configured
        for name in [name for name, origin in self._origins.items() if origin not in configured]:
            self._drop(name)
        for pattern in self._reports.keys() - self._followers.keys() - configured:
            self._reports.pop(pattern).over()
        for name, (server, _) in self._found().items():
            if name in self._followers:
                self._followers[name].server = server

    def close(self) -> None:
        """Give every descriptor back."""
        for follower in self._followers.values():
            follower.close()

    # --- sharing out

    def _shares(self, waiting: list[Follower], max_bytes: int) -> Iterator[tuple[Follower, int]]:
        """Who may read how much; whoever comes too late today begins tomorrow."""
        self._turn += 1
        left = max_bytes
        for index in range(len(waiting)):
            follower = waiting[(index + self._turn) % len(waiting)]
            share = min(left, max(SHARE_BYTES, left // (len(waiting) - index)))
            left -= min(share, follower.lag_bytes)
            yield follower, share  # also 0: last lines of files that were let go must not stay behind

    # --- finding

    def _discover(self) -> None:
        found = self._found()
        for name in sorted(found.keys() - self._followers.keys(), key=lambda name: (Path(name).is_symlink(), name)):
            if not self._double(name):
                self._follow(name, *found[name])
        for name, follower in list(self._followers.items()):
            if name not in found and not follower.keys and not follower.waiting:
                self._drop(name)
        self._seen |= {log.path for _, log in _each(self._logs)}

    def _found(self) -> dict[str, tuple[str, str]]:
        """Path -> the server, and the configured path that led to it. The first server that names a path has it."""
        found: dict[str, tuple[str, str]] = {}
        for server, log in _each(self._logs):
            for name in self._expand(log.path):
                found.setdefault(name, (server, log.path))
        return found

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

    def _follow(self, name: str, server: str, origin: str) -> None:
        report = self._reports[name] = Report(name, self._telemetry)
        report.expect()
        marks = self._marks(name)
        from_end = marks is None and origin not in self._seen
        self._followers[name] = Follower(name, server, report, self._clock, marks, from_end=from_end)
        self._origins[name] = origin
        self._followers[name].look()  # before the next path: a file under two names is known by what is open

    def _marks(self, name: str) -> tuple[Mark, ...] | None:
        body = self._left.get(name) or self._stored.get(name)
        if body is None:
            return None
        try:
            return marks_from_json(body)
        except ValueError as error:
            logger.warning("log {!r}: its stored position cannot be used ({}); following from its end", name, error)
            return None

    def _drop(self, name: str) -> None:
        follower = self._followers.pop(name)
        marks = follower.marks(())
        if marks is not None:
            self._left[name] = marks_to_json(marks)
        follower.close()
        del self._origins[name]
        self._reports.pop(name).over()


def _each(logs: Logs) -> Iterator[tuple[str, LogSettings]]:
    for server, settings in logs.items():
        for log in settings:
            yield server, log
