"""A block of whole lines -> the lines that may matter, without Python looking at the others.

Two ways to the same lines: one Hyperscan database, whose speed does not depend on how many texts are looked for, and
the standard library where Hyperscan has no wheel. A line is left out only if it surely is an ordinary record at INFO:
it begins as `prefix.py` says, none of the texts stands in it, and nothing in it could hide one (carriage returns that
take text back, NULs, escapes). The spans given are (start, end) without the line end, in order, each once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Protocol

from vllm_vigil.events.prefix import LEAVING, ORDINARY

try:
    import hyperscan

    FAST = True
except ImportError:  # no wheel for this machine: the other way gives the same
    FAST = False

Span = tuple[int, int]
HIDING = (b"\r", b"\0", b"\xc2\x9b")
_ESCAPE = b"\x1b"


class Scan(Protocol):
    """One way."""

    def spans(self, block: bytes) -> Iterable[Span]:
        """The lines of the block that may matter; the block ends with a line end."""
        ...


def scan(texts: Iterable[bytes]) -> Scan:
    """The fastest way that this machine has, to look for these texts at INFO."""
    return Hyperscan(texts) if FAST else Standard(texts)


class Hyperscan:
    """One database of everything; it lets other threads work meanwhile."""

    def __init__(self, texts: Iterable[bytes]) -> None:
        # An escape after `)` ends the colour of the process part; elsewhere it could stand within a text.
        expressions = [LEAVING, rb"[^\n)]\x1b", *(_plain(text) for text in (*HIDING, *texts))]
        self._database = hyperscan.Database()
        self._database.compile(
            expressions=expressions,
            ids=list(range(len(expressions))),
            elements=len(expressions),
            flags=[hyperscan.HS_FLAG_MULTILINE | hyperscan.HS_FLAG_DOTALL] * len(expressions),
        )

    def spans(self, block: bytes) -> Iterator[Span]:
        """See `Scan`."""
        ends: list[int] = []

        def hit(_expression: int, _start: int, end: int, _flags: int, _context: object) -> None:
            ends.append(end - 1)

        self._database.scan(block, match_event_handler=hit)
        after = 0
        for at in ends:  # in the order in which they end
            if at < after:
                continue
            start, end = block.rfind(b"\n", 0, at) + 1, block.find(b"\n", at)
            yield start, end
            after = end + 1


class Standard:
    """`re` leaps over runs of ordinary lines; what it leaps over is searched text by text, which is fast in C."""

    def __init__(self, texts: Iterable[bytes]) -> None:
        self._texts = tuple(texts)
        self._run = re.compile(rb"(?:" + ORDINARY + rb".*+\n)*+")
        self._plain_run = re.compile(rb"(?:" + ORDINARY + rb"[^\n\x1b]*+\n)*+")

    def spans(self, block: bytes) -> Iterator[Span]:
        """See `Scan`."""
        marks = self._marks(block)
        run = self._plain_run if _ESCAPE in block else self._run
        at, size = 0, len(block)
        mark = next(marks, size)
        while at < size:
            stop = run.match(block, at).end()  # type: ignore[union-attr]  # it matches the empty run too
            while mark < stop:
                start, end = block.rfind(b"\n", 0, mark) + 1, block.find(b"\n", mark)
                yield start, end
                while mark <= end:
                    mark = next(marks, size)
            if stop < size:
                end = block.find(b"\n", stop)
                yield stop, end
                stop = end + 1
                while mark < stop:
                    mark = next(marks, size)
            at = stop

    def _marks(self, block: bytes) -> Iterator[int]:
        """Where a text stands, or what could hide one."""
        found: list[int] = []
        for text in (*HIDING, *self._texts):
            at = block.find(text)
            while at >= 0:
                found.append(at)
                at = block.find(text, at + 1)
        return iter(sorted(found))


def _plain(text: bytes) -> bytes:
    """An expression for exactly these bytes, in which no byte means anything else."""
    return b"".join(b"\\x%02x" % byte for byte in text)
