"""Physical lines -> records: a traceback of forty lines is one record, per process, also when two interleave.

vLLM ends every line of a record but the last in CR LF, so a line without the CR ends its record at once. Where the CR
is lost (journal, copies) a record is held until a line that cannot belong to it comes, the log's own clock has gone on
by a second, or `flush` finds it too old. Bounded: of a long record the beginning and the end are kept, the end because
it names the exception. What is held when the process ends is read again: `held` says from where, `remember` what to
skip then.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from datetime import UTC
from io import BytesIO
from typing import Protocol

from vllm_vigil.clock import Clock, CrankedClock
from vllm_vigil.events.behind import Behind, line_of
from vllm_vigil.events.opening import Opening, openings
from vllm_vigil.events.part import Part, Shape
from vllm_vigil.events.pending import (
    CHAINS,
    CHILD,
    GROUP,
    TRACEBACK,
    Pending,
    goes_on,
    is_over,
    is_traceback_part,
    time_has_gone_on,
)
from vllm_vigil.events.shape import read
from vllm_vigil.events.times import Zone, epoch
from vllm_vigil.model import Line, Record, Stretch

MAX_PENDING = 64

Key = tuple[str, str, str, bool]  # file, process, pid, whether it has vLLM's prefix
Read = tuple[str, int, list[list[int]]]  # generation, end of what was read, the parts of it not handed out


class Tally(Protocol):
    """Where lines are counted."""

    def lines_read(self, file: str, level: str, count: int = 1) -> None:
        """So many lines of one level."""


class Passing(Protocol):
    """Who knows lines that need not be read."""

    def passes(self, data: bytes) -> bool:
        """Whether this is one."""
        ...


class Joiner:
    """Joins the lines of any number of files; state per file, process and pid."""

    def __init__(self, telemetry: Tally, clock: Clock, zone: Zone = UTC, gate: Passing | None = None) -> None:
        self._telemetry = telemetry
        self._clock = clock
        self._zone = zone
        self._gate = gate
        self._count: Counter[tuple[str, str]] = Counter()  # file, level -> lines since they were last told of
        self._said_at: dict[str, float] = {}  # file -> the last time that a line of it said
        self._behind: defaultdict[str, Behind] = defaultdict(Behind)  # file -> what was left out of it
        self._pending: dict[Key, Pending] = {}  # in the order in which they began
        self._marked: set[str] = set()  # files whose records mark that they go on
        self._read: dict[str, tuple[str, int]] = {}  # file -> generation, end of what was read
        self._skip: dict[str, Read] = {}

    # --- lines

    def feed(self, line: Line | Stretch) -> list[Record]:
        """The records that this line completed: none, or some, its own among them or not; or that a stretch did."""
        if isinstance(line, Stretch):
            return self._pass_over(line)
        return [] if self._known(line) or self._passes(line) else self._take(line)

    def _take(self, line: Line, *, matters: bool = True) -> list[Record]:
        """Read one line; one that was left out may end a record, and begins none that could go on."""
        part = read(line.data, self._clock.wall(), self._zone)
        self._count[line.file, part.level] += 1
        if part.at is not None:
            self._said_at[line.file] = part.at
            self._behind[line.file].forget_times()
        done = self._turn(line)
        soft = line.soft or line.data.endswith(b"\r")
        if soft and part.shape is Shape.RECORD:
            self._marked.add(line.file)
        key = (line.file, part.process, part.pid, part.shape is Shape.RECORD)
        pending = self._pending.get(key) or self._look_back(line, key, part)
        if pending and goes_on(pending, part):
            return [*done, *self._continue(key, pending, line, part, soft=soft)]
        begins = matters and self._may_go_on(line, part, soft=soft)
        done += self._close(lambda k, p: (k == key and (begins or p.ended)) or (k[0] == line.file and is_over(p, part)))
        return [*done, *self._begin(key, line, part, soft=soft, begins=begins)]

    def flush(self, older_than_seconds: float = 0.0) -> list[Record]:
        """The records to which nothing was added for so long; at the end of a replay all of them.

        To be called after every batch: only here it tells of the lines that it has counted.
        """
        for (file, level), count in self._count.items():
            self._telemetry.lines_read(file, level, count)
        self._count.clear()
        for file in self._behind:
            self.said_at(file)
        self._behind.clear()
        latest = self._clock.monotonic() - older_than_seconds
        return self._close(lambda _, pending: pending.born <= latest)

    def said_at(self, file: str) -> float | None:
        """The time that the last line said which said one (epoch seconds)."""
        timed = self._behind[file].take_timed()
        at = read(timed, self._clock.wall(), self._zone).at if timed else None
        if at is not None:
            self._said_at[file] = at
        return self._said_at.get(file)

    def _passes(self, line: Line) -> bool:
        """Whether a line is of no consequence: an ordinary one, while no record is open; it is only counted."""
        if self._gate is None or line.soft or self._busy(line.file) or not self._gate.passes(line.data):
            return False
        self._reach(line.file, line.generation, line.end)
        self._count[line.file, "INFO"] += 1
        self._behind[line.file].leave_line(line.data)
        return True

    def _pass_over(self, stretch: Stretch) -> list[Record]:
        """Only count the lines of a stretch, but read those that end a record, or may: the others change nothing."""
        if not self._busy(stretch.file):
            self._leave_out(stretch, stretch.start, stretch.end)
            return []
        done: list[Record] = []
        left = stretch.start  # from here on nothing was counted
        harmless: set[tuple[bytes, ...]] = set()
        for line in openings(stretch.block, stretch.start, stretch.end):
            opening = line.groups(b"")
            if opening in harmless:
                continue
            if not self._busy(stretch.file):
                break
            if not self._matters(stretch, Opening(*opening)):
                harmless.add(opening)
                continue
            self._leave_out(stretch, left, line.start())
            left = line.end()
            read_after_all = line_of(stretch, line.start(), left)
            done += [] if self._known(read_after_all) else self._take(read_after_all, matters=False)
            harmless.clear()
        self._leave_out(stretch, left, stretch.end)
        return done

    def _matters(self, stretch: Stretch, opening: Opening) -> bool:
        """Whether a line that was left out, beginning so, changes a record that is held open."""
        file = stretch.file
        if file in self._skip or self._read.get(file, ("", 0))[0] != stretch.generation:
            return True
        held = [pending for key, pending in self._pending.items() if key[0] == file]
        if opening.is_document or any(pending.ended and pending.part.shape is not Shape.RECORD for pending in held):
            return any(pending.ended or pending.part.at is not None for pending in held)
        if not opening.when:
            return False
        if (file, *opening.process, True) in self._pending:
            return True
        at = epoch(opening.time, self._clock.wall(), self._zone)
        return at is not None and any(time_has_gone_on(pending, at) for pending in held)

    def _leave_out(self, stretch: Stretch, start: int, end: int) -> None:
        if start == end:
            return
        file, lines = stretch.file, len(BytesIO(stretch.block[start:end]).readlines())  # faster than `count`
        for level, places in stretch.levels.items():
            count = bisect_left(places, end) - bisect_left(places, start)
            self._count[file, level] += count
            lines -= count
        self._count[file, "INFO"] += lines
        self._reach(file, stretch.generation, stretch.at + end)
        self._behind[file].leave(stretch, start, end)

    def _busy(self, file: str) -> bool:
        """Whether a record of the file is held open, so that its next line may change what becomes of it."""
        return file in self._skip or (bool(self._pending) and any(key[0] == file for key in self._pending))

    def _reach(self, file: str, generation: str, end: int) -> None:
        before, reached = self._read.get(file, ("", 0))
        self._read[file] = (generation, max(end, reached) if generation == before else end)

    def _begin(self, key: Key, line: Line, part: Part, *, soft: bool, begins: bool) -> list[Record]:
        ended = part.shape in (Shape.CPP, Shape.RECORD)
        pending = Pending(part, line, self._clock.monotonic(), soft, ended, self.said_at(line.file))
        pending.spans(line)
        if not begins:
            return [pending.record()]
        done = []
        if len(self._pending) >= MAX_PENDING:
            done.append(self._pending.pop(next(iter(self._pending))).record())
        self._pending[key] = pending
        return done

    def _look_back(self, line: Line, key: Key, part: Part) -> Pending | None:
        """The record that a line goes on with, if it began in lines that were left out: nothing told that it would."""
        unmarked = part.shape is Shape.RECORD and part.level == "WARNING" and line.file not in self._marked
        if not unmarked or not is_traceback_part(part.text):
            return None
        past = Joiner(_Uncounted(), self._clock, self._zone)
        for before in self._behind[line.file].before(line):
            past.feed(before)
        pending = past._pending.get(key)
        if pending is None or not goes_on(pending, part):
            return None
        self._pending[key] = pending
        return pending

    def _may_go_on(self, line: Line, part: Part, *, soft: bool) -> bool:
        """Whether a record that begins so can have more lines."""
        if part.shape is Shape.RECORD:
            return soft or (line.file not in self._marked and part.level not in ("DEBUG", "INFO"))
        if part.shape is Shape.UVICORN:
            if part.source:  # loguru's, which says its time and writes tracebacks below
                return part.level in ("ERROR", "CRITICAL")
            return part.level == "ERROR" and part.text.startswith(("Exception in", TRACEBACK))
        if part.shape is Shape.RAW:
            return part.text.startswith((TRACEBACK, GROUP)) or bool(CHILD.match(part.text))
        return part.shape is Shape.CPP and part.level in ("ERROR", "CRITICAL")

    def _continue(self, key: Key, pending: Pending, line: Line, part: Part, *, soft: bool) -> list[Record]:
        pending.add(part.text)
        pending.spans(line)
        pending.born = self._clock.monotonic()
        if part.shape is Shape.RAW:
            pending.chained = part.text.startswith(CHAINS) or (pending.chained and not part.text.strip())
            if part.text.startswith((TRACEBACK, GROUP)):
                pending.ended = False
            elif part.text[:1].strip() and not pending.chained:
                pending.ended = True
            return []
        was_soft, pending.soft = pending.soft, soft
        return [self._pending.pop(key).record()] if was_soft and not soft else []

    def _turn(self, line: Line) -> list[Record]:
        """A new generation of a file completes what the old one had begun."""
        generation, _ = self._read.get(line.file, (line.generation, 0))
        self._reach(line.file, line.generation, line.end)
        if generation == line.generation:
            return []
        return self._close(lambda key, pending: key[0] == line.file and pending.line.generation != line.generation)

    def _close(self, over: Callable[[Key, Pending], bool]) -> list[Record]:
        keys = [key for key, pending in self._pending.items() if over(key, pending)]
        return [self._pending.pop(key).record() for key in keys]

    # --- restart

    def held(self) -> list[Line]:
        """The first line of every record that is not complete: from these on it must be read again after a restart."""
        return [pending.line for pending in self._pending.values()]

    def remember(self) -> str:
        """What of the bytes from `held` on has been handed out already, as JSON; small, as few records are held."""
        body: dict[str, Read] = {}
        for file, (generation, end, ranges) in self._skip.items():
            reached = self._read.get(file, ("", 0))[1]
            body[file] = (generation, end, [span for span in ranges if span[1] > reached])
        for (file, *_), pending in self._pending.items():
            generation, end, ranges = body.get(file, (*self._read[file], []))
            body[file] = (generation, end, [*ranges, *pending.ranges])
        return json.dumps(body)

    def restore(self, memory: str | None) -> None:
        """Skip what an earlier process has handed out when it is read again."""
        body = json.loads(memory) if memory else {}
        self._skip = {file: (generation, end, ranges) for file, (generation, end, ranges) in body.items()}

    def _known(self, line: Line) -> bool:
        if line.file not in self._skip:
            return False
        generation, end, ranges = self._skip[line.file]
        if generation != line.generation or line.offset >= end:
            del self._skip[line.file]
            return False
        return not any(start <= line.offset < stop for start, stop in ranges)


class _Uncounted:
    def lines_read(self, file: str, level: str, count: int = 1) -> None:
        """Examples are not counted."""


def read_text(lines: Iterable[str]) -> list[Record]:
    """The records of a few lines that stand in no file, such as the examples of a pattern."""
    joiner = Joiner(_Uncounted(), CrankedClock())
    records = [record for line in lines for record in joiner.feed(Line("", line.encode()))]
    return [*records, *joiner.flush()]
