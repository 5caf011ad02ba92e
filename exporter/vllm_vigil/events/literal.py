"""A user's expression -> a text that every match of it holds, so that lines without it need not be looked at.

Only what surely is required counts: plain characters outside of groups, classes and alternatives, and of those only
ones that stand in JSON as they do in plain text.
"""

from __future__ import annotations

import re

SHORTEST = 3
_FLAGS = re.compile(r"\(\?[aiLmsux-]+[:)]")
_GIVES = re.compile(r"[\w .,:;=<>%#@!&~-]", re.ASCII)


def required(regex: str) -> str:
    """The longest text that must stand in whatever the expression matches, "" if none is sure."""
    if _FLAGS.search(regex):
        return ""
    runs, run, depth, at = [], "", 0, 0
    while at < len(regex):
        char, step = regex[at], 1
        if char == "\\":
            char, step = _escaped(regex[at + 1 : at + 2]), 2
        elif char == "[":
            char, step = "", _class_length(regex[at:])
        elif char in "()":
            depth += 1 if char == "(" else -1
            char = ""
        elif char == "|" and depth == 0:
            return ""
        plain = depth == 0 and char and _GIVES.fullmatch(char) and (step == 2 or char != ".")
        if plain and regex[at + step : at + step + 1] not in ("?", "*", "{"):
            run += char
        else:
            runs.append(run)
            run = ""
        at += step
    longest = max((*runs, run), key=len)
    return longest if len(longest) >= SHORTEST else ""


def _escaped(char: str) -> str:
    """The character that a backslash makes plain, none for a class or a place."""
    return "" if char.isalnum() else char


def _class_length(rest: str) -> int:
    """How long a class such as `[^]a-z]` is."""
    at = 2 if rest[1:2] == "^" else 1
    at += rest[at : at + 1] == "]"
    while at < len(rest) and rest[at] != "]":
        at += 2 if rest[at] == "\\" else 1
    return at + 1
