"""A tree of nodes and a Settings class -> the settings, every problem at once, and where each value came from.

Each part declares its Settings as a frozen dataclass; the types of its fields say how a value is read and printed.
A validation library would do the same for 4 to 16 MB of memory more and without lines, so these are ours.
"""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any

from vllm_vigil.config.document import Node, read_document
from vllm_vigil.errors import ConfigError
from vllm_vigil.units import Bytes, Seconds, Secret, parse_duration, parse_size

WANTED = {
    Seconds: "a duration such as 30s or 5m",
    Bytes: "a size such as 64KiB or 10MiB",
    Path: "a path",
    Secret: "a text",
    str: "a text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
}


SHOWN_KEYS = 3
"""So many keys are named where something else stands in the place of a mapping."""


class Shaping:
    """One pass over a tree: what was wrong, and the origin of every value that was set."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.origins: dict[str, str] = {}

    def shape(self, kind: Any, node: Node, path: str) -> Any:
        """The value of `node` as `kind`; when it is none, a problem is noted and None given."""
        kind, optional = _without_none(kind)
        if node.value is None and optional:
            self.origins[path] = node.origin
            return None
        if dataclasses.is_dataclass(kind):
            read = self._document(node, path) if isinstance(node.value, str) and _may_be_a_file(kind) else node
            return None if read is None else self._settings(kind, read, path)
        origin = typing.get_origin(kind)
        if origin is tuple:
            return self._list(typing.get_args(kind)[0], node, path)
        if origin is Mapping:
            return self._table(typing.get_args(kind)[1], node, path)
        self.origins[path] = node.origin
        return self._scalar(kind, node, path)

    def problem(self, node: Node, path: str, text: str) -> None:
        """Note what is wrong at a place, in words that say what to do."""
        self.problems.append(f"{node.origin}: {path}: {text}" if path else f"{node.origin}: {text}")

    def _settings(self, kind: Any, node: Node, path: str) -> Any:
        if not isinstance(node.value, dict):
            keys = ", ".join([key_of(field) for field in dataclasses.fields(kind)][:SHOWN_KEYS])
            self.problem(node, path, f"must be a mapping with keys such as {keys}, not {_say(node)}")
            return None
        before = len(self.problems)
        fields = {key_of(field): field for field in dataclasses.fields(kind)}
        types_of = {name.rstrip("_"): hint for name, hint in typing.get_type_hints(kind).items()}
        given: dict[str, Any] = {}
        for key, item in node.value.items():
            name = key.removesuffix("_file") if key not in fields else key
            if key in fields or (name in fields and _is_secret(types_of[name])):
                if name in given:
                    self.problem(item, _join(path, key), f"both {name} and {name}_file are given; keep one")
                read = item if key == name else self._file(item, _join(path, key))
                given[name] = None if read is None else self.shape(types_of[name], read, _join(path, name))
            else:
                known = [*fields, *(f"{name}_file" for name in fields if _is_secret(types_of[name]))]
                self.problem(item, _join(path, key), f"unknown key{_nearest(key, known)}")
        missing = [
            name
            for name, field in fields.items()
            if name not in given
            and field.default is dataclasses.MISSING
            and field.default_factory is dataclasses.MISSING
        ]
        for name in missing:
            self.problem(node, _join(path, name), "is missing")
        if len(self.problems) > before:
            return None  # what is built of half of it would only find problems that are none
        settings = kind(**{fields[key].name: value for key, value in given.items()})
        for name, text in _own_problems(settings):
            self.problem(node.value.get(name.partition(".")[0], node), _join(path, name), text)
        return settings if len(self.problems) == before else None

    def _list(self, kind: Any, node: Node, path: str) -> tuple[Any, ...]:
        if not isinstance(node.value, list):
            self.problem(node, path, f"must be a list (each entry begins with `- `), not {_say(node)}")
            return ()
        self.origins[path] = node.origin
        return tuple(self.shape(kind, item, f"{path}[{index}]") for index, item in enumerate(node.value))

    def _table(self, kind: Any, node: Node, path: str) -> dict[str, Any]:
        if not isinstance(node.value, dict):
            self.problem(node, path, f"must be a mapping, not {_say(node)}")
            return {}
        self.origins[path] = node.origin
        return {key: self.shape(kind, item, _join(path, key)) for key, item in node.value.items()}

    def _document(self, node: Node, path: str) -> Node | None:
        """The mapping in the file of its own that is named in its place."""
        try:
            return read_document(Path(node.value), None)
        except ConfigError as error:
            self.problem(node, path, str(error))
            return None

    def _file(self, node: Node, path: str) -> Node | None:
        """The content of the file that a `*_file` key names, as if it stood in its place."""
        try:
            text = Path(str(node.value)).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            self.problem(
                node, path, f"cannot read {node.value}: {getattr(error, 'strerror', None) or 'not UTF-8 text'}"
            )
            return None
        if not text:
            self.problem(node, path, f"{node.value} is empty")
            return None
        return Node(text, f"{node.origin}, file {node.value}")

    def _scalar(self, kind: Any, node: Node, path: str) -> Any:
        value = node.value
        try:
            if kind in (Seconds, Bytes) and value is not None:
                return _quantity(kind, value)
            if isinstance(kind, type) and issubclass(kind, Enum):
                return _member(kind, value)
        except ValueError as error:
            self.problem(node, path, str(error))
            return None
        if kind in (str, Secret, Path) and isinstance(value, str | int | float) and not isinstance(value, bool):
            return kind(str(value))
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            return float(value)
        if type(value) is kind:
            return value
        self.problem(node, path, f"must be {WANTED.get(kind, kind)}, not {_say(node)}")
        return None


def key_of(field: dataclasses.Field[Any]) -> str:
    """A field's key: its name, but for the `_` of one that is a word of Python (`for_`)."""
    return field.name.rstrip("_")


def _quantity(kind: Any, value: object) -> Seconds | Bytes:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} has no unit: write {WANTED[kind]}")  # noqa: TRY004  # a problem to report
    return parse_duration(value) if kind is Seconds else parse_size(value)


def _member(kind: type[Enum], value: object) -> Enum:
    choices = [str(member.value) for member in kind]
    if value not in choices:
        raise ValueError(f"{value!r} is not one of {', '.join(choices)}")
    return kind(value)


def _own_problems(settings: Any) -> list[tuple[str, str]]:
    """What a Settings class itself finds wrong with its values."""
    return list(settings.problems()) if hasattr(settings, "problems") else []


def _without_none(kind: Any) -> tuple[Any, bool]:
    """`X | None` -> (X, True); anything else -> (itself, False)."""
    if isinstance(kind, types.UnionType) or typing.get_origin(kind) is typing.Union:
        inner = [part for part in typing.get_args(kind) if part is not type(None)]
        return inner[0], True
    return kind, False


def _may_be_a_file(kind: Any) -> bool:
    return bool(getattr(kind, "IN_A_FILE", False))


def _is_secret(kind: Any) -> bool:
    return _without_none(kind)[0] is Secret


def _nearest(word: str, known: list[str]) -> str:
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    if near:
        return f"; did you mean {near[0]!r}?"
    return f"; known here: {', '.join(sorted(known))}" if known else ""


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path and key else path or key


def _say(node: Node) -> str:
    if isinstance(node.value, dict):
        return "a mapping"
    if isinstance(node.value, list):
        return "a list"
    return "nothing" if node.value is None else "an unreadable value" if node.hidden else repr(node.value)
