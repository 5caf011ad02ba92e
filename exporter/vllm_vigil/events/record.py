"""Physical lines -> records: a traceback of forty lines is one record, per process, also when two interleave.

vLLM ends every line of a record but the last in CR LF, so a line without the CR ends its record at once. Where the CR
is lost (journal, copies) a record is held until a line that cannot belong to it comes, the log's own clock has gone on
by a second, or `flush` finds it too old. Bounded: of a long record the beginning and the end are kept, the end because
it names the exception. What is held when the process ends is read again: `held` says from where, `remember` what to
skip then.
"""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from vllm_vigil.clock import Clock, CrankedClock
from vllm_vigil.events.shape import Part, Shape, read
from vllm_vigil.model import Line, Record

FLUSH_SECONDS = 0.5
MAX_PENDING = 64
MAX_HALF_LINES = 200
MAX_HALF_CHARACTERS = 32_768

_CHAINS = ("During handling of the above exception", "The above exception was the direct cause")
_CUDA_TAIL = (
    "CUDA kernel errors might be",
    "For debugging consider passing",
    "Compile with `TORCH_USE",
    "', please check the stack trace",
)
_EXCEPTION = re.compile(r"(?:[A-Za-z_][\w.]*\.)?[A-Z]\w*(?:Error|Exception|Interrupt|Exit)\b(?::|\(|$)|\w+(?:\.\w+)+: ")
_CHILD = re.compile(r"Process [\w:.-]+:\s*$")
_GROUP = "  + Exception Group Traceback"
_TRACEBACK = "Traceback (most recent call last)"

Key = tuple[str, str, str, bool]  # file, process, pid, whether it has vLLM's prefix
Read = tuple[str, int, list[list[int]]]  # generation, end of what was read, the parts of it not handed out


class Tally(Protocol):
    """Where lines are counted."""

    def lines_read(self, file: str, level: str, count: int = 1) -> None:
        """So many lines of one level."""


@dataclass(slots=True)
class Pending:
    """A record that may go on. `ended` says that nothing need follow: its exception has been named."""

    part: Part
    line: Line
    born: float
    soft: bool
    ended: bool
    chained: bool = False
    head: list[str] = field(default_factory=list)
    tail: deque[str] = field(default_factory=deque)
    head_size: int = 0
    tail_size: int = 0
    ranges: list[list[int]] = field(default_factory=list)

    def add(self, text: str) -> None:
        """Keep one more line: in the first half while there is room, else among the last."""
        if not self.tail and len(self.head) < MAX_HALF_LINES and self.head_size + len(text) <= MAX_HALF_CHARACTERS:
            self.head.append(text)
            self.head_size += len(text)
            return
        self.tail.append(text)
        self.tail_size += len(text)
        while len(self.tail) > 1 and (len(self.tail) > MAX_HALF_LINES or self.tail_size > MAX_HALF_CHARACTERS):
            self.tail_size -= len(self.tail.popleft())

    def spans(self, line: Line) -> None:
        """Note where the line stands in the file."""
        if self.ranges and self.ranges[-1][1] == line.offset:
            self.ranges[-1][1] = line.end
        else:
            self.ranges.append([line.offset, line.end])

    def record(self) -> Record:
        """What was gathered."""
        part, line = self.part, self.line
        below = "\n".join([part.traceback, *self.head, *self.tail] if part.traceback else [*self.head, *self.tail])
        return Record(
            file=line.file,
            level=part.level,
            message=part.text,
            server=line.server,
            traceback=below,
            process=part.process,
            pid=part.pid,
            at=part.at,
            generation=line.generation,
            offset=line.offset,
        )


