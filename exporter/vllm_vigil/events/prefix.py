"""How an ordinary line begins: vLLM's and uvicorn's prefixes at a quiet level, as one grammar in two notations.

`re` is asked whether a line begins so; Hyperscan, which knows no "does not match", is asked for the first byte at which
a line leaves the grammar. The grammar is a tree in which a byte has one way to go, so a line that leaves it does so at
one byte. It is narrower than `shape.read`: what it takes for one has that level there too, but not all of that is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from vllm_vigil.events.ordinary import START

_DIGIT = "0-9"
_NAME = "A-Za-z0-9_"
_SOURCE = "A-Za-z0-9_./"

QUIET = ("DEBUG", "INFO", "WARNING")
"""Levels of which a record can be of no interest; every ERROR is an event, and raw text may be a traceback."""
SAMPLE_BYTES = 2048

Step = tuple[str, bool]  # a class of bytes, and whether it repeats


@dataclass(slots=True)
class Node:
    """One step of the grammar and those that may follow it; without any it is the end of a prefix."""

    chars: str
    repeats: bool = False
    next: list[Node] = field(default_factory=list)

    def grow(self, steps: list[Step]) -> None:
        """Add a way to go on; what it has in common with others is shared."""
        node = self
        for chars, repeats in steps:
            known = next((child for child in node.next if (child.chars, child.repeats) == (chars, repeats)), None)
            if known is None:
                known = Node(chars, repeats)
                node.next.append(known)
            node = known

    def leaving(self) -> str:
        """An expression that ends with the first byte which is none of the grammar."""
        allowed = "".join(child.chars for child in self.next) + (self.chars if self.repeats else "")
        ways = [f"[^{allowed}]", *(child.leaving() for child in self.next if child.next)]
        here = f"[{self.chars}]{'+' if self.repeats else ''}" if self.chars else ""
        return f"{here}(?:{'|'.join(ways)})"


def _text(text: str) -> list[Step]:
    return [(char if char.isalnum() else f"\\x{ord(char):02x}", False) for char in text]


def _process() -> list[Step]:
    return [*_text("("), (_NAME, True), *_text(" pid="), (_DIGIT, True), *_text(")")]


_COLOUR: list[Step] = [*_text("\x1b["), ("0-9;", True), *_text("m")]
_BARE: list[Step] = []
_NAMED = [*_process(), *_text(" ")]
_COLOURED = [*_COLOUR, *_process(), *_COLOUR, *_text(" ")]  # 0.4.2 to 0.15.1 colour it in files too


def _leaving(*processes: list[Step]) -> bytes:
    digits: list[Step] = [(_DIGIT, False), (_DIGIT, False)]
    day = [*digits, *_text("-"), *digits, *_text(" ")]
    time = [*digits, *_text(":"), *digits, *_text(":"), *digits, *_text(" ")]
    source = [(_SOURCE, True), *_text(":"), (_DIGIT, True), *_text("] ")]
    root = Node("")
    for process in processes:
        for level in QUIET:
            root.grow([*process, *_text(f"{level} "), *day, *time, *_text("["), *source])
            root.grow([*process, *_text(f"{level} "), *day, *time, *source])  # to 0.7
        root.grow([*process, *_text("INFO:     ")])
    return f"^{root.leaving()}".encode()


_ONE_KIND = (
    (frozenset(b"("), _leaving(_NAMED)),
    (frozenset(b"DIW"), _leaving(_BARE)),
    (frozenset(b"\x1b"), _leaving(_COLOURED)),
)
_ANY_KIND = _leaving(_BARE, _NAMED, _COLOURED)
LEAVINGS = (*(found for _, found in _ONE_KIND), _ANY_KIND)
"""All that `leaving` may give."""


def leaving(block: bytes) -> bytes | None:
    """For Hyperscan, MULTILINE: an expression that ends at the byte at which a line shows that it is not ordinary.

    Where the first lines are all of one kind it takes only that for ordinary: so it runs twice as fast, and a line of
    another kind costs a look. There is none where some are JSON, which leaves its grammar in too many ways.
    """
    firsts = {line[0] for line in block[:SAMPLE_BYTES].split(b"\n") if line}
    if START[0] in firsts:
        return None
    return next((found for kind, found in _ONE_KIND if firsts <= kind), _ANY_KIND)


_PROCESS = rb"(?:(?:\x1b\[[0-9;]+m\([A-Za-z0-9_]+ pid=[0-9]+\)\x1b\[[0-9;]+m|\([A-Za-z0-9_]+ pid=[0-9]+\)) )?"
PROCESS = _PROCESS.replace(b"]+", b"]++") + b"+"
WHEN = rb" [0-9][0-9]-[0-9][0-9] [0-9][0-9]:[0-9][0-9]:[0-9][0-9] "
_WHERE = rb"\[?+[A-Za-z0-9_./]++:[0-9]++\] "
INFO = PROCESS + rb"INFO(?::     |" + WHEN + _WHERE + rb")"
ORDINARY = re.compile(PROCESS + rb"(?:INFO:     |(?P<level>DEBUG|INFO|WARNING)" + WHEN + _WHERE + rb")")
LEVELS = {level: b"^" + _PROCESS + level.encode() + b" " for level in QUIET if level != "INFO"}
"""For Hyperscan, MULTILINE: expressions that match once in each ordinary line of the level."""

RECORD = re.compile(PROCESS + rb"(?P<level>DEBUG|INFO|WARNING|ERROR|CRITICAL)" + WHEN + _WHERE)
"""The prefix of a record of vLLM's; its whole match is the same on every line of the record."""

_TIMED = (b"INFO ", b"WARNING ", b"DEBUG ", START)


def last_timed(block: bytes, low: int, high: int) -> tuple[int, int] | None:
    """The last line that says a time, of whole lines that a sieve has left out."""
    latest = -1
    for token in _TIMED:
        at = block.rfind(token, max(low, latest), high)
        while at >= 0:
            start = block.rfind(b"\n", 0, at) + 1
            if RECORD.match(block, start) or block.startswith(START, start):
                latest = max(latest, start)
                break
            at = block.rfind(token, max(low, latest), start)
    return (latest, block.find(b"\n", latest)) if latest >= 0 else None
