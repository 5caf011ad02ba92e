"""What one row of the table of patterns is, what of a record it looks at, and the rows that a user adds.

The promise of a row: each of its examples is recognised by it and by no row before it, none of its near misses is
recognised by it. Prompts and generated text can stand in records at INFO, so a row for trouble never looks there, and
rows that do look there match from the first character of the message, which is vLLM's own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from vllm_vigil.events.literal import required
from vllm_vigil.events.part import LEVELS
from vllm_vigil.events.record import read_text
from vllm_vigil.model import Record

TROUBLE = frozenset({"", "WARNING", "ERROR", "CRITICAL"})
ERRORS = frozenset({"ERROR", "CRITICAL"})
UNMARKED = frozenset({""})
ANY = frozenset({"", *LEVELS})

_BETWEEN = ("Traceback (most recent call last)", "During handling of", "The above exception was")
_GROUP_MARK = re.compile(r"^ *[|+] ?-*")


class Where(StrEnum):
    """Which part of a record a row looks at."""

    MESSAGE = "message"
    EXCEPTION = "exception"  # the message, and what its exceptions say, without frames and source lines


@dataclass(frozen=True, slots=True)
class Pattern:
    """One row. `literals`: one of them must stand in the record before the expression is tried, () tries it always.

    `tells` are (field, value, expression) for facts that stand elsewhere in the record: the first that matches the
    whole text gives the field. `labels` are constant fields.
    """

    id: str
    rule: str
    regex: re.Pattern[str]
    examples: tuple[str, ...]
    near_misses: tuple[str, ...] = ()
    literals: tuple[str, ...] = ()
    where: Where = Where.MESSAGE
    levels: frozenset[str] = TROUBLE
    labels: Mapping[str, str] = field(default_factory=dict)
    tells: tuple[tuple[str, str, re.Pattern[str]], ...] = ()

    def match(self, record: Record, said: str) -> dict[str, str] | None:
        """The captured fields if the row recognises the record; `said` is its message and exceptions."""
        found = self.regex.search(record.message if self.where is Where.MESSAGE else said)
        if not found:
            return None
        fields = dict(self.labels)
        for name, value, regex in self.tells:
            if name not in fields and regex.search(f"{record.message}\n{record.traceback}"):
                fields[name] = value
        return fields | {name: value.strip() for name, value in found.groupdict().items() if value}


def exceptions(record: Record) -> str:
    """What the tracebacks of a record say: their last lines, without frames, source lines and headings."""
    said: list[str] = []
    inside = False
    grouped = "Exception Group Traceback" in record.traceback
    for raw in record.traceback.split("\n"):
        line = _GROUP_MARK.sub("", raw) if grouped else raw
        if line.lstrip().startswith(_BETWEEN):
            inside = False
        elif line[:1].strip():
            inside = True
            said.append(line)
        elif inside and line.strip():
            said.append(line)
    return "\n".join(said)


@dataclass(frozen=True, slots=True)
class PatternSettings:
    """A row that the user adds: `regex` is searched in the record; its named groups become fields.

    `level` is the lowest level looked at, without it every record is. `rule` is that of a built-in or own rule; ""
    only counts. Examples and near misses are log lines, of one record each.
    """

    regex: str = ""
    rule: str = ""
    where: Where = Where.EXCEPTION
    level: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    examples: tuple[str, ...] = ()
    near_misses: tuple[str, ...] = ()

    def problems(self) -> Iterator[tuple[str, str]]:
        """What keeps the row from working: its expression, its level, or its own examples."""
        if self.level is not None and self.level not in LEVELS:
            yield "level", f"{self.level!r} is no level; write one of {', '.join(LEVELS)}"
            return
        if not self.regex:
            yield "regex", "is missing: write the expression that a log record must match"
            return
        try:
            row = self.row("")
        except re.error as error:
            yield "regex", f"is no regular expression: {error}"
            return
        for name, texts, wanted in (("examples", self.examples, True), ("near_misses", self.near_misses, False)):
            for index, text in enumerate(texts):
                if recognises(row, text) is not wanted:
                    yield f"{name}[{index}]", f"is {'not ' if wanted else ''}matched by the expression"

    def row(self, id_: str) -> Pattern:
        """The row of the table that these settings make."""
        literal = required(self.regex)
        levels = ANY if self.level is None else frozenset(LEVELS[LEVELS.index(self.level) :])
        return Pattern(
            id=id_,
            rule=self.rule,
            regex=re.compile(self.regex, re.MULTILINE),
            examples=self.examples,
            near_misses=self.near_misses,
            literals=(literal,) if literal else (),
            where=self.where,
            levels=levels,
            labels=self.labels,
        )


def recognises(row: Pattern, text: str) -> bool:
    """Whether a row matches a record of these lines."""
    return any(
        record.level in row.levels and row.match(record, f"{record.message}\n{exceptions(record)}") is not None
        for record in read_text(text.split("\n"))
    )
