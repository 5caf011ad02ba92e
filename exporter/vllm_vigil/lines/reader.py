"""All logs of all servers -> batches of lines, and the positions to go on from after a restart.

Promise: from its positions a new Reader gives every line that was not dealt with, and none that was, through rotation
while running and while not; what copytruncate destroyed is counted. Reading on a timer is the truth: nothing here
waits to be notified. A file that stands there at its first sight is followed from a little before its end, and what
stood there is marked old, because old trouble must not page; one that appears later, from its beginning.

A read costs what has happened: a quiet file is looked at when news of it come, and else now and then (see `News`).

Everything here touches the disk and may hang with it: call it in a Worker, one call at a time. A `read` whose result is
thrown away has handed lines to nobody; then close this Reader and make another from the stored positions.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from loguru import logger

from vllm_vigil.clock import Clock
from vllm_vigil.lines.backlog import Stamp
from vllm_vigil.lines.follower import Follower
from vllm_vigil.lines.journal import Journal, left_from_json
from vllm_vigil.lines.mark import Place, marks_from_json
from vllm_vigil.lines.news import LOOK, Key, News
from vllm_vigil.lines.outset import Outset
from vllm_vigil.lines.paths import Logs, Paths
from vllm_vigil.lines.pump import Pump
from vllm_vigil.lines.report import Report
from vllm_vigil.lines.roll import Followed, Roll
from vllm_vigil.lines.settings import LogSettings
from vllm_vigil.lines.sift import Sieve
from vllm_vigil.lines.source import Source
from vllm_vigil.lines.stdin import Stdin
from vllm_vigil.model import Line, Stretch
from vllm_vigil.telemetry import Telemetry

T = TypeVar("T")

LEAST_OPEN = 8
SHARE_BYTES = 4096  # what a file gets at least, so that a crowd of them does not make for tiny reads


@dataclass(frozen=True, slots=True)
class Batch:
    """Lines in file order, file after file; `more` says that others wait already, `followed` what is followed.

    `files` (with a path that leads to each) and `pipes` are where more is heard, until the next read; `grown` are the
    files that were seen to have grown.
    """

    lines: tuple[Line | Stretch, ...]
    more: bool
    followed: tuple[Followed, ...] = ()
    files: Mapping[Key, str] = field(default_factory=dict)
    pipes: tuple[int, ...] = ()
    grown: frozenset[Key] = frozenset()


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
        self._paths = Paths(logs, telemetry, pumped=stdin is not None)
        self._stamp = stamp
        self._stdin = stdin
        self._sieve = sieve
        self._stored = dict(positions)
        self._left: dict[str, str] = {}  # positions of paths let go since they were last asked for
        self._telemetry = telemetry
        self._clock = clock
        self._followers: dict[str, Source] = {}
        self._reports: dict[str, Report] = {}
        self._roll = Roll()
        self._turn = 0

    @property
    def blind(self) -> bool:
        """Whether there is nothing to follow, nor will be."""
        return self._paths.none

    def read(self, max_bytes: int, news: News = LOOK) -> Batch:
        """What was written since, of at most so many bytes, shared out fairly among the files in which any waits."""
        due = [self._followers[name] for name in self._roll.due(news)]
        for follower in due:
            self._look(follower)
        if news.everything:
            due = self._discover(due)
        grown = frozenset(key for follower in due for key in follower.grown)
        waiting = [follower for follower in due if follower.waiting]
        lines: list[Line | Stretch] = []
        for follower, share in self._shares(waiting, max_bytes):
            lines += follower.read(share)
            self._note(follower)
        more = any(follower.waiting for follower in waiting)
        pipes = tuple(pipe for follower in due for pipe in follower.pipes)
        followed = (*self._roll.followed, *self._paths.empty)
        return Batch(tuple(lines), more, followed, self._roll.listened, pipes, grown)

    def positions(self, held: Iterable[Place] = ()) -> dict[str, str]:
        """Bodies to store, of the paths whose position changed since the last call: up to the last line given.

        `held` are lines or records that are not dealt with yet; what begins with the earliest of them in each file is
        given again after a restart.
        """
        places = list(held)
        bodies, self._left = self._left, {}
        for name in self._roll.moved({place.file for place in places}):
            body = self._followers[name].position(places)
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
        too_many = self._roll.open_files - max(LEAST_OPEN, soft // 2)
        if too_many <= 0:
            return
        idle = [follower for follower in self._followers.values() if follower.idle]
        for follower in sorted(idle, key=lambda follower: follower.used_at)[:too_many]:
            follower.park()
            self._roll.note(follower, readable=self._reports[follower.name].readable)

    # --- looking

    def _look(self, follower: Source) -> None:
        if follower.look():
            self._note(follower)

    def _note(self, follower: Source) -> None:
        self._roll.note(follower, readable=self._reports[follower.name].readable)
        self._spare_descriptors()

    def _discover(self, known: list[Source]) -> list[Source]:
        """Follow what is new, let go of what is over; who is followed now."""
        found = self._paths.found()
        new = found.keys() - self._followers.keys()
        for name in sorted(new, key=lambda name: (Path(name).is_symlink(), name)):
            if not self._double(name):
                self._follow(name, *found[name])
        for follower in known:
            if follower.name not in found and not follower.files and not follower.waiting:
                self._drop(follower.name)
        self._paths.seen()
        return list(self._followers.values())

    def _double(self, name: str) -> bool:
        """Whether the file at a new path is open under another one already: a link, or an old file of it."""
        try:
            status = os.stat(name)  # noqa: PTH116  # as in the rest of this room
        except OSError:
            return False
        key = (status.st_dev, status.st_ino)
        return self._roll.is_open(key) and self._paths.pass_over(name, "a file that is followed under another name")

    def _follow(self, name: str, server: str, log: LogSettings) -> None:
        report = self._reports[name] = Report(name, self._telemetry)
        report.expect()
        self._followers[name] = self._source(name, server, log, report)
        self._look(self._followers[name])  # before the next path: a file under two names is known by what is open

    def _source(self, name: str, server: str, log: LogSettings, report: Report) -> Source:
        if log.stdin and self._stdin:
            return Stdin(server, report, self._clock, self._stdin, self._sieve())
        if log.journal:
            return Journal(name, server, report, self._clock, self._stored_as(name, left_from_json))
        marks = self._stored_as(name, marks_from_json)
        first_sight = marks is None and self._paths.first_sight(log)
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
        self._roll.strike(name)
        self._reports.pop(name).over()