class Joiner:
    """Joins the lines of any number of files; state per file, process and pid."""

    def __init__(self, telemetry: Tally, clock: Clock) -> None:
        self._telemetry = telemetry
        self._clock = clock
        self._pending: dict[Key, Pending] = {}  # in the order in which they began
        self._marked: set[str] = set()  # files whose records mark that they go on
        self._read: dict[str, tuple[str, int]] = {}  # file -> generation, end of what was read
        self._skip: dict[str, Read] = {}

    # --- lines

    def feed(self, line: Line) -> list[Record]:
        """The records that this line completed: none, or some, its own among them or not."""
        if self._known(line):
            return []
        part = read(line.data, self._clock.wall())
        self._telemetry.lines_read(line.file, part.level)
        done = self._turn(line)
        soft = line.soft or line.data.endswith(b"\r")
        if soft and part.shape is Shape.RECORD:
            self._marked.add(line.file)
        key = (line.file, part.process, part.pid, part.shape is Shape.RECORD)
        pending = self._pending.get(key)
        if pending and _goes_on(pending, part):
            return [*done, *self._continue(key, pending, line, part, soft=soft)]
        begins = self._may_go_on(line, part, soft=soft)
        done += self._close(
            lambda k, p: (k == key and (begins or p.ended)) or (k[0] == line.file and _is_over(p, part))
        )
        return [*done, *self._begin(key, line, part, soft=soft, begins=begins)]

    def flush(self, older_than_seconds: float = 0.0) -> list[Record]:
        """The records to which nothing was added for so long; at the end of a replay all of them."""
        latest = self._clock.monotonic() - older_than_seconds
        return self._close(lambda _, pending: pending.born <= latest)

    def _begin(self, key: Key, line: Line, part: Part, *, soft: bool, begins: bool) -> list[Record]:
        pending = Pending(part, line, self._clock.monotonic(), soft, ended=part.shape in (Shape.CPP, Shape.RECORD))
        pending.spans(line)
        if not begins:
            return [pending.record()]
        done = []
        if len(self._pending) >= MAX_PENDING:
            done.append(self._pending.pop(next(iter(self._pending))).record())
        self._pending[key] = pending
        return done

    def _may_go_on(self, line: Line, part: Part, *, soft: bool) -> bool:
        """Whether a record that begins so can have more lines."""
        if part.shape is Shape.RECORD:
            return soft or (line.file not in self._marked and part.level not in ("DEBUG", "INFO"))
        if part.shape is Shape.UVICORN:
            return part.level == "ERROR" and part.text.startswith(("Exception in", _TRACEBACK))
        if part.shape is Shape.RAW:
            return part.text.startswith((_TRACEBACK, _GROUP)) or bool(_CHILD.match(part.text))
        return part.shape is Shape.CPP and part.level in ("ERROR", "CRITICAL")

    def _continue(self, key: Key, pending: Pending, line: Line, part: Part, *, soft: bool) -> list[Record]:
        pending.add(part.text)
        pending.spans(line)
        pending.born = self._clock.monotonic()
        if part.shape is Shape.RAW:
            pending.chained = part.text.startswith(_CHAINS) or (pending.chained and not part.text.strip())
            if part.text.startswith((_TRACEBACK, _GROUP)):
                pending.ended = False
            elif part.text[:1].strip() and not pending.chained:
                pending.ended = True
            return []
        was_soft, pending.soft = pending.soft, soft
        return [self._pending.pop(key).record()] if was_soft and not soft else []

    def _turn(self, line: Line) -> list[Record]:
        """A new generation of a file completes what the old one had begun."""
        generation, end = self._read.get(line.file, (line.generation, 0))
        self._read[line.file] = (line.generation, max(end, line.end) if generation == line.generation else line.end)
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


def _goes_on(pending: Pending, part: Part) -> bool:
    """Whether a line belongs to the record that its process had begun."""
    begun = pending.part
    if begun.shape is Shape.RECORD:
        if (part.level, part.at, part.source) != (begun.level, begun.at, begun.source):
            return False
        return pending.soft or _is_traceback_part(part.text)
    if part.shape is not Shape.RAW or _CHILD.match(part.text):
        return False
    return not (part.text.startswith(_TRACEBACK) and pending.ended and not pending.chained)


def _is_over(pending: Pending, part: Part) -> bool:
    """Whether another line of the file shows that the record is complete: exception named, or time gone on."""
    if part.at is not None and pending.part.at is not None and part.at > pending.part.at + 1:
        return True
    return pending.ended and pending.part.shape is not Shape.RECORD and part.shape is not Shape.RAW


def _is_traceback_part(text: str) -> bool:
    if not text or text[0].isspace() or text.startswith((_TRACEBACK, *_CHAINS, *_CUDA_TAIL)):
        return True
    return bool(_EXCEPTION.match(text))


class _Uncounted:
    def lines_read(self, file: str, level: str, count: int = 1) -> None:
        """Examples are not counted."""


def read_text(lines: Iterable[str]) -> list[Record]:
    """The records of a few lines that stand in no file, such as the examples of a pattern."""
    joiner = Joiner(_Uncounted(), CrankedClock())
    records = [record for line in lines for record in joiner.feed(Line("", line.encode()))]
    return [*records, *joiner.flush()]
