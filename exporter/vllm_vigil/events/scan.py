"""A block of whole lines -> a byte of each line that may matter, without Python looking at the others.

Two ways: Hyperscan, whose speed does not depend on how many texts are looked for, and the standard library where
Hyperscan has no wheel. A line is not marked only if it surely is an ordinary one: it begins as `prefix.py` says, none
of the texts of its level stands in it, and nothing in it could hide one (carriage returns that take text back, NULs,
escapes). Which of the marked ones matter is for the sieve to find out, so one too many costs time and nothing else.
"""

from __future__ import annotations

import ctypes
import operator
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING, Protocol

from vllm_vigil.events.ordinary import ordinary
from vllm_vigil.events.prefix import INFO, LEAVINGS, LEVELS, leaving

try:
    import hyperscan

    FAST = True
except ImportError:  # no wheel for this machine: the other way gives the same
    FAST = False

if TYPE_CHECKING:
    from hyperscan import Database

Span = tuple[int, int]
Texts = Mapping[str, tuple[bytes, ...] | None]
"""Of each quiet level what must stand in a line for it to matter, None if all of the level matter."""
Positions = dict[str, list[int]]
HIDING = rb"[\r\0]|\xc2\x9b|[^\n)]\x1b"
"""An escape after `)` ends the colour of the process part; elsewhere it could stand within a text."""
_HIDING_BYTES = (b"\r", b"\0", b"\x9b", b"\x1b")


class Scan(Protocol):
    """One way."""

    def look(self, block: bytes) -> tuple[list[int], Positions]:
        """A byte of each line that may matter; of the ordinary ones among the others, one of each not at INFO."""
        ...

    def prepare(self) -> None:
        """Do now what the first block of some kind would wait for."""


def scan(texts: Texts) -> Scan:
    """The fastest way that this machine has."""
    return Hyperscan(texts) if FAST else Standard(texts)


def spans(block: bytes, marks: Iterable[int]) -> Iterator[Span]:
    """The lines in which marks stand, without their ends, in order and each once."""
    after = 0
    for at in sorted(marks):
        if at >= after:
            start, end = block.rfind(b"\n", 0, at) + 1, block.find(b"\n", at)
            yield start, end
            after = end + 1


class Hyperscan:
    """Three databases, by what they cost: the levels come nearly for nothing with the texts, and nothing else does.

    Other threads can work meanwhile, also while one is made, which takes up to 30 ms.
    """

    def __init__(self, texts: Texts) -> None:
        sought = dict.fromkeys(text for of_level in texts.values() for text in of_level or ())
        self._texts_and_levels = _database(map(_plain, sought), *([level] for level in LEVELS.values()))
        self._hiding = _database([HIDING])
        self._run = _run()
        self._leaving = cache(lambda expression: _database([expression]))

    def look(self, block: bytes) -> tuple[list[int], Positions]:
        """See `Scan`."""
        levels: Positions = {level: [] for level in LEVELS}
        marks = self._others(block)
        _note(self._texts_and_levels, block, marks, *levels.values())
        if _may_hide(block):
            _note(self._hiding, block, marks)
        return marks, levels

    def prepare(self) -> None:
        """See `Scan`."""
        for expression in LEAVINGS:
            self._leaving(expression)

    def _others(self, block: bytes) -> list[int]:
        expression = leaving(block)
        if expression is None:
            return [*others(self._run, block)]
        marks: list[int] = []
        _note(self._leaving(expression), block, marks)
        return marks


def _database(*kinds: Iterable[bytes]) -> Database:
    """One that tells of a match of which kind of expressions it was.

    It takes a block in pieces, of which ours has one: for whole blocks Hyperscan adds an automaton of its own for those
    of a few bytes, which takes 25 ms and 9 MB to make.
    """
    table = [(expression, kind) for kind, expressions in enumerate(kinds) for expression in expressions]
    database = hyperscan.Database(mode=hyperscan.HS_MODE_VECTORED)
    database.compile(
        expressions=[expression for expression, _ in table],
        ids=[kind for _, kind in table],
        elements=len(table),
        flags=[hyperscan.HS_FLAG_MULTILINE | hyperscan.HS_FLAG_DOTALL] * len(table),
    )
    return database


def _note(database: Database, block: bytes, *found: list[int]) -> None:
    """Add the last byte of every match to the list of its kind."""

    def hit(kind: int, _start: int, end: int, _flags: int, _context: object) -> None:
        found[kind].append(end - 1)

    database.scan([block], match_event_handler=hit)  # type: ignore[type-var]  # its stub knows no pieces


class Standard:
    """`re` leaps over runs of lines at INFO; what it leaps over is searched text by text, which is fast in C."""

    def __init__(self, texts: Texts) -> None:
        self._texts = texts["INFO"] or ()
        self._run = _run()
        self._hiding = re.compile(HIDING)

    def look(self, block: bytes) -> tuple[list[int], Positions]:
        """See `Scan`; it marks every line that is not at INFO."""
        marks = [*others(self._run, block), *self._found(block), *self._hidings(block)]
        return marks, {}

    def prepare(self) -> None:
        """See `Scan`: nothing is left to do."""

    def _found(self, block: bytes) -> Iterator[int]:
        for text in self._texts:
            if holds(block, text):
                yield from _each(block, text)

    def _hidings(self, block: bytes) -> Iterator[int]:
        for byte in _HIDING_BYTES:
            for at in _each(block, byte):
                if self._hiding.search(block, max(at - 1, 0), at + 1):
                    yield at


def _run() -> re.Pattern[bytes]:
    """Any number of ordinary lines at INFO."""
    return re.compile(rb"(?:(?:" + INFO + rb".*+|" + ordinary(["INFO"]) + rb")\n)*+")


def others(run: re.Pattern[bytes], block: bytes) -> Iterator[int]:
    """The start of each line that is in no run."""
    at = 0
    while (at := run.match(block, at).end()) < len(block):  # type: ignore[union-attr]  # it matches the empty run too
        yield at
        at = block.find(b"\n", at) + 1


def _finder() -> Callable[[bytes, bytes], bool]:
    """Whether a text stands in a block: libc is asked where there is one, in half the time that Python takes."""
    try:
        memmem = ctypes.CDLL(None).memmem
    except (OSError, TypeError, AttributeError):
        return operator.contains
    memmem.restype = ctypes.c_void_p
    memmem.argtypes = (ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t)
    return lambda block, text: memmem(block, len(block), text, len(text)) is not None


holds = _finder()


def _each(block: bytes, text: bytes) -> Iterator[int]:
    """Where a text stands, in a quarter of the time that `re` takes for a byte that is rare."""
    at = block.find(text)
    while at >= 0:
        yield at
        at = block.find(text, at + 1)


def _may_hide(block: bytes) -> bool:
    return any(byte in block for byte in _HIDING_BYTES)


def _plain(text: bytes) -> bytes:
    """An expression for exactly these bytes, in which no byte means anything else."""
    return b"".join(b"\\x%02x" % byte for byte in text)
