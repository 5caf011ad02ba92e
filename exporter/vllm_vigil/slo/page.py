"""Rules -> the text of a rules file, laid out as those written by hand are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from textwrap import indent


@dataclass(frozen=True, slots=True)
class Record:
    """A recording rule, with the comment that stands above it."""

    name: str
    expr: str
    labels: Mapping[str, str] = field(default_factory=dict)
    comment: str = ""

    def text(self) -> str:
        """As it stands in its group."""
        return (
            _comment(self.comment)
            + f"- record: {self.name}\n  expr: |-\n{indent(self.expr, '    ')}\n"
            + _labels(self.labels)
        )


@dataclass(frozen=True, slots=True)
class Alert:
    """An alerting rule; its links are put in afterwards (`links.py`)."""

    name: str
    expr: str
    hold: str
    labels: Mapping[str, str]
    summary: str
    description: str
    keep: str = ""
    comment: str = ""

    def text(self) -> str:
        """As it stands in its group."""
        return (
            _comment(self.comment)
            + f"- alert: {self.name}\n  expr: |-\n{indent(self.expr, '    ')}\n  for: {self.hold}\n"
            + (f"  keep_firing_for: {self.keep}\n" if self.keep else "")
            + _labels(self.labels)
            + f'  annotations:\n    summary: "{self.summary}"\n    description: "{self.description}"\n'
        )


@dataclass(frozen=True, slots=True)
class Group:
    """Rules that are evaluated together."""

    name: str
    rules: Iterable[Record | Alert]
    comment: str = ""

    def text(self) -> str:
        """As it stands in its file."""
        rules = "\n".join(rule.text() for rule in self.rules)
        return _comment(self.comment) + f"- name: {self.name}\n  rules:\n{_indented(rules, 4)}"


def page(head: str, groups: Iterable[Group]) -> str:
    """A whole file."""
    return _comment(head) + "groups:\n" + "\n".join(_indented(group.text(), 2) for group in groups)


def _comment(text: str) -> str:
    return "".join(f"# {line}".rstrip() + "\n" for line in text.splitlines())


def _labels(labels: Mapping[str, str]) -> str:
    return f"  labels: {{{', '.join(f'{name}: {value}' for name, value in labels.items())}}}\n" if labels else ""


def _indented(text: str, spaces: int) -> str:
    return indent(text, " " * spaces)
