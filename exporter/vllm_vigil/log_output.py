"""What we log -> standard error: for a person on a terminal, with journald's levels under systemd, else JSON.

Every message is masked on its way out: it may quote a log line, a label or an error of somebody else's making. The
log of the libraries (`logging`) comes through the same door, from WARNING on: below that some of them print secrets.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TextIO

from loguru import logger

from vllm_vigil.redact import mask

if TYPE_CHECKING:
    from loguru import Message, Record

LONGEST_MESSAGE = 4_000
JOURNAL_PRIORITY = {"DEBUG": 7, "INFO": 6, "SUCCESS": 5, "WARNING": 4, "ERROR": 3, "CRITICAL": 2}


def configure(level: str, style: str, stream: TextIO = sys.stderr, environment: Mapping[str, str] = os.environ) -> None:
    """Send our log, and the libraries', to the stream. `style` is auto, human, json or journal."""
    style = detect(stream, environment) if style == "auto" else style
    render = {"human": human, "json": as_json, "journal": journal}[style]
    logger.remove()
    logger.add(_sink(stream, render), level=level.upper(), format="{message}", backtrace=False, diagnose=False)
    logging.basicConfig(handlers=[_Relay()], level=logging.WARNING, force=True)


def detect(stream: TextIO, environment: Mapping[str, str]) -> str:
    """Which style the place asks for: systemd says which stream is its journal by device and inode."""
    journal_stream = environment.get("JOURNAL_STREAM")
    if journal_stream:
        status = os.fstat(stream.fileno())
        if journal_stream == f"{status.st_dev}:{status.st_ino}":
            return "journal"
    return "human" if stream.isatty() else "json"


def human(record: Record) -> str:
    """`12:03:44 WARNING  text`."""
    return f"{record['time']:%H:%M:%S} {record['level'].name:<8} {_text(record)}"


def as_json(record: Record) -> str:
    """One object a line, with the names that Loki and Elasticsearch pipelines expect."""
    body = {
        "time": record["time"].isoformat(timespec="milliseconds"),
        "level": record["level"].name.lower(),
        "logger": record["name"],
        "message": _text(record),
    }
    return json.dumps(body, ensure_ascii=False)


def journal(record: Record) -> str:
    """`<4>text`: journald reads the priority and adds the time."""
    priority = JOURNAL_PRIORITY.get(record["level"].name, 6)
    return "\n".join(f"<{priority}>{line}" for line in _text(record).splitlines() or [""])


def _sink(stream: TextIO, render: Callable[[Record], str]) -> Callable[[Message], None]:
    def write(message: Message) -> None:
        stream.write(render(message.record) + "\n")
        stream.flush()

    return write


def _text(record: Record) -> str:
    """The message, and the traceback of an exception that was logged with it."""
    text = record["message"]
    exception = record["exception"]
    if exception is not None and exception.type is not None:
        text += f" [{exception.type.__name__}: {exception.value}]"
    return mask(text, LONGEST_MESSAGE)


class _Relay(logging.Handler):
    """The libraries' log into ours."""

    def emit(self, record: logging.LogRecord) -> None:
        level = record.levelname if record.levelname in JOURNAL_PRIORITY else "WARNING"
        logger.opt(depth=6).log(level, "{}: {}", record.name, record.getMessage())
