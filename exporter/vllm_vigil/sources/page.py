"""The text of a `/metrics` page -> its Samples, or the words why it is none.

prometheus_client's parser is the model: this one gives the same samples and refuses the same pages, 60 times faster.
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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import compress
from operator import not_

from prometheus_client.parser import text_string_to_metric_families

from vllm_vigil.model import Family, Labels, Samples

Key = tuple[str, Labels]

_METRIC = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
_NAME = re.compile(_METRIC)
_HELP = re.compile(rf"\n# HELP ({_METRIC}) (.*\S.*)")
_TYPE = re.compile(rf"\n# TYPE ({_METRIC}) (counter|gauge|histogram|summary|untyped)(?=\n)")
_PAIR = re.compile(r'(?!__)([a-zA-Z_][a-zA-Z0-9_]*)="([^"\\]*(?:\\.[^"\\]*)*)"[,}]')
_ESCAPE = re.compile(r'\\([\\n"])')


@dataclass(frozen=True, slots=True)
class _Shape:
    """What the lines of a page are: comments, as they stand, and samples, up to the space before their number.

    `length` is that of all beginnings together.
    """

    is_comment: tuple[bool, ...]
    is_sample: tuple[bool, ...]
    comments: tuple[str, ...]
    beginnings: tuple[str, ...]
    length: int
    keys: tuple[Key, ...]
    families: Mapping[str, Family]

    def read(self, lines: list[str]) -> Samples | None:
        """The samples of a page of this shape; None if it has another, or a number wants to be looked at."""
        if len(lines) != len(self.is_sample) or tuple(compress(lines, self.is_comment)) != self.comments:
            return None
        samples = list(compress(lines, self.is_sample))
        numbers = list(map(str.removeprefix, samples, self.beginnings))
        if len("".join(samples)) - len("".join(numbers)) != self.length:
            return None  # a line that begins otherwise was left whole
        values = _values(numbers)
        return None if values is None else Samples(self.keys, values, self.families)


class Parser:
    """Parses the pages of one server, one after the other. It remembers the shape of the last, and nothing else."""

    def __init__(self) -> None:
        self._shape: _Shape | None = None

    def parse(self, body: bytes) -> tuple[Samples, str | None]:
        """Samples of a page in Prometheus' text format, or the words why it is none."""
        if body.lstrip()[:1] == b"<":
            return Samples(), "the page is not an exposition but HTML or XML: is the url that of vLLM?"
        if body and not body.endswith(b"\n"):
            return Samples(), "the page was cut short: its last line has no end"
        try:
            samples = self._read(body.decode().split("\n")[:-1])
        except (ValueError, IndexError, OverflowError) as error:  # UnicodeDecodeError is the first
            return Samples(), f"the page is not an exposition: {_shown(error)}"
        return samples, None if samples else "the page holds no samples at all"

    def _read(self, lines: list[str]) -> Samples:
        samples = self._shape.read(lines) if self._shape else None
        if samples is None:
            self._shape = _shape_of(lines)
            samples = self._shape.read(lines) if self._shape else None
        return _one_by_one(lines) if samples is None else samples


def parse(body: bytes) -> tuple[Samples, str | None]:
    """A page alone: its samples, or the words why it is none."""
    return Parser().parse(body)


def _shape_of(lines: list[str]) -> _Shape | None:
    """What can be known of a page but its numbers; None if it has odd lines, which must be read each time."""
    is_comment = tuple([line[:1] == "#" for line in lines])
    is_sample = tuple(map(not_, is_comment))
    comments = tuple(compress(lines, is_comment))
    families = _families(comments)
    heads = [line.rpartition(" ")[0] for line in compress(lines, is_sample)]
    keys = tuple([key for key in map(_Heads().key, heads) if key is not None])
    if len(keys) < len(heads):
        return None
    beginnings = tuple([f"{head} " for head in heads])
    return _Shape(is_comment, is_sample, comments, beginnings, len("".join(beginnings)), keys, families)


def _one_by_one(lines: list[str]) -> Samples:
    """The samples of a page with odd lines."""
    families = _families([line for line in lines if line[:1] == "#"])
    heads = _Heads()
    found: list[tuple[Key, float]] = []
    for line in lines:
        head, _, number = line.rpartition(" ")
        key, values = heads.key(head), _values([number])
        found += _odd(line) if key is None or values is None else [(key, values[0])]
    return Samples(tuple([key for key, _ in found]), tuple([value for _, value in found]), families)


def _families(comments: Sequence[str]) -> Mapping[str, Family]:
    """What the comments declare. Raises ValueError, as prometheus_client does, for a bad one."""
    text = "\n".join(("", *comments, ""))
    helps, kinds = _HELP.findall(text), _TYPE.findall(text)
    if len(helps) + len(kinds) != len(comments):
        for comment in comments:
            _odd(comment)
    help_of, kind_of = dict(helps), dict(kinds)
    return {name: Family(kind_of.get(name, "untyped"), help_of.get(name, "")) for name in help_of | kind_of}


def _odd(line: str) -> list[tuple[Key, float]]:
    """What prometheus_client makes of a line alone; it raises ValueError, or IndexError, for one that is none."""
    return [
        ((sample.name, tuple(sorted(sample.labels.items()))), float(sample.value))
        for family in text_string_to_metric_families(line)
        for sample in family.samples
    ]


class _Heads:
    """Reads the plain beginnings of lines. Label sets repeat from name to name, and buckets differ in `le` alone."""

    def __init__(self) -> None:
        self._names: set[str] = set()
        self._sets: dict[str, Labels | None] = {}
        self._around: dict[tuple[str, str], tuple[Labels, Labels]] = {}

    def key(self, head: str) -> Key | None:
        """Name and labels; None if the line is not plain."""
        name, brace, body = head.partition("{")
        if name not in self._names:
            if not _NAME.fullmatch(name):
                return None
            self._names.add(name)
        if not brace:
            return name, ()
        try:
            pairs = self._sets[body]
        except KeyError:
            pairs = self._sets[body] = self._labels(body)
        return None if pairs is None else (name, pairs)

    def _labels(self, body: str) -> Labels | None:
        before, found, rest = body.partition('le="')
        le, _, after = rest.partition('"')
        around = self._around.get((before, after))
        if around is not None and "\\" not in le:
            return (*around[0], ("le", le), *around[1])
        pairs = _plain_labels(body)
        if found and pairs is not None and ("le", le) in pairs and _is_closed(before):
            at = pairs.index(("le", le))
            self._around[before, after] = pairs[:at], pairs[at + 1 :]
        return pairs


def _is_closed(text: str) -> bool:
    """Whether the next label begins after this text: it does not end within a name or a value."""
    return text[-1:] in {"", ","} and "\\" not in text and text.count('"') % 2 == 0


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


def _values(texts: Sequence[str]) -> tuple[float, ...] | None:
    """Numbers from their texts; None if one is odd, as prometheus_client sees it: `1_0`, or 400 nines."""
    try:
        values = tuple(map(float, texts))
    except ValueError:
        return None
    if "_" in "".join(texts):
        return None
    if not math.isfinite(sum(values)) and any(map(_too_large, values, texts)):
        return None
    return values


def _too_large(value: float, text: str) -> bool:
    return math.isinf(value) and text.strip().strip("+-").isdecimal()


def _shown(error: BaseException) -> str:
    text = f"{error}" or type(error).__name__
    return ascii(text[:120])[1:-1]
