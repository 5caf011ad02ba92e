"""One physical line -> what it says about itself: shape, level, process, time, text.

Every format that vLLM has written since 0.1, decided line by line, because one file holds several: its own prefix,
JSON, uvicorn's, PyTorch's and NCCL's C++ lines, kernel and systemd lines of a journal, and raw text such as tracebacks.
The formats are those of the project's catalogue of vLLM logs and of its recorded samples.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Any

from vllm_vigil.events.times import epoch

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
MAX_LINE_CHARACTERS = 16_384

_LEVEL = "|".join(LEVELS)
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-_])|\x9b[0-?]*[ -/]*[@-~]")
_CONTROLS = dict.fromkeys((*range(9), *range(10, 32), *range(127, 160), 0x2028, 0x2029), " ")
_JOURNAL = re.compile(  # `journalctl -o short`, `-o short-iso`, rsyslog
    r"(?P<time>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d)) "
    r"\S+ (?P<tag>[^\s:\[\]]+)(?:\[(?P<pid>\d+)\])?: (?P<rest>.*)"
)
_PROCESS = re.compile(r"\((?P<process>[^()]{1,80}?) pid=(?P<pid>\d+)(?:, ip=[^()]{1,64})?\) ?")
_RECORD = re.compile(  # 0.1 has `file:1]`, 0.8 and later `[file:1]`
    rf"(?P<level>{_LEVEL}) (?P<time>(?:\d{{4}}-)?\d\d-\d\d \d\d:\d\d:\d\d)\S* "
    r"\[?(?P<source>[^\[\]\s:]+:\d+)\] ?(?P<text>.*)"
)
_UVICORN = re.compile(rf"(?P<level>{_LEVEL}): {{1,5}}(?P<text>.*)")
_CPP = re.compile(  # glog: `E918` is 18 September
    r"(?:\[rank(?P<rank>\d+)\]:)?\[(?P<level>[IWEF])(?P<month>\d{1,2})(?P<day>\d\d) (?P<time>\d\d:\d\d:\d\d)\.\d+ "
    r"(?:\d+ )?(?P<source>[\w.]+:\d+)\] (?P<text>.*)"
)
_NCCL = re.compile(r"\S+:(?P<pid>\d+):\d+ \[\d+\] NCCL (?P<level>WARN|INFO) (?P<text>.*)")
_CPP_LEVELS = {"I": "INFO", "W": "WARNING", "E": "ERROR", "F": "CRITICAL", "WARN": "WARNING", "INFO": "INFO"}


class Shape(Enum):
    """Which of the formats a line has."""

    RECORD = auto()  # vLLM's prefix
    DOCUMENT = auto()  # JSON
    UVICORN = auto()
    CPP = auto()  # PyTorch's and NCCL's own lines
    RAW = auto()


@dataclass(frozen=True, slots=True)
class Part:
    """One line: its shape, and what it says. `source` is `file.py:line`; texts hold no control characters."""

    shape: Shape
    text: str
    level: str = ""
    process: str = ""
    pid: str = ""
    at: float | None = None
    source: str = ""
    traceback: str = ""


def read(data: bytes, now: float) -> Part:
    """What one line says; `now` (epoch seconds) gives the year where it has none."""
    text = data[: 8 * MAX_LINE_CHARACTERS].decode("utf-8", "replace").rstrip("\r\n")
    if text.startswith("{"):
        part = _document(text, now)
        if part:
            return part
    text = _ESCAPES.sub("", text) if "\x1b" in text or "\x9b" in text else text
    part = _plain(text, now)
    if part.shape is Shape.RAW and "\r" in text:  # a progress bar rewrites its line; what it ends in is what stays
        part = _plain(text.rsplit("\r", 1)[-1], now)
    return replace(part, text=clean(part.text)) if not part.text.isprintable() else part


def clean(text: str) -> str:
    """The text without escapes, other control characters as blanks, cut to what is kept of one line."""
    return _ESCAPES.sub("", text)[:MAX_LINE_CHARACTERS].translate(_CONTROLS)


def _plain(text: str, now: float) -> Part:
    text = text[:MAX_LINE_CHARACTERS]
    journal = _JOURNAL.match(text) if text[6:7] == " " or text[10:11] == "T" else None
    if not journal:
        return _unwrapped(text, now)
    at = epoch(journal["time"], now)
    if journal["tag"] in ("kernel", "systemd"):
        return Part(Shape.RAW, journal["rest"], process=journal["tag"], pid=journal["pid"] or "", at=at)
    part = _unwrapped(journal["rest"], now)
    return part if part.at is not None else replace(part, at=at, pid=part.pid or journal["pid"] or "")


def _unwrapped(text: str, now: float) -> Part:
    process, pid = "", ""
    mark = _PROCESS.match(text) if text.startswith("(") else None
    if mark:
        process, pid, text = mark["process"], mark["pid"], text[mark.end() :]
    match = _RECORD.match(text)
    if match:
        at = epoch(match["time"], now)
        return Part(Shape.RECORD, match["text"], match["level"], process, pid, at, match["source"])
    match = _UVICORN.match(text)
    if match:
        return Part(Shape.UVICORN, match["text"], match["level"], process, pid)
    match = _CPP.match(text) if text.startswith("[") else None
    if match:
        at = epoch(f"{int(match['month']):02}-{match['day']} {match['time']}", now)
        return Part(Shape.CPP, match["text"], _CPP_LEVELS[match["level"]], process, pid, at, match["source"])
    match = _NCCL.match(text) if " NCCL " in text else None
    if match:
        return Part(Shape.CPP, f"NCCL {match['text']}", _CPP_LEVELS[match["level"]], process, pid or match["pid"])
    return Part(Shape.RAW, text, "", process, pid)


def _document(text: str, now: float) -> Part | None:
    """vLLM 0.32's JSON, python-json-logger's, structlog's, and loguru's (`record` inside)."""
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if isinstance(body, dict) and isinstance(body.get("record"), dict):
        body = body["record"]
    if not isinstance(body, dict):
        return None
    message = _first(body, "message", "msg", "event")
    level = _level(_first(body, "levelname", "level", "severity", "lvl"))
    if not message and not level:
        return None
    first, _, rest = message.partition("\n")
    trace = _first(body, "exc_info", "exception", "traceback", "stack_trace", "exc_text")
    below = "\n".join(clean(line) for line in f"{rest}\n{trace}".split("\n") if line)
    return Part(
        Shape.DOCUMENT,
        clean(first),
        level,
        clean(_first(body, "vllm_process_name", "processName", "process_name")),
        clean(_first(body, "process", "pid", inner="id")),
        _time(_first(body, "asctime", "timestamp", "time", "ts", "@timestamp", inner="timestamp"), now),
        traceback=below,
    )


def _first(body: dict[str, Any], *names: str, inner: str = "name") -> str:
    for name in names:
        value = body.get(name)
        if isinstance(value, dict):  # loguru's level, process, time
            value = value.get(inner)
        if isinstance(value, str | int | float) and not isinstance(value, bool) and value != "":
            return str(value)
    return ""


def _level(text: str) -> str:
    level = {"WARN": "WARNING", "FATAL": "CRITICAL", "ERR": "ERROR"}.get(text.upper(), text.upper())
    return level if level in LEVELS else ""


def _time(text: str, now: float) -> float | None:
    if re.fullmatch(r"\d{10}(?:\.\d+)?", text):
        return float(text)
    return epoch(text, now)
