"""A line of JSON -> whether it surely is an ordinary record of vLLM, python-json-logger, structlog or loguru.

Narrower than `document.py`: keys in any order, but one of them says a level, one a time, and no escape can hide a text.
What is taken for such a line is read there as a record that has that level and a time.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from vllm_vigil.events.document import LEVEL_KEYS, TIME_KEYS
from vllm_vigil.events.part import level_of, names_of

START = b'{"'

_PLAIN = rb'[^"\\\x00-\x1f]*+'
_STRING = rb'"' + _PLAIN + rb'(?:\\(?:["\\nt]|u(?!00[0-9]|202[89])[0-9a-f]{4})' + _PLAIN + rb')*+"'
_NUMBER = rb"-?+(?:0|[1-9][0-9]{0,17}+)(?:\.[0-9]++)?+(?:[eE][+-]?+[0-9]{1,3}+)?+"
_VALUE = rb"(?:" + _STRING + rb"|" + _NUMBER + rb"|null|true|false)"
_EPOCH = rb"[0-9]{10}(?:\.[0-9]++)?+"
_WHEN = rb'(?:"(?:[0-9]{4}-)?+[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}' + _PLAIN + rb'"|' + _EPOCH + rb")"
_NEXT = rb", ?+"


def _any(texts: Iterable[str]) -> bytes:
    return "|".join(texts).encode()


def _key(*names: str) -> bytes:
    return rb'"(?:' + _any(names) + rb')": ?+'


def _other_key(*names: str) -> bytes:
    return rb'"(?!(?:' + _any(names) + rb')")[A-Za-z0-9_.@-]++": ?+'


def _flat(name: bytes) -> bytes:
    level, time = _key(*LEVEL_KEYS) + name, _key(*TIME_KEYS) + _WHEN
    pair = _other_key(*LEVEL_KEYS, *TIME_KEYS) + _VALUE
    between = _NEXT + rb"(?:" + pair + _NEXT + rb")*+"
    both = level + between + time + rb"|" + time + between + level
    return rb'\{(?!"log":)(?:' + pair + _NEXT + rb")*+(?:" + both + rb")(?:" + _NEXT + pair + rb")*+\}"


def _loguru(name: bytes) -> bytes:
    """What its `serialize=True` gives: the text, and beside it the record, in which level and time are objects."""
    pair = _other_key(*LEVEL_KEYS, *TIME_KEYS) + _VALUE
    inner = rb"\{(?:" + pair + rb"(?:, " + pair + rb")*+)?+\}"
    fact = _other_key(*LEVEL_KEYS, *TIME_KEYS, "exception") + rb"(?:" + _VALUE + rb"|" + inner + rb')|"exception": null'
    level = rb'"level": \{"icon": ' + _STRING + rb', "name": ' + name + rb', "no": ' + _NUMBER + rb"\}"
    time = rb'"time": \{"repr": ' + _STRING + rb', "timestamp": ' + _EPOCH + rb"\}"
    record = rb"(?:(?:" + fact + rb"), )*+" + level + rb"(?:, (?:" + fact + rb"))*+, " + time
    return rb'\{"text": ' + _STRING + rb', "record": \{' + record + rb"\}\}"


def ordinary(levels: Iterable[str]) -> bytes:
    """An expression for a whole line, without its end, at any of these levels; its one group says which."""
    name = rb'"((?i:' + _any(name for level in levels for name in names_of(level)) + rb'))"'
    return rb"(?:" + _loguru(name) + rb"|" + _flat(name) + rb")"


def level_in(match: re.Match[bytes]) -> str:
    """Which level it was, of an expression of `ordinary`."""
    return level_of(match[match.lastindex or 0].decode())
