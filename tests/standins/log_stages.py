"""Runs the stages of a Loki log pipeline over lines as Alloy and Promtail do, by their documentation and source.

In: stages in Promtail's form (a list of one-key mappings) and lines. Out: what would reach Loki. Regular expressions
run in RE2, the engine of Go's, JMESPath in its own library. Time stands still: a multi-line block ends with the next
first line.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from random import Random
from typing import Any

import jmespath
import re2

READ_AT = datetime(2026, 11, 26, 12, tzinfo=UTC)
_SELECTOR = re.compile(r"\{(?P<labels>[^}]*)\}(?P<filters>.*)", re.DOTALL)
_MATCHER = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"((?:\\.|[^"\\])*)"')
_FILTER = re.compile(r'\s*(\|~|!~|\|=|!=)\s*"((?:\\.|[^"\\])*)"')
_LAYOUT = {"2006": "%Y", "01": "%m", "02": "%d", "15": "%H", "04": "%M", "05": "%S", "000": "%f"}


@dataclass
class Entry:
    """One log entry on its way to Loki."""

    line: str
    labels: dict[str, str]
    extracted: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)
    time: datetime = READ_AT


def run(stages: list[dict[str, Any]], lines: Iterable[str], labels: dict[str, str], seed: int = 0) -> list[Entry]:
    """What the pipeline hands on."""
    entries: Iterable[Entry] = (Entry(line, dict(labels)) for line in lines)
    return list(_pipeline(stages, entries, Random(seed)))


def _pipeline(stages: list[dict[str, Any]], entries: Iterable[Entry], random: Random) -> Iterator[Entry]:
    for stage in stages:
        ((name, options),) = stage.items()
        entries = STAGES[name](entries, options or {}, random)
    return iter(entries)


def _decolorize(entries: Iterable[Entry], _options: Any, _random: Random) -> Iterator[Entry]:
    for entry in entries:
        yield replace(entry, line=re2.sub(r"\x1b\[[0-9;]*m", "", entry.line))


def _replace(entries: Iterable[Entry], options: dict[str, Any], _random: Random) -> Iterator[Entry]:
    """Each capture group gives way to the text, in which {{ .Value }} stands for what the group held."""
    expression = re2.compile(options["expression"])
    for entry in entries:
        result, at = "", 0
        for match in expression.finditer(entry.line):
            start, end = match.span(1)
            result += entry.line[at:start] + options.get("replace", "").replace("{{ .Value }}", entry.line[start:end])
            at = end
        yield replace(entry, line=result + entry.line[at:])


def _regex(entries: Iterable[Entry], options: dict[str, Any], _random: Random) -> Iterator[Entry]:
    expression = re2.compile(options["expression"])
    for entry in entries:
        match = expression.search(entry.line)
        if match:
            entry.extracted.update({name: text or "" for name, text in match.groupdict().items()})
        yield entry


def _json(entries: Iterable[Entry], options: dict[str, Any], _random: Random) -> Iterator[Entry]:
    paths = {name: jmespath.compile(path or name) for name, path in options["expressions"].items()}
    for entry in entries:
        try:
            document = json.loads(entry.line)
        except ValueError:
            document = None
        if isinstance(document, dict):
            entry.extracted.update({name: path.search(document) for name, path in paths.items()})
        yield entry


def _text(value: Any) -> str | None:
    """A value as the stages read it; what is no text, number or truth value is not there."""
    return None if value is None else str(value)


def _labels(entries: Iterable[Entry], options: dict[str, Any], _random: Random) -> Iterator[Entry]:
    for entry in entries:
        for label, source in options.items():
            value = _text(entry.extracted.get(source or label))
            if value is not None:
                entry.labels[label] = value
        yield entry


def _metadata(entries: Iterable[Entry], options: dict[str, Any], _random: Random) -> Iterator[Entry]:
    """From the extracted values and from labels of that name; the pipeline must not offer both."""
    for entry in entries:
        for name, source in options.items():
            assert (source or name) not in entry.labels, f"{name} would be there twice"
            value = _text(entry.extracted.get(source or name))
            if value is not None:
                entry.metadata[name] = value
        yield entry


def _static_labels(entries: Iterable[Entry], options: dict[str, Any], _random: Random) -> Iterator[Entry]:
    for entry in entries:
        entry.labels.update(options)
        yield entry


def _label_drop(entries: Iterable[Entry], options: list[str], _random: Random) -> Iterator[Entry]:
    for entry in entries:
        yield replace(entry, labels={name: text for name, text in entry.labels.items() if name not in options})


def _template(entries: Iterable[Entry], options: dict[str, Any], _random: Random) -> Iterator[Entry]:
    assert options["template"] == "{{ ToLower .Value }}", "teach this stand-in the template"
    for entry in entries:
        value = _text(entry.extracted.get(options["source"]))
        if value is not None:
            entry.extracted[options["source"]] = value.lower()
        yield entry


def _timestamp(entries: Iterable[Entry], options: dict[str, Any], _random: Random) -> Iterator[Entry]:
    """A layout without a year takes this year's; what cannot be read changes nothing (action `skip`)."""
    assert options["action_on_failure"] == "skip"
    layouts = [options["format"], *options.get("fallback_formats", [])]
    for entry in entries:
        text = _text(entry.extracted.get(options["source"])) or ""
        found = [time for layout in layouts if (time := _parsed(text, layout))]
        yield replace(entry, time=found[0]) if found else entry


