"""The configured logs -> the paths that they name now, each with its server: globs, containers, and plain paths.

Every glob and container that leads nowhere is reported while it does, and every path that is passed over is told once.
"""

from __future__ import annotations

import errno
import glob
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from loguru import logger

from vllm_vigil.lines.docker import Containers
from vllm_vigil.lines.report import Report
from vllm_vigil.lines.roll import Followed
from vllm_vigil.lines.settings import LogSettings
from vllm_vigil.lines.siblings import rotated
from vllm_vigil.telemetry import Telemetry

Logs = Mapping[str, tuple[LogSettings, ...]]
"""The logs of each server, by its configured name."""


def nothing_at(path: str) -> OSError:
    """Why a glob leads nowhere: there is nothing, or the directory where it begins is closed to us."""
    directory = next(each for each in Path(path).parents if each == each.parent or os.path.isdir(each))  # noqa: PTH112
    if os.access(directory, os.R_OK | os.X_OK):
        return FileNotFoundError(errno.ENOENT, "no such file", path)
    return PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(directory))


class Paths:
    """Looks for what is to be followed. `pumped`: somebody reads standard input for us."""

    def __init__(self, logs: Logs, telemetry: Telemetry, *, pumped: bool) -> None:
        self._logs = logs
        self._telemetry = telemetry
        self._pumped = pumped
        self._containers = Containers()
        self._empty: dict[str, Report] = {}  # of what leads nowhere
        self._seen: set[str] = set()  # configured logs that were looked for before
        self._passed_over: set[str] = set()

    @property
    def none(self) -> bool:
        """Whether there is nothing to look for."""
        return not any(self._logs.values())

    @property
    def empty(self) -> tuple[Followed, ...]:
        """The globs and containers that led nowhere at the last look."""
        empty = [(server, log.name) for server, log in self._each() if log.name in self._empty]
        return tuple(Followed(name, server, readable=False, lag_bytes=None) for server, name in empty)

    def found(self) -> dict[str, tuple[str, LogSettings]]:
        """Name -> the server, and the configured log that led to it. The first server that names one has it."""
        found: dict[str, tuple[str, LogSettings]] = {}
        for server, log in self._each():
            for name in self._names(log):
                found.setdefault(name, (server, log))
        return found

    def seen(self) -> None:
        """What was found is dealt with: what is found from now on appeared since."""
        self._seen |= {log.name for _, log in self._each()}

    def first_sight(self, log: LogSettings) -> bool:
        """Whether it is looked for for the first time."""
        return log.name not in self._seen

    def pass_over(self, name: str, what: str) -> bool:
        """Say once that a path is not followed, because it is `what`; True."""
        if name not in self._passed_over:
            logger.info("log {!r} is {}: not followed", name, what)
            self._passed_over.add(name)
        return True

    def _each(self) -> Iterator[tuple[str, LogSettings]]:
        for server, settings in self._logs.items():
            for log in settings:
                yield server, log

    def _names(self, log: LogSettings) -> list[str]:
        if log.docker:
            logs = self._containers.logs(log.docker_root, log.docker)
            self._told_empty(log.name, empty=not logs)
            return logs
        if log.stdin and not self._pumped:
            return []  # replayed or tested: nobody pumps
        return [log.name] if log.journal or log.stdin else self._expand(log.path)

    def _expand(self, path: str) -> list[str]:
        if not glob.has_magic(path) or os.path.lexists(path):
            return [path]
        names = glob.glob(path)  # noqa: PTH207  # the shell's rules: a * leaves out dotfiles
        self._told_empty(path, empty=not names)
        paths = set(names)
        return sorted(name for name in names if not (rotated(name, paths) and self.pass_over(name, "a rotated file")))

    def _told_empty(self, path: str, *, empty: bool) -> None:
        if empty:
            report = self._empty.setdefault(path, Report(path, self._telemetry))
            report.trouble(nothing_at(path), expected=False)
        elif path in self._empty:
            self._empty.pop(path).over()
