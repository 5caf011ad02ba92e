"""Bytes as they come -> lines with their offsets, whatever the blocks they came in.

Promise: the same bytes give the same lines however they are cut, and a line without end costs `LINE_LIMIT_BYTES` of
memory and no more. A carriage return inside a line takes back what stands before it, as it does on a terminal:
vLLM's progress bars are one line of hundreds of such steps. One directly before the line end marks the line as soft.
"""

from __future__ import annotations

from typing import NamedTuple

LINE_LIMIT_BYTES = 256 * 1024


class Piece(NamedTuple):
    """One line: its bytes without the line end, where it begins and where the next one does, whether it is soft."""

    data: bytes
    offset: int
    end: int
    soft: bool


class Splitter:
    """Cuts one stream into lines. `start` is the offset of the line not ended yet, `at` that of the next byte."""

    def __init__(self, offset: int) -> None:
        self.start = offset
        self.at = offset
        self._cut_bytes = 0
        self._held = bytearray()
        self._returned = False  # the last byte was a carriage return: line end or overwriting, not known yet

    def feed(self, data: bytes) -> list[Piece]:
        """The lines that end in these bytes; what follows the last line end is held."""
        *ended, rest = data.split(b"\n")
        pieces = [self._end(part) for part in ended]
        self._hold(rest)
        return pieces

    @property
    def between(self) -> bool:
        """Whether the next byte begins a line."""
        return self.at == self.start

    def leave_out(self, count: int) -> None:
        """Pass over so many bytes of whole lines, which somebody else deals with."""
        self.at += count
        self.start = self.at

    def take(self, line: bytes) -> Piece:
        """A whole line, given without its end, where the next byte begins one."""
        body = line.removesuffix(b"\r")
        if b"\r" in body or b"\0" in body or len(body) > LINE_LIMIT_BYTES:
            return self._end(line)
        piece = Piece(body, self.at, self.at + len(line) + 1, len(body) < len(line))
        self.leave_out(len(line) + 1)
        return piece

    def skip(self, count: int) -> None:
        """Leave out so many bytes that hold nothing (a hole); they belong to the line not ended yet."""
        self.at += count

    def peek(self) -> Piece | None:
        """The line that has no end yet, as far as it has come, if there is one; it is held on."""
        return Piece(bytes(self._held), self.start, self.at, soft=False) if self._held else None

    def finish(self) -> Piece | None:
        """The line that will never be ended, if there is one."""
        piece = self._give() if self._held else None
        self.start = self.at
        return piece

    def take_cut(self) -> int:
        """How many bytes were left out of lines that were too long, since this was asked last."""
        count, self._cut_bytes = self._cut_bytes, 0
        return count

    def _end(self, part: bytes) -> Piece:
        self._hold(part)
        self.at += 1
        return self._give()

    def _give(self) -> Piece:
        piece = Piece(bytes(self._held), self.start, self.at, self._returned)
        self._held.clear()
        self._returned = False
        self.start = self.at
        return piece

    def _hold(self, part: bytes) -> None:
        self.at += len(part)
        text = part.replace(b"\0", b"")  # a writer that does not append leaves NULs after copytruncate
        if not text:
            return
        body = text.rstrip(b"\r")
        if body:
            last = body[body.rfind(b"\r") + 1 :]
            if self._returned or len(last) < len(body):
                self._held.clear()
            room = LINE_LIMIT_BYTES - len(self._held)
            self._cut_bytes += max(0, len(last) - room)
            self._held += last[:room]
        self._returned = len(body) < len(text)
