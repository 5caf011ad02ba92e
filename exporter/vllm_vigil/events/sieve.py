"""Blocks of one file -> the spans of the lines that `record.py` must see, and the levels of the others.

The promise: the events are those of reading every line, and so are the counts. What is left out is complete in itself
and of no row's interest: at INFO what the scan does not give, at DEBUG and WARNING what holds none of the texts.
That holds while no record is held open: then the joiner looks into what was left out, as far as that record goes. A
WARNING may go on unmarked while the file has shown no mark (CR LF), so until then all of them are given.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import cache

from vllm_vigil.events.pattern import Pattern
from vllm_vigil.events.prefix import DOCUMENT, ORDINARY, RECORD, last_timed
from vllm_vigil.events.scan import Scan, Span, scan

_HIDING = (b"\0", b"\xc2\x9b", b"\x1b")
_ORDINARY = re.compile(ORDINARY)
QUIET = ("DEBUG", "INFO", "WARNING")
"""Levels of which a record can be of no interest; every ERROR is an event, and raw text may be a traceback."""


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
        if not any(text in joined for text in (*_HIDING, *texts)):  # in C, and nearly always so
            return [True] * len(lines)
        return [expression.search(line) is None and not _hides(line) for line in lines]


class Sieve:
    """For one file. `scan` may be shared among files, as it has no state."""

    def __init__(self, texts: Texts, by: Scan) -> None:
        self._texts = texts
        self._scan = by
        self._marked = False

    def sift(self, block: bytes) -> tuple[list[Span], list[tuple[int, str]]]:
        """The spans of the lines to be read; where each of the others begins that is not at INFO, and its level.

        The block is of whole lines.
        """
        given: list[Span] = []
        maybe: dict[str, list[Span]] = {level: [] for level in QUIET}
        for start, end in self._scan.spans(block):
            level = self._quiet(block, start, end)
            (maybe[level] if level else given).append((start, end))
        levels: list[tuple[int, str]] = []
        for level, spans in maybe.items():
            unheard = self._texts.unheard(level, [block[start:end] for start, end in spans]) if spans else []
            given += [span for span, out in zip(spans, unheard, strict=True) if not out]
            if level != "INFO":
                levels += [(span[0], level) for span, out in zip(spans, unheard, strict=True) if out]
        return sorted(given), sorted(levels)

    def last_timed(self, block: bytes, low: int, high: int) -> Span | None:
        """See `last_timed`."""
        return last_timed(block, low, high)

    def _quiet(self, block: bytes, start: int, end: int) -> str:
        """The level of a line that may be of no interest, "" for one that must be read."""
        if block[end - 1 : end] == b"\r":
            self._marked = self._marked or RECORD.match(block, start, end) is not None
            return ""
        match = RECORD.match(block, start, end)
        if match:
            level = match["level"].decode()
            quiet = level == "DEBUG" or (level == "WARNING" and self._marked)
            return level if quiet and block.find(b"\r", start, end) < 0 else ""
        document = DOCUMENT.fullmatch(block, start, end)
        return document["level"].decode() if document else ""


class Gate:
    """The same for lines that come one by one: whether one is surely an ordinary record at INFO."""

    def __init__(self, rows: Iterable[Pattern]) -> None:
        self._texts = Texts(rows).by_level["INFO"]

    def passes(self, data: bytes) -> bool:
        """Whether the line need not be read while no record is open. It has no line end, and nothing rewrote it."""
        if self._texts is None or not _ORDINARY.match(data):
            return False
        for text in self._texts:
            if text in data:
                return False
        return b"\r" not in data and not _hides(data)


def sieves(rows: Iterable[Pattern]) -> Callable[[], Sieve | None]:
    """What makes a sieve for each file, for these rows; it makes none if a row looks at every line at INFO.

    The scan that they share is made with the first: it costs 0.1 s and some memory, and not everybody has a log.
    """
    texts = Texts(rows)
    at_info = texts.by_level["INFO"]
    shared = cache(lambda: scan(at_info or ()))
    return lambda: None if at_info is None else Sieve(texts, shared())


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
