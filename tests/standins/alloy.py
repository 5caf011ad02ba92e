"""Reads Grafana Alloy's configuration syntax: blocks, attributes, and the expressions that our files use.

Written from the published grammar, since no program of Grafana's is to be had where the tests run: it is strict where
the grammar is (commas, terminators, strings) and knows nothing of what a component means.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

TOKEN = re.compile(
    r"""(?P<skip>[ \t\r]+|//[^\n]*|/\*.*?\*/)|(?P<line>\n)|(?P<raw>`[^`]*`)|(?P<text>"(?:\\.|[^"\\\n])*")"""
    r"""|(?P<number>-?\d+(?:\.\d+)?)|(?P<name>[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)|(?P<mark>[{}\[\](),=])""",
    re.DOTALL,
)


@dataclass(frozen=True)
class Reference:
    """Another component's export, such as `loki.write.loki.receiver`."""

    name: str


@dataclass(frozen=True)
class Call:
    """A call of the standard library."""

    name: str
    arguments: tuple[Any, ...]


@dataclass
class Block:
    """`name "label" { attributes and blocks }`."""

    name: str
    label: str = ""
    attributes: dict[str, Any] = field(default_factory=dict)
    blocks: list[Block] = field(default_factory=list)


def parse(text: str) -> Block:
    """The file as a nameless block; a SyntaxError with its line where it is not Alloy."""
    reader = _Reader(text)
    root = Block("")
    reader.body(root, end="")
    return root


class _Reader:
    def __init__(self, text: str) -> None:
        self._tokens = [*_tokens(text), ("line", "\n", text.count("\n")), ("end", "", text.count("\n"))]
        self._at = 0

    def body(self, block: Block, end: str) -> None:
        while True:
            self._lines()
            kind, text, _ = self._next()
            if text == end and kind in {"mark", "end"}:
                return
            self._expect(kind == "name", "an attribute or a block")
            self._statement(block, text)

    def _statement(self, block: Block, name: str) -> None:
        kind, text, _ = self._next()
        if text == "=":
            self._expect(name not in block.attributes, f"{name} once")
            block.attributes[name] = self._value()
        else:
            inner = Block(name)
            if kind == "text":
                inner.label, (_, text, _) = json.loads(text), self._next()
            self._expect(text == "{", "{")
            self.body(inner, end="}")
            block.blocks.append(inner)
        self._expect(self._peek()[0] in {"line", "end"} or self._peek()[1] == "}", "the end of the line")

    def _value(self) -> Any:
        kind, text, _ = self._next()
        if kind in {"text", "raw", "number"}:
            return text[1:-1] if kind == "raw" else json.loads(text)
        if text == "[":
            return self._items("]", self._value)
        if text == "{":
            return dict(self._items("}", self._pair))
        self._expect(kind == "name", "a value")
        if self._peek()[1] == "(":
            self._next()
            return Call(text, tuple(self._items(")", self._value)))
        return {"true": True, "false": False, "null": None}.get(text, Reference(text))

    def _pair(self) -> tuple[str, Any]:
        kind, text, _ = self._next()
        self._expect(kind in {"name", "text"}, "a key")
        self._expect(self._next()[1] == "=", "=")
        return (json.loads(text) if kind == "text" else text), self._value()

    def _items(self, end: str, read: Any) -> list[Any]:
        items: list[Any] = []
        self._lines()
        while self._peek()[1] != end:
            items.append(read())
            comma = self._peek()[1] == ","
            if comma:
                self._next()
            self._expect(comma or self._peek()[1] == end, f"a comma or {end} on the same line")
            self._lines()
        self._next()
        return items

    def _lines(self) -> None:
        while self._peek()[0] == "line":
            self._at += 1

    def _peek(self) -> tuple[str, str, int]:
        return self._tokens[self._at]

    def _next(self) -> tuple[str, str, int]:
        self._at += 1
        return self._tokens[self._at - 1]

    def _expect(self, true: bool, what: str) -> None:  # noqa: FBT001 - reads as a sentence
        if not true:
            _, text, line = self._tokens[self._at - 1]
            raise SyntaxError(f"line {line + 1}: expected {what} near {text!r}")


def _tokens(text: str) -> list[tuple[str, str, int]]:
    found, at = [], 0
    while at < len(text):
        match = TOKEN.match(text, at)
        if match is None or match.lastgroup is None:
            raise SyntaxError(f"line {text.count(chr(10), 0, at) + 1}: {text[at : at + 20]!r}")
        if match.lastgroup != "skip":
            found.append((match.lastgroup, match.group(), text.count("\n", 0, at)))
        at = match.end()
    return found
