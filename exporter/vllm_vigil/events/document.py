"""One line of JSON -> what it says, whoever wrote it: vLLM 0.32, python-json-logger, structlog or loguru.

A traceback may be a text, the text beside the record (loguru), or a list of exceptions (structlog's dict_tracebacks);
what is kept of it ends in `Class: text` in any case, because that is what the patterns look at.
"""

from __future__ import annotations

import json
import re
from typing import Any

from vllm_vigil.events.part import Part, Shape, level_of
from vllm_vigil.events.text import clean
from vllm_vigil.events.times import Zone, epoch
from vllm_vigil.model import Labels, labels

LEVEL_KEYS = ("levelname", "level", "severity", "lvl")
TIME_KEYS = ("asctime", "timestamp", "time", "ts", "@timestamp")
FACTS = {
    "request_id": ("request_id", "requestId", "req_id", "x_request_id"),
    "duration_seconds": ("duration_seconds", "duration_s", "elapsed_seconds"),
    "gpu": ("gpu", "gpu_id", "device"),
}
"""What is kept of the other keys, and how they are called."""
MAX_FACT_CHARACTERS = 120
_EPOCH = re.compile(r"\d{10}(?:\.\d+)?")
_TRACEBACK = "Traceback (most recent call last)"


def document(text: str, now: float, zone: Zone) -> Part | None:
    """What a line of JSON says; None if it is no record of a log."""
    try:
        whole = json.loads(text)
    except (ValueError, RecursionError):
        return None
    body = whole.get("record") if isinstance(whole, dict) and isinstance(whole.get("record"), dict) else whole
    if not isinstance(body, dict):
        return None
    message = _first(body, "message", "msg", "event")
    level = level_of(_first(body, *LEVEL_KEYS))
    if not message and not level:
        return None
    first, _, rest = message.partition("\n")
    below = "\n".join(clean(line) for line in f"{rest}\n{_traceback(body, whole)}".split("\n") if line)
    return Part(
        Shape.DOCUMENT,
        clean(first),
        level,
        clean(_first(body, "vllm_process_name", "processName", "process_name")),
        clean(_first(body, "process", "pid", inner="id")),
        _time(_first(body, *TIME_KEYS, inner="timestamp"), now, zone),
        traceback=below,
        facts=_facts(body),
    )


def _first(body: dict[str, Any], *names: str, inner: str = "name") -> str:
    for name in names:
        value = body.get(name)
        if isinstance(value, dict):  # loguru's level, process, time
            value = value.get(inner)
        if isinstance(value, str | int | float) and not isinstance(value, bool) and value != "":
            return str(value)
    return ""


def _traceback(body: dict[str, Any], whole: dict[str, Any]) -> str:
    text = _first(body, "exc_info", "exception", "traceback", "stack_trace", "exc_text")
    found = body.get("exception")
    if not text and isinstance(found, dict) and isinstance(whole.get("text"), str):  # loguru
        at = whole["text"].find(_TRACEBACK)
        text = whole["text"][at:] if at >= 0 else f"{found.get('type')}: {found.get('value')}"
    if not text and isinstance(found, list):  # structlog, the last raised first
        raised = [one for one in found if isinstance(one, dict)]
        text = "\n".join(f"{one.get('exc_type')}: {one.get('exc_value')}" for one in reversed(raised))
    return text


def _facts(body: dict[str, Any]) -> Labels:
    extra = body.get("extra")
    both = {**extra, **body} if isinstance(extra, dict) else body
    return labels(**{name: clean(_first(both, *names))[:MAX_FACT_CHARACTERS] for name, names in FACTS.items()})


def _time(text: str, now: float, zone: Zone) -> float | None:
    return float(text) if _EPOCH.fullmatch(text) else epoch(text, now, zone)
