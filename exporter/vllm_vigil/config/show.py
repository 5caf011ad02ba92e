"""A loaded configuration -> the effective YAML, each value with where it came from, and no secret in it."""

from __future__ import annotations

import dataclasses
import json
import re
import typing
from collections.abc import Iterator, Mapping
from enum import Enum
from pathlib import Path
from typing import Any

from vllm_vigil.config.load import Loaded
from vllm_vigil.config.shape import key_of
from vllm_vigil.units import Bytes, Seconds, Secret, format_duration, format_size

COLUMN = 56


def show(loaded: Loaded) -> str:
    """The text that `vigil check` prints; it loads again as the same configuration, but for the secrets."""
    return "\n".join(_settings(loaded.config, "", 0, loaded.origins)) + "\n"


def _settings(settings: Any, path: str, depth: int, origins: Mapping[str, str]) -> Iterator[str]:
    types_of = typing.get_type_hints(type(settings))
    for field in dataclasses.fields(settings):
        key = key_of(field)
        here = f"{path}.{key}" if path else key
        yield from _entry(key, getattr(settings, field.name), types_of[field.name], here, depth, origins)


def _entry(key: str, value: Any, kind: Any, path: str, depth: int, origins: Mapping[str, str]) -> Iterator[str]:
    indent = "  " * depth
    if dataclasses.is_dataclass(value):
        yield f"{indent}{key}:"
        yield from _settings(value, path, depth + 1, origins)
    elif isinstance(value, Mapping) and value:
        yield f"{indent}{key}:"
        inner = typing.get_args(kind)[1]
        for name, item in value.items():
            yield from _entry(_key(name), item, inner, f"{path}.{name}", depth + 1, origins)
    elif isinstance(value, tuple) and value:
        yield f"{indent}{key}:"
        yield from _items(value, typing.get_args(kind)[0], path, depth + 1, origins)
    else:
        line = f"{indent}{key}: {_scalar(value, kind)}"
        yield f"{line.ljust(COLUMN)}  # {_origin(path, origins)}"


def _items(values: tuple[Any, ...], kind: Any, path: str, depth: int, origins: Mapping[str, str]) -> Iterator[str]:
    indent = "  " * depth
    for index, value in enumerate(values):
        here = f"{path}[{index}]"
        if dataclasses.is_dataclass(value):
            first, *rest = _settings(value, here, depth + 1, origins)
            yield f"{indent}- {first.lstrip()}"
            yield from rest
        else:
            yield f"{indent}- {_scalar(value, kind)}".ljust(COLUMN) + f"  # {_origin(here, origins)}"


def _origin(path: str, origins: Mapping[str, str]) -> str:
    """The place of the value, or of the nearest thing around it that was set; else the default."""
    return origins.get(path, "default")


def _scalar(value: Any, kind: Any) -> str:
    names = {kind, *typing.get_args(kind)}
    if value is None:
        return "null"
    if isinstance(value, Secret):
        return '"****"'
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, bool):
        return str(value).lower()
    if Seconds in names:
        return format_duration(value)
    if Bytes in names:
        return format_size(value)
    if isinstance(value, str | Path):
        return json.dumps(str.__str__(value) if isinstance(value, str) else str(value), ensure_ascii=False)
    return {"()": "[]", "{}": "{}"}.get(str(value), str(value))


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z_][\w-]*", name) else json.dumps(name)
