"""What a record looks like as a line of JSON, by who writes it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

Write = Callable[[str, str, str], str]
"""Level, second within a minute, message -> the line."""


def vllm(level: str, second: str, message: str) -> str:
    """Of 0.32 and later, and of python-json-logger with a format that names these."""
    return json.dumps(
        {
            "asctime": f"2026-11-21 03:05:{second},820",
            "levelname": level,
            "name": "vllm.v1.engine.core",
            "processName": "EngineCore",
            "process": 17517,
            "message": message,
            "vllm_process_name": "EngineCore",
        }
    )


def python_json_logger(level: str, second: str, message: str) -> str:
    """With its own time, a renamed level and what a call adds."""
    time = f"2026-11-21T03:05:{second}.820000+00:00"
    return json.dumps({"message": message, "level": level, "taskName": None, "took": 0.25, "timestamp": time})


def structlog(level: str, second: str, message: str) -> str:
    """As orjson writes it, without blanks, and without escapes."""
    body = {
        "request_id": "cmpl-7",
        "event": message,
        "level": level.lower(),
        "timestamp": f"2026-11-21T03:05:{second}Z",
    }
    return json.dumps(body, ensure_ascii=False, separators=(",", ":"))


def loguru(level: str, second: str, message: str) -> str:
    """With `serialize=True`."""
    record: dict[str, Any] = {
        "elapsed": {"repr": "0:00:01.500000", "seconds": 1.5},
        "exception": None,
        "extra": {"request_id": "cmpl-7"},
        "file": {"name": "core.py", "path": "/srv/core.py"},
        "function": "step",
        "level": {"icon": "ℹ️", "name": level, "no": 20},  # noqa: RUF001  # the sign that it writes
        "line": 7,
        "message": message,
        "module": "core",
        "name": "__main__",
        "process": {"id": 17517, "name": "MainProcess"},
        "thread": {"id": 140_735, "name": "MainThread"},
        "time": {"repr": f"2026-11-21 03:05:{second}.820000+00:00", "timestamp": 1_795_230_331.0 + int(second)},
    }
    return json.dumps({"text": f"2026-11-21 03:05:{second}.820 | {level: <8} | core - {message}\n", "record": record})


WRITERS: tuple[Write, ...] = (vllm, python_json_logger, structlog, loguru)
