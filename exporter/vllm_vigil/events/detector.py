"""A record -> the event that the first matching row makes of it, or None.

The cheap path is the ordinary one: a record at INFO is looked at by the few rows that look there, and only if a literal
of the row stands in it. One alternation of all expressions would run at a tenth of the speed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from vllm_vigil.events.pattern import Pattern, exceptions
from vllm_vigil.events.patterns import FALLBACK
from vllm_vigil.events.shape import LEVELS
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

    def judge(self, record: Record, at: float) -> Event | None:
        """The event of the first row that recognises the record; `at` is when it arrived (epoch seconds)."""
        said: str | None = None
        for row in self._by_level.get(record.level, ()):
            if row.literals and not _holds(record, row.literals):
                continue
            if said is None:
                said = f"{record.message}\n{exceptions(record)}" if record.traceback else record.message
            fields = row.match(record, said)
            if fields is not None:
                return Event(row.id, row.rule, record.server, at, record, _complete(fields, row, record, said))
        return None


def _holds(record: Record, literals: tuple[str, ...]) -> bool:
    return any(literal in record.message or literal in record.traceback for literal in literals)


def _complete(fields: dict[str, str], row: Pattern, record: Record, said: str) -> dict[str, str]:
    """The captured fields, cut; with the exception that is named last, and what the fallback groups by."""
    named = [name for name in _CLASS.findall(said[len(record.message) :]) if not name.endswith("EngineDeadError")]
    if named and row.rule:
        fields.setdefault("exception", named[-1].rpartition(".")[2])
    if row.id == FALLBACK:
        fields["template"] = template(record.message)
    return {name: value[:MAX_FIELD_CHARACTERS] for name, value in fields.items()}


def template(message: str) -> str:
    """The message without what changes from one to the next: ids, numbers, paths, quoted and bracketed text."""
    return _VARIABLE.sub("*", message[: 4 * MAX_TEMPLATE_CHARACTERS])[:MAX_TEMPLATE_CHARACTERS]
