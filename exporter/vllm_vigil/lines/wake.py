"""Files that appear, move or vanish -> one "look again" on the loop. The only importer of watchdog.

Promise: it only wakes. Without inotify (limits, network file systems) the timer finds the same a little later, so
every trouble here is one warning. Modify events are left out of the mask: they cost half a core at 10,000 writes a
second, and the timer reads what was written anyway.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import glob
import os
from collections.abc import Callable, Iterable
from pathlib import Path

from loguru import logger
from watchdog.events import (
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver

EVENTS: list[type[FileSystemEvent]] = [
    FileCreatedEvent,
    FileMovedEvent,
    FileDeletedEvent,
    DirCreatedEvent,
    DirMovedEvent,
    DirDeletedEvent,
]
STOP_SECONDS = 2.0
LIMITS = {
    errno.EMFILE: "raise the sysctl fs.inotify.max_user_instances, or the limit of open files",
    errno.ENOSPC: "raise the sysctl fs.inotify.max_user_watches",
}


class _Call(FileSystemEventHandler):
    """What watchdog's thread runs for each event: hands one call to the loop, and nothing that could raise."""

    def __init__(self, loop: asyncio.AbstractEventLoop, wake: Callable[[], None]) -> None:
        self._loop = loop
        self._wake = wake

    def dispatch(self, event: FileSystemEvent) -> None:  # noqa: ARG002  # which file it was, the next look sees
        with contextlib.suppress(RuntimeError):  # the loop is closed: we are stopping
            self._loop.call_soon_threadsafe(self._wake)


class Watch:
    """Watches the directories of some paths and globs, and calls `wake` on the loop's thread."""

    def __init__(self, paths: Iterable[str], wake: Callable[[], None]) -> None:
        self._paths = tuple(paths)
        self._wake = wake
        self._observer: BaseObserver | None = None

    def start(self) -> None:
        """Begin, on the running loop. A directory that is missing now is left to the timer."""
        call = _Call(asyncio.get_running_loop(), self._wake)
        directories = sorted({directory for path in self._paths for directory in _directories(path)})
        if not directories:
            return
        try:
            self._observer = Observer()
            self._observer.start()
            for directory in directories:
                self._observer.schedule(call, directory, recursive=False, event_filter=EVENTS)
        except OSError as error:
            logger.warning(
                "new and rotated logs are noticed by the timer only, because the kernel gave no watch ({}): {}",
                error.strerror,
                LIMITS.get(error.errno or 0, "nothing else is affected"),
            )

    def stop(self) -> None:
        """End it, and give its threads a moment to go."""
        observer, self._observer = self._observer, None
        if observer is not None and observer.is_alive():
            observer.stop()
            observer.join(STOP_SECONDS)


def _directories(path: str) -> list[str]:
    """The directories, there now, in which what the path names may appear."""
    directory = os.path.dirname(path)  # noqa: PTH120  # a glob is a text, not a Path
    return [found for found in {directory, *glob.glob(directory)} if Path(found).is_dir()]  # noqa: PTH207  # as above