def _parsed(text: str, layout: str) -> datetime | None:
    try:
        if layout == "RFC3339Nano":
            time = datetime.fromisoformat(text)
            return time if time.tzinfo else None
        pattern = re.sub("|".join(_LAYOUT), lambda match: _LAYOUT[match.group()], layout)
        if "%Y" not in pattern:
            pattern, text = f"%Y-{pattern}", f"{READ_AT.year}-{text}"
        return datetime.strptime(text, pattern).replace(tzinfo=UTC)
    except ValueError:
        return None


def _drop(entries: Iterable[Entry], options: dict[str, Any], _random: Random) -> Iterator[Entry]:
    expression = re2.compile(options["expression"])
    for entry in entries:
        names = options["source"].split(",") if "source" in options else []
        values = [_text(entry.extracted.get(name)) for name in names]
        text = options.get("separator", ";").join(value for value in values if value is not None)
        if not expression.search(text if names else entry.line):
            yield entry


def _sampling(entries: Iterable[Entry], options: dict[str, Any], random: Random) -> Iterator[Entry]:
    for entry in entries:
        if random.random() < options["rate"]:
            yield entry


def _multiline(entries: Iterable[Entry], options: dict[str, Any], _random: Random) -> Iterator[Entry]:
    """Each stream (set of labels) has a block of its own; before its first one, lines pass as they are."""
    first = re2.compile(options["firstline"])
    blocks: dict[frozenset[tuple[str, str]], list[Entry]] = {}
    for entry in entries:
        stream = frozenset(entry.labels.items())
        block = blocks.get(stream)
        begins = first.search(entry.line) is not None
        if block is None and not begins:
            yield entry
            continue
        if block and (begins or len(block) == options["max_lines"]):
            yield _joined(block)
            block = None
        blocks[stream] = [*(block or []), entry]
    for block in blocks.values():
        yield _joined(block)


def _joined(block: list[Entry]) -> Entry:
    return replace(block[0], line="\n".join(entry.line for entry in block))


def _match(entries: Iterable[Entry], options: dict[str, Any], random: Random) -> Iterator[Entry]:
    selector = Selector(options["selector"])
    for entry in entries:
        if not selector.matches(entry):
            yield entry
        elif options.get("action") != "drop":
            yield from _pipeline(options["stages"], [entry], random)


class Selector:
    """`{label="value"} |~ "regex" !~ "regex"`: a stream selector and line filters of LogQL."""

    def __init__(self, text: str) -> None:
        whole = _SELECTOR.fullmatch(text)
        assert whole, text
        self._matchers = [
            (name, sign, json.loads(f'"{value}"')) for name, sign, value in _MATCHER.findall(whole["labels"])
        ]
        self._filters = [(sign, json.loads(f'"{value}"')) for sign, value in _FILTER.findall(whole["filters"])]
        assert _FILTER.sub("", whole["filters"]).strip() == "", f"not understood: {text}"
        assert self._matchers, "Loki wants a matcher that cannot match nothing"

    def matches(self, entry: Entry) -> bool:
        """Whether the entry's labels and its line are meant."""
        return all(
            _holds(sign, value, entry.labels.get(name, ""), whole=True) for name, sign, value in self._matchers
        ) and all(_holds(sign, value, entry.line, whole=False) for sign, value in self._filters)


def _holds(sign: str, value: str, text: str, *, whole: bool) -> bool:
    if "~" in sign:
        found = (re2.fullmatch(value, text) if whole else re2.search(value, text)) is not None
    else:
        found = text == value if whole else value in text
    return found != sign.startswith("!")


STAGES: dict[str, Callable[[Iterable[Entry], Any, Random], Iterator[Entry]]] = {
    "decolorize": _decolorize,
    "drop": _drop,
    "json": _json,
    "labeldrop": _label_drop,
    "labels": _labels,
    "match": _match,
    "multiline": _multiline,
    "regex": _regex,
    "replace": _replace,
    "sampling": _sampling,
    "static_labels": _static_labels,
    "structured_metadata": _metadata,
    "template": _template,
    "timestamp": _timestamp,
}
