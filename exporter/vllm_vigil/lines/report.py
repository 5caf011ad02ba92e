"""What a followed path tells about itself: to telemetry on every change, to the log once per trouble and at its end."""

from __future__ import annotations

import errno

from loguru import logger

from vllm_vigil.lines.generation import NotRegular, OurOwn
from vllm_vigil.lines.mark import Mark
from vllm_vigil.telemetry import Telemetry

TRUNCATED = "truncated"
GONE = "gone"
TOO_LONG = "line_too_long"
DROPPED = "dropped"
LOSSES = (TRUNCATED, GONE, TOO_LONG, DROPPED)
"""The label values of `cause`."""


class Report:
    """Tells of one path, and remembers what it told."""

    def __init__(self, name: str, telemetry: Telemetry) -> None:
        self._name = name
        self._telemetry = telemetry
        self._trouble: str | None = None  # None before the first look, "" while there is none
        self._lag = (-1, 0.0)

    @property
    def readable(self) -> bool:
        """Whether the path was open at the last look."""
        return self._trouble == ""

    def expect(self) -> None:
        """Every kind of loss is counted from 0."""
        for cause in LOSSES:
            self._telemetry.log_lost(self._name, cause, 0)

    def lag(self, size_bytes: int, seconds: float) -> None:
        """So much waits to be read, the oldest of it for so long."""
        if (size_bytes, seconds) != self._lag:
            self._telemetry.log_lag(self._name, size_bytes, seconds)
            self._lag = (size_bytes, seconds)

    def cut(self, size_bytes: int) -> None:
        """So much was left out of lines that were too long."""
        if size_bytes:
            self._telemetry.log_lost(self._name, TOO_LONG, size_bytes)

    def gap(self, cause: str, size_bytes: int) -> None:
        """So much may have been lost of what is no file."""
        self._telemetry.log_lost(self._name, cause, size_bytes)

    def lost(self, mark: Mark, cause: str) -> None:
        """What followed a mark was truncated or removed; how much is known only as far as its size was seen."""
        lost_bytes = mark.size - mark.offset
        self._telemetry.log_lost(self._name, cause, lost_bytes)
        logger.log(
            "WARNING" if lost_bytes or cause == TRUNCATED else "INFO",
            "log {!r}: the file that was read up to byte {} was {}, and no copy that goes on from there is beside it: "
            "{} unread bytes were seen, and whatever was written after them is lost too. Let logrotate rename (create) "
            "instead of copytruncate, with delaycompress",
            self._name,
            mark.offset,
            "truncated or overwritten" if cause == TRUNCATED else "removed",
            lost_bytes,
        )

    def trouble(self, error: OSError, *, expected: bool) -> None:
        """The path cannot be read; `expected` while a renamed file is still being read."""
        self.say(_told(error), expected=expected)

    def say(self, told: str, *, expected: bool = False) -> None:
        """The log cannot be read, for a reason in words; told once."""
        if told != self._trouble:
            self._telemetry.log_readable(self._name, readable=False)
            logger.log("INFO" if expected else "WARNING", "log {!r} {}", self._name, told)
        self._trouble = told

    def good(self) -> None:
        """The path is open."""
        if self._trouble != "":
            self._telemetry.log_readable(self._name, readable=True)
        if self._trouble:
            logger.info("log {!r} is being read", self._name)
        self._trouble = ""

    def over(self) -> None:
        """The path is no longer followed."""
        self._telemetry.log_gone(self._name)


def _told(error: OSError) -> str:
    if isinstance(error, NotRegular):
        return f"{error.strerror}: have the server write to a file"
    if isinstance(error, OurOwn):
        return f"{error.strerror}: followed, it would feed on itself; have vLLM and vigil write to two files"
    if error.errno in {errno.EMFILE, errno.ENFILE}:
        return "cannot be opened, for no descriptor is left: raise the limit of open files (LimitNOFILE, ulimit -n)"
    if error.errno == errno.ENOENT:
        return "does not exist: it is followed from its beginning when it appears"
    if error.errno in {errno.EACCES, errno.EPERM}:
        return "may not be read: put this user into a group that may read it"
    return f"cannot be read: {error.strerror}; it is tried again at every look"
