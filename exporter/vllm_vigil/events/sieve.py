"""Blocks of one file -> the spans of the lines that `record.py` must see, and where others stand that are not at INFO.

The promise: the events are those of reading every line, and so are the counts. What is left out is an ordinary record
of a quiet level, in which none of the texts stands that a row looks for at that level. While a record is held open the
joiner looks into what was left out, as far as that record goes, and back into it when a line goes on with a record
that began there.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterable
from functools import cache

from vllm_vigil.events.ordinary import level_in, ordinary
from vllm_vigil.events.pattern import Pattern
from vllm_vigil.events.prefix import INFO, ORDINARY, QUIET, last_timed
from vllm_vigil.events.scan import Positions, Scan, Span, holds, scan, spans

_HIDING = (b"\0", b"\xc2\x9b", b"\x1b")
_INFO = re.compile(INFO)


class Texts:
    """What must stand in a record of a level for any row to look at it, None for a level at which all are looked at."""

    def __init__(self, rows: Iterable[Pattern]) -> None:
        table = tuple(rows)
        self.by_level = {level: _texts(table, level) for level in QUIET}
        self._found = {level: _any(texts) for level, texts in self.by_level.items()}

    def unheard(self, level: str, lines: list[bytes]) -> list[bool]:
        """Of each line whether none of the level's texts stands in it."""
        expression = self._found[level]
        texts = self.by_level[level]
        if texts is None or expression is None:
            return [texts is not None] * len(lines)
        joined = b"\n".join(lines)
        if not any(holds(joined, text) for text in (*_HIDING, *texts)):  # in C, and nearly always so
            return [True] * len(lines)
        return [expression.search(line) is None and not _hides(line) for line in lines]


class Sieve:
    """Has no state, and may be shared among files."""

    def __init__(self, texts: Texts, by: Scan) -> None:
        self._texts = texts
        self._scan = by
        self._document = re.compile(ordinary(QUIET))

    def sift(self, block: bytes) -> tuple[list[Span], Positions]:
        """The spans of the lines to be read; a byte of each of the others that is not at INFO, by its level.

        The block is of whole lines.
        """
        marks, levels = self._scan.look(block)
        for level, positions in levels.items():
            if self._texts.by_level[level] is None:
                marks += positions
        given: list[Span] = []
        maybe: dict[str, list[Span]] = {level: [] for level in QUIET}
        for start, end in spans(block, marks):
            for positions in filter(None, levels.values()):
                del positions[bisect_left(positions, start) : bisect_left(positions, end)]
            level = self._level(block, start, end)
            (maybe[level] if level else given).append((start, end))
        for level, lines in maybe.items():
            unheard = self._texts.unheard(level, [block[start:end] for start, end in lines]) if lines else []
            given += [span for span, out in zip(lines, unheard, strict=True) if not out]
            if level != "INFO" and any(unheard):
                found = [start for (start, _), out in zip(lines, unheard, strict=True) if out]
                levels[level] = sorted([*levels.get(level, ()), *found])
        return sorted(given), levels

    def _level(self, block: bytes, start: int, end: int) -> str:
        """The level of a line that may be of no interest, "" for one that must be read."""
        if block.find(b"\r", start, end) >= 0:
            return ""
        plain = ORDINARY.match(block, start, end)
        if plain:
            return (plain["level"] or b"INFO").decode()
        document = self._document.fullmatch(block, start, end)
        return level_in(document) if document else ""

    def last_timed(self, block: bytes, low: int, high: int) -> Span | None:
        """See `last_timed`."""
        return last_timed(block, low, high)


class Gate:
    """The same for lines that come one by one: whether one is surely an ordinary record at INFO."""

    def __init__(self, rows: Iterable[Pattern]) -> None:
        self._texts = Texts(rows).by_level["INFO"]

    def passes(self, data: bytes) -> bool:
        """Whether the line need not be read while no record is open. It has no line end, and nothing rewrote it."""
        if self._texts is None or not _INFO.match(data):
            return False
        for text in self._texts:
            if text in data:
                return False
        return b"\r" not in data and not _hides(data)


def sieves(rows: Iterable[Pattern], *, prepared: bool = False) -> Callable[[], Sieve | None]:
    """What makes a sieve for each file, for these rows; it makes none if a row looks at every line at INFO.

    The scan that they share is made with the first: it costs some time and memory, and not everybody has a log. A
    `prepared` one costs more of both, and lets the first line that it is shown not wait for what it lacks.
    """
    texts = Texts(rows)

    @cache
    def shared() -> Scan:
        made = scan(texts.by_level)
        if prepared:
            made.prepare()
        return made

    return lambda: None if texts.by_level["INFO"] is None else Sieve(texts, shared())


def _texts(rows: tuple[Pattern, ...], level: str) -> tuple[bytes, ...] | None:
    looking = [row for row in rows if level in row.levels]
    if any(not row.literals for row in looking):
        return None
    return tuple(dict.fromkeys(text.encode() for row in looking for text in row.literals))


def _any(texts: tuple[bytes, ...] | None) -> re.Pattern[bytes] | None:
    return re.compile(b"|".join(re.escape(text) for text in texts)) if texts else None


def _hides(line: bytes) -> bool:
    """Whether something in the line could hide a text; the process part alone may be coloured."""
    return b"\0" in line or b"\xc2\x9b" in line or line.count(b"\x1b") != 2 * line.startswith(b"\x1b")
