"""A record -> the event that the first matching row makes of it, or None.

The cheap path is the ordinary one: a record at INFO is looked at by the few rows that look there, and only if a literal
of the row stands in it. One alternation of all expressions would run at a tenth of the speed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from vllm_vigil.events.part import LEVELS
from vllm_vigil.events.pattern import Pattern, exceptions
from vllm_vigil.events.patterns import FALLBACK
from vllm_vigil.model import Event, Record

MAX_FIELD_CHARACTERS = 120
MAX_TEMPLATE_CHARACTERS = 160

_CLASS = re.compile(r"^((?:[A-Za-z_]\w*\.)*[A-Z]\w*)(?:: |\(|$)", re.MULTILINE)
_VARIABLE = re.compile(
    r"\b(?:cmpl|chatcmpl|embd|pooling|score|rerank|resp|req)-[\w-]+"  # request ids
    r"|0x[\da-fA-F]+|\b[\da-fA-F]{8,}\b|\b[\da-fA-F]{8}(?:-[\da-fA-F]{4}){3}-[\da-fA-F]{12}\b"
    r"|'[^']*'|\"[^\"]*\"|\[[^\]]*\]|\{[^}]*\}|/[\w./-]+|-?\d+(?:\.\d+)*"
)


class Detector:
    """Judges records by a table of patterns."""

    def __init__(self, patterns: Iterable[Pattern]) -> None:
        rows = tuple(patterns)
        self.kinds = tuple(dict.fromkeys(row.id for row in rows))
        self._by_level = {level: tuple(row for row in rows if level in row.levels) for level in ("", *LEVELS)}
        self._always = {
            level: tuple(row for row in looking if not row.literals) for level, looking in self._by_level.items()
        }
        self._literals = {level: _literals(looking) for level, looking in self._by_level.items()}

    def judge(self, record: Record, at: float) -> Event | None:
        """The event of the first row that recognises the record; `at` is when it arrived (epoch seconds)."""
        said: str | None = None
        whole = f"{record.message}\n{record.traceback}"
        held = {literal for literal in self._literals.get(record.level, ()) if literal in whole}
        for row in (self._by_level if held else self._always).get(record.level, ()):
            if row.literals and held.isdisjoint(row.literals):
                continue
            if said is None:
                said = f"{record.message}\n{exceptions(record)}" if record.traceback else record.message
            fields = row.match(record, said)
            if fields is not None:
                return Event(row.id, row.rule, record.server, at, record, _complete(fields, row, record, said))
        return None


def _literals(rows: tuple[Pattern, ...]) -> tuple[str, ...]:
    """The texts of which one must stand in a record for a row to look at it that does not look at all of them."""
    return tuple(dict.fromkeys(literal for row in rows for literal in row.literals))


_NAMES = {  # an expression can name a group once; what it calls so in its other branches
    "caught_id": "request_id",
    "child": "worker",
    "code": "exit_code",
    "compiled_id": "request_id",
    "ended": "exit_code",
    "failed_id": "request_id",
    "name": "worker",
    "processing": "method",
    "rejected_id": "request_id",
}


def _complete(fields: dict[str, str], row: Pattern, record: Record, said: str) -> dict[str, str]:
    """The captured fields, cut; with the exception that is named last, and what the fallback groups by."""
    fields = {_NAMES.get(name, name): value for name, value in fields.items()}
    if "timeout_ms" in fields:
        fields["timeout"] = f"{int(fields.pop('timeout_ms')) / 1000:g}"
    named = [name for name in _CLASS.findall(said[len(record.message) :]) if not name.endswith("EngineDeadError")]
    if named and row.rule:
        fields.setdefault("exception", named[-1].rpartition(".")[2])
    for name, value in record.facts:
        fields.setdefault(name, value)
    if row.id == FALLBACK:
        fields["template"] = template(record.message)
    return {name: value[:MAX_FIELD_CHARACTERS] for name, value in fields.items()}


def template(message: str) -> str:
    """The message without what changes from one to the next: ids, numbers, paths, quoted and bracketed text."""
    return _VARIABLE.sub("*", message[: 4 * MAX_TEMPLATE_CHARACTERS])[:MAX_TEMPLATE_CHARACTERS]
