"""What stood in a file before we looked: how far back to read at first sight, and how late each line of it is read.

vLLM's times have neither year nor zone, so they are not compared with our clock but with the file's own time of
change: the last line was written then, and the difference to what it says, in quarters of an hour, is the zone.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import cached_property

from vllm_vigil.lines.settings import Format
from vllm_vigil.lines.sift import Left, Sieve
from vllm_vigil.lines.wrap import unwrap

LOOK_BACK_SECONDS = 600.0
LOOK_BACK_BYTES = 64 * 1024 * 1024
LATE_SECONDS = 60.0
"""What is read sooner than this after it was written is not late."""
STRETCH_BYTES = 64 * 1024
ZONE_SECONDS = 900.0

Stamp = Callable[[bytes, float], float | None]
"""A line and the time now -> the time that the line says (epoch seconds, as if in UTC), None if it says none."""


class Backlog:
    """The part of one file, up to the offset `end`, that was written before we looked."""

    def __init__(self, descriptor: int, form: Format, stamp: Stamp, now: float, sieve: Sieve | None = None) -> None:
        status = os.fstat(descriptor)
        self.end = status.st_size
        self.old = False
        self._descriptor = descriptor
        self._form = form
        self._stamp = stamp
        self._sieve = sieve
        self._now = now
        self._modified = status.st_mtime
        self._last = self._modified

    @cached_property
    def _zone_seconds(self) -> float | None:
        """By the last line that says a time; None if there is none, or it cannot be read."""
        try:
            lines = [data for _, data in self._lines(max(0, self.end - STRETCH_BYTES), self.end)]
        except OSError:
            return None
        said = map(self._time, reversed(lines))
        last = next((at for at in said if at is not None), None)
        return None if last is None else round((self._modified - last) / ZONE_SECONDS) * ZONE_SECONDS

    def start(self) -> int:
        """Where to begin at first sight: 10 minutes or 64 MiB before the end, whichever is less; at a line's start.

        Without times in the lines it is the end: nobody can say how old they are.
        """
        end = self._line_start(max(0, self.end - STRETCH_BYTES), self.end, last=True)
        low, high = max(0, self.end - LOOK_BACK_BYTES), self.end
        if self._now - self._modified > LOOK_BACK_SECONDS or self._zone_seconds is None:
            return end
        since = self._now - LOOK_BACK_SECONDS - self._zone_seconds
        while high - low > STRETCH_BYTES:
            middle = (low + high) // 2
            found = next(self._times(middle, middle + STRETCH_BYTES), None)
            if found is None or found[1] < since:
                low = middle
            else:
                high = middle
        recent = next((offset for offset, at in self._times(low, high + STRETCH_BYTES) if at >= since), end)
        return min(recent, end)

    def late_seconds(self, data: bytes) -> float:
        """How long ago a line of it was written; lines without a time are as old as the one before."""
        at = self._stamp(data, self._now)
        if at is not None and self._zone_seconds is not None:
            self._last = min(at + self._zone_seconds, self._modified)
        late = max(0.0, self._now - self._last)
        return late if self.old or late >= LATE_SECONDS else 0.0

    def pass_over(self, left: Left) -> None:
        """Note when what was left out was written; the line after it may say no time."""
        last = self._sieve.last_timed(left.block, left.start, left.end) if self._sieve else None
        if last:
            self.late_seconds(left.block[slice(*last)])

    def _times(self, begin: int, end: int) -> Iterator[tuple[int, float]]:
        """Offset and time of every whole line of a stretch that says one."""
        for offset, data in self._lines(begin, end):
            at = self._time(data)
            if at is not None:
                yield offset, at

    def _lines(self, begin: int, end: int) -> Iterator[tuple[int, bytes]]:
        offset = self._line_start(begin, end)
        for data in os.pread(self._descriptor, max(0, min(end, self.end) - offset), offset).split(b"\n")[:-1]:
            yield offset, data
            offset += len(data) + 1

    def _time(self, data: bytes) -> float | None:
        part = unwrap(data, self._form)
        return self._stamp(part.text if part else data, self._now)

    def _line_start(self, begin: int, end: int, *, last: bool = False) -> int:
        """The first start of a line from an offset on, or the last one of a stretch."""
        before = max(0, begin - 1)
        block = os.pread(self._descriptor, max(0, min(end, self.end) - before), before)
        if last:
            return before + block.rfind(b"\n") + 1
        found = block.find(b"\n") + 1
        return 0 if begin == 0 else before + found if found else end
