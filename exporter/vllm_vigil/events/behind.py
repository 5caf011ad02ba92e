"""What a sieve has left out of one file -> what of it is of use still: the last time, lines before one that goes on.

Bounded: no more than two blocks are kept, and no longer than until records are flushed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from vllm_vigil.events.prefix import RECORD, last_timed
from vllm_vigil.model import Line, Stretch


class Behind:
    """Of one file."""

    def __init__(self) -> None:
        self._timed = b""  # the last line that says a time, of what stands before `_spans`
        self._spans: list[tuple[bytes, int, int]] = []  # parts of one block in which one may stand
        self._blocks: deque[Stretch] = deque(maxlen=2)

    def leave(self, stretch: Stretch, start: int, end: int) -> None:
        """A part of a stretch was left out."""
        if self._spans and self._spans[-1][0] is not stretch.block:
            self._timed = self.take_timed()
        if not self._blocks or self._blocks[-1].block is not stretch.block:
            self._blocks.append(stretch)
        self._spans.append((stretch.block, start, end))

    def leave_line(self, data: bytes) -> None:
        """One line was, which came by itself."""
        if RECORD.match(data):
            self.forget_times()
            self._timed = data

    def forget_times(self) -> None:
        """A line was read that said its time."""
        self._timed = b""
        self._spans.clear()

    def take_timed(self) -> bytes:
        """The last line that says a time and was left out since this was last asked, b"" if there is none."""
        for block, start, end in reversed(self._spans):
            found = last_timed(block, start, end)
            if found:
                self._timed = block[slice(*found)]
                break
        self._spans.clear()
        timed, self._timed = self._timed, b""
        return timed

    def before(self, line: Line) -> Iterator[Line]:
        """The lines before a record's line, from the first on that has its level, time and source."""
        match, at = RECORD.match(line.data), -1
        if not match:
            return
        same = line.data[match.start("level") : match.end()]
        for kept in self._blocks:
            stop = line.offset - kept.at if kept.generation == line.generation else 0
            at = 0 if at >= 0 else kept.block.find(same, 0, max(stop, 0))
            at = kept.block.rfind(b"\n", 0, at) + 1 if at >= 0 else at
            while 0 <= at < min(stop, len(kept.block)):
                after = kept.block.find(b"\n", at) + 1
                yield line_of(kept, at, after)
                at = after


def line_of(stretch: Stretch, start: int, after: int) -> Line:
    """One line of the block of a stretch, as if it had not been left out."""
    data, offset, end = stretch.block[start : after - 1], stretch.at + start, stretch.at + after
    return Line(stretch.file, data, stretch.server, stretch.generation, offset, end)
