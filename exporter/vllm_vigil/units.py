"""Text as people write it -> numbers with a unit: `30s` and `1h30m` -> seconds, `64MiB` -> bytes. And secrets.

These are the types that a part's Settings name; `config/` reads and prints them by type.
"""

from __future__ import annotations

import re
from typing import NewType

Seconds = NewType("Seconds", float)
Bytes = NewType("Bytes", int)

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|[smhd]))+")
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhd])")
_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?([KMG]i?B|B)")


class Secret(str):
    """A text that must not be shown: printing and formatting give asterisks, `reveal()` the text itself."""

    __slots__ = ()

    def reveal(self) -> str:
        """The text, for the one place that needs it."""
        return str.__str__(self)

    def __str__(self) -> str:
        return "****"

    def __repr__(self) -> str:
        return "Secret(****)"

    def __format__(self, spec: str) -> str:
        return "****"


def parse_duration(text: str) -> Seconds:
    """Seconds of `500ms`, `30s`, `1h30m`. Raises ValueError, which says what is wanted."""
    if not _DURATION.fullmatch(text):
        raise ValueError(f"{text!r} is not a duration: write a number and a unit, such as 30s, 5m, 1h30m")
    return Seconds(sum(float(number) * _SECONDS[unit] for number, unit in _DURATION_PART.findall(text)))


def parse_size(text: str) -> Bytes:
    """Bytes of `64MiB`, `1GB`. Raises ValueError, which says what is wanted."""
    match = _SIZE.fullmatch(text)
    if not match:
        raise ValueError(f"{text!r} is not a size: write a number and a unit, such as 64KiB, 10MiB, 1GB")
    return Bytes(int(float(match[1]) * _BYTES[match[2]]))


def format_duration(seconds: float) -> str:
    """The shortest text that `parse_duration` reads back: `1h30m`, `45s`, `0.25s`."""
    whole = int(seconds)
    if whole != seconds:
        return f"{seconds:g}s"
    parts = []
    for unit in ("d", "h", "m"):
        count, whole = divmod(whole, int(_SECONDS[unit]))
        if count:
            parts.append(f"{count}{unit}")
    if whole or not parts:
        parts.append(f"{whole}s")
    return "".join(parts)


def format_size(size_bytes: int) -> str:
    """The shortest text that `parse_size` reads back: `64MiB`, `1500B`."""
    for unit in ("GiB", "MiB", "KiB"):
        if size_bytes and size_bytes % _BYTES[unit] == 0:
            return f"{size_bytes // _BYTES[unit]}{unit}"
    return f"{size_bytes}B"
