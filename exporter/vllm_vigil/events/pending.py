"""A record that is not complete yet: its lines, and whether another line belongs to it or shows that it is over.

Bounded: of a long record the beginning and the end are kept, the end because it names the exception.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass, field

from vllm_vigil.events.part import Part, Shape
from vllm_vigil.model import Line, Record

MAX_HALF_LINES = 200
MAX_HALF_CHARACTERS = 32_768

CHAINS = ("During handling of the above exception", "The above exception was the direct cause")
_CUDA_TAIL = (
    "CUDA kernel errors might be",
    "For debugging consider passing",
    "Compile with `TORCH_USE",
    "', please check the stack trace",
)
_EXCEPTION = re.compile(r"(?:[A-Za-z_][\w.]*\.)?[A-Z]\w*(?:Error|Exception|Interrupt|Exit)\b(?::|\(|$)|\w+(?:\.\w+)+: ")
CHILD = re.compile(r"Process [\w:.-]+:\s*$")
GROUP = "  + Exception Group Traceback"
TRACEBACK = "Traceback (most recent call last)"


@dataclass(slots=True)
class Pending:
    """A record that may go on. `ended` says that nothing need follow: its exception has been named.

    `at` is its time, or the last that was said before it.
    """

    part: Part
    line: Line
    born: float
    soft: bool
    ended: bool
    at: float | None = None
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
            at=self.at,
            generation=line.generation,
            offset=line.offset,
            old=line.old,
            late_seconds=line.late_seconds,
            facts=part.facts,
        )


def goes_on(pending: Pending, part: Part) -> bool:
    """Whether a line belongs to the record that its process had begun."""
    begun = pending.part
    if begun.shape is Shape.RECORD:
        if (part.level, part.at, part.source) != (begun.level, begun.at, begun.source):
            return False
        return pending.soft or is_traceback_part(part.text)
    if part.shape is not Shape.RAW or CHILD.match(part.text):
        return False
    return not (part.text.startswith(TRACEBACK) and pending.ended and not pending.chained)


def is_over(pending: Pending, part: Part) -> bool:
    """Whether another line of the file shows that the record is complete: exception named, or time gone on."""
    if part.at is not None and time_has_gone_on(pending, part.at):
        return True
    return pending.ended and pending.part.shape is not Shape.RECORD and part.shape is not Shape.RAW


def time_has_gone_on(pending: Pending, at: float) -> bool:
    """Whether the log's clock says that whoever wrote the record has written all of it."""
    return pending.part.at is not None and at > pending.part.at + 1


def is_traceback_part(text: str) -> bool:
    """Whether a line can belong to a record of which another was the first, where nothing marks that it does."""
    if not text or text[0].isspace() or text.startswith((TRACEBACK, *CHAINS, *_CUDA_TAIL)):
        return True
    return bool(_EXCEPTION.match(text))
