"""The text of a `/metrics` page -> its Samples, or the words why it is none.

prometheus_client's parser is the model: this one gives the same samples and refuses the same pages, 25 times faster.
Two thoughts make it so. From one page to the next nothing but numbers changes, so what a line is called is worked out
once and kept while the page keeps its shape. And a server writes plain lines (`name{label="value"} 1.0`): whatever is
not plain, such as odd spacing, timestamps, exemplars or quoted names, is given to prometheus_client line by line.

One bad line fails the page, as in Prometheus: what stands beside it cannot be trusted either. A page without a line
end at its end was cut: its last number may have lost digits and still look like one. One thing differs from the
model: a counter whose sample lacks `_total` keeps the name that it has on the wire.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import compress
from operator import not_

from prometheus_client.parser import text_string_to_metric_families

from vllm_vigil.model import Family, Labels, Samples

Key = tuple[str, Labels]
_UNDECLARED = Family("untyped")
KINDS = frozenset({"counter", "gauge", "histogram", "summary", "untyped"})

_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_COMMENT = re.compile(r"# (HELP|TYPE) ([a-zA-Z_:][a-zA-Z0-9_:]*) (.*)")
_PAIR = re.compile(r'(?!__)([a-zA-Z_][a-zA-Z0-9_]*)="([^"\\]*(?:\\.[^"\\]*)*)"[,}]')
_ESCAPE = re.compile(r'\\([\\n"])')


@dataclass(frozen=True, slots=True)
class _Shape:
    """What the lines of a page are: comments, as they stand, and samples, up to the space before their number."""

    is_sample: tuple[bool, ...] = ()
    is_comment: tuple[bool, ...] = ()
    comments: tuple[str, ...] = ()
    beginnings: tuple[str, ...] = ()
    keys: tuple[Key, ...] = ()
    families: Mapping[str, Family] = field(default_factory=dict)

    def read(self, lines: list[str]) -> Samples | None:
        """The samples of a page of this shape; None if it has another, or a number wants to be looked at."""
        if len(lines) != len(self.is_sample) or tuple(compress(lines, self.is_comment)) != self.comments:
            return None
        samples = list(compress(lines, self.is_sample))
        if not all(map(str.startswith, samples, self.beginnings)):
            return None
        try:
            values = tuple(map(_Numbers().__getitem__, map(str.removeprefix, samples, self.beginnings)))
        except (ValueError, OverflowError):
            return None
        return Samples(self.keys, values, self.families)


class Parser:
    """Parses the pages of one server, one after the other. It remembers the shape of the last, and nothing else."""

    def __init__(self) -> None:
        self._shape = _Shape()

    def parse(self, body: bytes) -> tuple[Samples, str | None]:
        """Samples of a page in Prometheus' text format, or the words why it is none."""
        if body.lstrip()[:1] == b"<":
            return Samples(), "the page is not an exposition but HTML or XML: is the url that of vLLM?"
        if body and not body.endswith(b"\n"):
            return Samples(), "the page was cut short: its last line has no end"
        try:
            lines = body.decode().split("\n")[:-1]
            samples = self._shape.read(lines)
            if samples is None:
                samples, self._shape = _learnt(lines, self._shape)
        except (ValueError, IndexError, OverflowError) as error:  # UnicodeDecodeError is the first
            return Samples(), f"the page is not an exposition: {_shown(error)}"
        return samples, None if samples else "the page holds no samples at all"


def _learnt(lines: list[str], before: _Shape) -> tuple[Samples, _Shape]:
    """A page read line by line, and its shape; that of an earlier page, if this one has odd lines."""
    known = dict(zip(before.beginnings, before.keys, strict=True))
    numbers, heads, plain = _Numbers(), _Heads(), True
    keys: list[Key] = []
    values: list[float] = []
    beginnings: list[str] = []
    is_sample: list[bool] = []
    families: dict[str, Family] = {}
    for line in lines:
        if line[:1] == "#":
            is_sample.append(False)
            plain = _declare(families, line) and plain
            continue
        head, space, tail = line.rpartition(" ")
        beginning = head + space
        key = (known.get(beginning) if known else None) or heads.key(head)
        value = numbers.get(tail)
        if value is None:
            value = numbers.find(tail)
        if key is None or value is None:
            plain = False
            key, value = _odd(line)
            if key is None:
                continue
        keys.append(key)
        values.append(value)
        beginnings.append(beginning)
        is_sample.append(True)
    samples = Samples(tuple(keys), tuple(values), families)
    return samples, _shape(lines, is_sample, beginnings, samples) if plain else before


