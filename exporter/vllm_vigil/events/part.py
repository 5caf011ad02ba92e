"""What one physical line is: its shape, and what it says about itself."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from vllm_vigil.model import Labels

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
_OTHER_NAMES = {
    "WARN": "WARNING",
    "FATAL": "CRITICAL",
    "ERR": "ERROR",
    "EXCEPTION": "ERROR",
    "TRACE": "DEBUG",
    "SUCCESS": "INFO",
    "NOTICE": "INFO",
}


def level_of(text: str) -> str:
    """Our name of a level that another library calls so, "" if it is none."""
    level = _OTHER_NAMES.get(text.upper(), text.upper())
    return level if level in LEVELS else ""


def names_of(level: str) -> tuple[str, ...]:
    """Whatever anybody calls a level of ours."""
    return (level, *(name for name, ours in _OTHER_NAMES.items() if ours == level))


class Shape(Enum):
    """Which of the formats a line has."""

    RECORD = auto()  # vLLM's prefix
    DOCUMENT = auto()  # JSON
    UVICORN = auto()
    CPP = auto()  # PyTorch's and NCCL's own lines
    RAW = auto()


@dataclass(frozen=True, slots=True)
class Part:
    """One line: its shape, and what it says.

    `source` is `file.py:line`; texts hold no control characters. `facts` are what it says beside its text:
    `request_id`, `duration_seconds`, `gpu`.
    """

    shape: Shape
    text: str
    level: str = ""
    process: str = ""
    pid: str = ""
    at: float | None = None
    source: str = ""
    traceback: str = ""
    facts: Labels = ()
