"""Text of a log, which is hostile -> text that may be looked at and shown."""

from __future__ import annotations

import re

MAX_LINE_BYTES = 256 * 1024
"""No line of a log that is followed is longer, so one of JSON is read as a whole."""
MAX_LINE_CHARACTERS = 16_384
ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-_])|\x9b[0-?]*[ -/]*[@-~]")
_CONTROLS = dict.fromkeys((*range(9), *range(10, 32), *range(127, 160), 0x2028, 0x2029), " ")


def clean(text: str) -> str:
    """The text without escapes, other control characters as blanks, cut to what is kept of one line."""
    return ESCAPES.sub("", text)[:MAX_LINE_CHARACTERS].translate(_CONTROLS)