def _shape(lines: list[str], is_sample: list[bool], beginnings: list[str], samples: Samples) -> _Shape:
    is_comment = tuple(map(not_, is_sample))
    return _Shape(
        tuple(is_sample),
        is_comment,
        tuple(compress(lines, is_comment)),
        tuple(beginnings),
        samples.keys,
        samples.families,
    )


class _Heads:
    """Reads the plain beginnings of lines. Label sets repeat from name to name, and buckets differ in `le` alone."""

    def __init__(self) -> None:
        self._names: set[str] = set()
        self._sets: dict[str, Labels | None] = {}
        self._around: dict[tuple[str, str], tuple[Labels, Labels]] = {}

    def key(self, head: str) -> Key | None:
        """Name and labels; None if the line is not plain."""
        name, _, body = head.partition("{")
        if name not in self._names:
            if not _NAME.fullmatch(name):
                return None
            self._names.add(name)
        if not body:
            return (name, ()) if name == head else None
        pairs = self._sets.get(body) or self._labels(body)
        return None if pairs is None else (name, pairs)

    def _labels(self, body: str) -> Labels | None:
        before, found, rest = body.partition('le="')
        le, _, after = rest.partition('"')
        around = self._around.get((before, after))
        if around is not None and found and "\\" not in le:
            return (*around[0], ("le", le), *around[1])
        if not found or (before and before[-1] != ","):
            pairs = self._sets[body] = _plain_labels(body)
            return pairs
        pairs = _plain_labels(body)
        if pairs is not None and ("le", le) in pairs:
            at = pairs.index(("le", le))
            self._around[before, after] = pairs[:at], pairs[at + 1 :]
        return pairs


def _declare(families: dict[str, Family], line: str) -> bool:
    """Take in a comment; whether it is a plain one. Raises ValueError, as prometheus_client does, for a bad one."""
    match = _COMMENT.fullmatch(line)
    what, name, text = match.groups() if match else ("", "", "")
    if not (text.strip() if what == "HELP" else text in KINDS):
        _odd(line)
        return False
    kind, help_ = families.get(name, _UNDECLARED)
    families[name] = Family(kind, text) if what == "HELP" else Family(text, help_)
    return True


def _odd(line: str) -> tuple[Key | None, float]:
    """What prometheus_client makes of a line alone; it raises ValueError, or IndexError, for one that is none."""
    for family in text_string_to_metric_families(line):
        for sample in family.samples:
            return (sample.name, tuple(sorted(sample.labels.items()))), float(sample.value)
    return None, 0.0


def parse(body: bytes) -> tuple[Samples, str | None]:
    """A page alone: its samples, or the words why it is none."""
    return Parser().parse(body)


def _plain_labels(body: str) -> Labels | None:
    """The labels of what follows the brace; None if it is not plain."""
    pairs: list[tuple[str, str]] = _PAIR.findall(body)
    covered = sum([len(label) + len(value) for label, value in pairs]) + 4 * len(pairs)
    if covered != len(body) or body.find('"}') != len(body) - 2 or len(dict(pairs)) != len(pairs):
        return None
    if "\\" in body:
        pairs = [(label, _ESCAPE.sub(_unescaped, value)) for label, value in pairs]
    pairs.sort()
    return tuple(pairs)


def _unescaped(match: re.Match[str]) -> str:
    return "\n" if match[1] == "n" else match[1]


class _Numbers(dict[str, float]):
    """The numbers of one page by their text. They repeat so much that looking them up is twice as fast as reading."""

    def __missing__(self, text: str) -> float:
        """As prometheus_client reads it: no underscores, and no whole number that a float cannot hold."""
        value = float(text)
        if "_" in text:
            raise ValueError(f"Invalid value: {text!r}")
        if math.isinf(value) and text.strip("+-").isdecimal():
            raise OverflowError("int too large to convert to float")
        self[text] = value
        return value

    def find(self, text: str) -> float | None:
        """The number, None if the text is not a plain one."""
        try:
            return self[text]
        except (ValueError, OverflowError):
            return None


def _shown(error: BaseException) -> str:
    text = f"{error}" or type(error).__name__
    return ascii(text[:120])[1:-1]
