"""journald's JSON, one object a line -> entries with the text that the unit wrote.

`MESSAGE` is a text, or an array of bytes when it holds a control character (ANSI colour), or null when journalctl was
not asked for `--all`; a field that was given more than once is an array of these. journald cuts lines at 48 KiB and
marks all parts but the last.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

_SEQUENCE = re.compile(r"(?:^|;)s=([0-9a-f]+);i=([0-9a-f]+)")


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the journal. `at` is when journald received it (microseconds since the epoch)."""

    cursor: str
    at: int
    text: bytes
    stream: str = ""
    cut: bool = False

    @property
    def place(self) -> tuple[str, int]:
        """The journal that numbered it, and its number there: for ever the same."""
        found = _SEQUENCE.search(self.cursor)
        return (f"journal-{found[1][:16]}", int(found[2], 16)) if found else ("journal", self.at)


def entry(line: bytes) -> Entry | None:
    """Read one line of output; None if it is no entry."""
    try:
        document = json.loads(line)
        return Entry(
            cursor=str(document["__CURSOR"]),
            at=int(document["__REALTIME_TIMESTAMP"]),
            text=_text(document.get("MESSAGE")),
            stream=str(document.get("_STREAM_ID", "")),
            cut=document.get("_LINE_BREAK") == "line-max",
        )
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def _text(message: Any) -> bytes:
    if isinstance(message, str):
        return message.encode(errors="replace")
    if isinstance(message, list):
        if all(type(value) is int and 0 <= value < 256 for value in message):
            return bytes(message)
        return b"\n".join(_text(each) for each in message if not isinstance(each, int))
    return b""
