"""Bytes as they come -> the lines that may matter, and between them stretches that Python does not look into.

Promise: every byte is in one of them, in order, and a line is the same as without a sieve. Blocks are no longer than
the longest line that is kept whole, so a line that is longer never hides in one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

from vllm_vigil.lines.split import LINE_LIMIT_BYTES, Piece, Splitter

Span = tuple[int, int]


class Sieve(Protocol):
    """Who knows which lines matter; for one file, whose blocks it is shown in order."""

    def sift(self, block: bytes) -> tuple[Sequence[Span], Mapping[str, Sequence[int]]]:
        """Of a block of whole lines: those that matter, without their ends; where others are not at INFO, by level."""
        ...

    def last_timed(self, block: bytes, low: int, high: int) -> Span | None:
        """The last line of a stretch that was left out which says a time."""
        ...


class Left(NamedTuple):
    """Lines that were left out: `block[start:end]`, the block beginning at a byte of the file; see `Stretch`."""

    block: bytes
    start: int
    end: int
    at: int
    levels: Mapping[str, Sequence[int]]


def cut(data: bytes, lines: Splitter, sieve: Sieve | None) -> Iterator[Piece | Left]:
    """What ends in these bytes; without a sieve every line by itself."""
    if sieve is None:
        yield from lines.feed(data)
        return
    at = 0
    while at < len(data):
        end = data.rfind(b"\n", at, at + LINE_LIMIT_BYTES) + 1 if lines.between else 0
        if end:
            yield from _sifted(data[at:end], lines, sieve)
        else:  # what ends a line begun before, or has no end yet, or is too long
            end = data.find(b"\n", at) + 1 or len(data)
            yield from lines.feed(data[at:end])
        at = end


def _sifted(block: bytes, lines: Splitter, sieve: Sieve) -> Iterator[Piece | Left]:
    spans, levels = sieve.sift(block)
    begin, at = lines.at, 0
    for start, end in (*spans, (len(block), len(block))):
        if at < start:
            lines.leave_out(start - at)
            yield Left(block, at, start, begin, levels)
        if start < len(block):
            yield lines.take(block[start:end])
        at = end + 1
