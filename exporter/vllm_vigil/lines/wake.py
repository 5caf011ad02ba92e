"""Files that appear, move, vanish or are written to -> one "look again" on the loop. The only importer of watchdog.

Promise: it only wakes. Without inotify (limits, network file systems) the timer finds the same a little later, so
every trouble here is one warning.

Two ways, because a modify event for each of 10,000 writes a second costs half a core in watchdog's thread. `Watch` has
watchdog report what happens to names, modify events left out of its mask. `Writes` asks the kernel itself, for one
event: the first write to a file that was quiet (or its renaming, or its deletion) is told and ends the watch, and
whoever reads the file asks again when it is done. A busy file costs one event a read, however many lines come between
two; a quiet one costs nothing, so it need not be looked at.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import glob
import os
import struct
from collections.abc import Callable, Collection, Iterable, Mapping
from ctypes import get_errno
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

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
from watchdog.observers.inotify_c import InotifyConstants, inotify_add_watch, inotify_init, inotify_rm_watch

from vllm_vigil.lines.news import Key

if TYPE_CHECKING:  # names of its own types, which it has since 7
    from watchdog.observers.inotify_c import Mask, WatchDescriptor

EVENTS: list[type[FileSystemEvent]] = [
    FileCreatedEvent,
    FileMovedEvent,
    FileDeletedEvent,
    DirCreatedEvent,
    DirMovedEvent,
    DirDeletedEvent,
]
CHANGES = InotifyConstants.IN_MODIFY | InotifyConstants.IN_MOVE_SELF | InotifyConstants.IN_ATTRIB
"""Written to or truncated; renamed; its number of links changed, or its permissions."""
FIRST_CHANGE = cast("Mask", CHANGES | InotifyConstants.IN_ONESHOT)
TELLS = CHANGES | InotifyConstants.IN_Q_OVERFLOW
EVENT = struct.Struct("iIII")
"""The kernel's `inotify_event`: watch, mask, cookie, and the length of the name that follows, here always 0."""
MOST_BYTES = 4096 * EVENT.size  # taken at once
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
            _tell("new and rotated logs", error)

    def stop(self) -> None:
        """End it, and give its threads a moment to go."""
        observer, self._observer = self._observer, None
        if observer is not None and observer.is_alive():
            observer.stop()
            observer.join(STOP_SECONDS)


class Heard(NamedTuple):
    """What `Writes` knows of files.

    `stirred` ones have changed since they were listened to, or were not listened to until now; `unheard` ones cannot be
    listened to; `untold` ones grew without a word.
    """

    stirred: frozenset[Key]
    unheard: frozenset[Key]
    untold: frozenset[Key]


class Writes:
    """Calls `wake` on the loop's thread at the first write to each of the files that are listened to."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._inotify = -1
        self._watches: dict[Key, WatchDescriptor] = {}  # files listened to -> the kernel's number for it
        self._stirred: frozenset[Key] = frozenset()  # of the last call
        self._told = False

    def start(self) -> None:
        """Begin, on the running loop."""
        self._inotify = inotify_init()
        if self._inotify < 0:
            self._tell()
            return
        os.set_inheritable(self._inotify, False)  # noqa: FBT003  # as it is declared
        os.set_blocking(self._inotify, False)
        asyncio.get_running_loop().add_reader(self._inotify, self._hear)

    def listen(self, files: Mapping[Key, str], grown: Collection[Key] = frozenset()) -> Heard:
        """Listen to these files, by a path that leads to each, from now on and to no others; what was heard until now.

        A file that was written to since the last call is listened to anew, so call it before reading, and what is
        written while you read wakes you. `grown` are files that were seen to have grown since the last call.
        """
        if self._inotify < 0:
            return Heard(frozenset(files), frozenset(files), frozenset())
        self._hear()  # the kernel may have given the number of a file that is gone to another one
        untold = (self._watches.keys() & grown) - self._stirred
        for key in self._watches.keys() - files.keys():
            inotify_rm_watch(self._inotify, self._watches.pop(key))
        self._stirred = frozenset(files.keys() - self._watches.keys())
        for key in self._stirred:
            watch = inotify_add_watch(self._inotify, os.fsencode(files[key]), FIRST_CHANGE)
            if watch >= 0:
                self._watches[key] = watch
            else:
                self._tell()
        return Heard(self._stirred, self._stirred - self._watches.keys(), frozenset(untold))

    def stop(self) -> None:
        """End it."""
        if self._inotify >= 0:
            asyncio.get_running_loop().remove_reader(self._inotify)
            os.close(self._inotify)
        self._inotify, self._watches = -1, {}

    def _hear(self) -> None:
        """Take all that the kernel tells: a write, the end of a watch, or that it had no room for more."""
        with contextlib.suppress(BlockingIOError):
            while len(told := os.read(self._inotify, MOST_BYTES)) == MOST_BYTES:
                self._take(told)
            self._take(told)

    def _take(self, told: bytes) -> None:
        events = [(watch, mask) for watch, mask, _, _ in EVENT.iter_unpack(told)]
        if any(mask & InotifyConstants.IN_Q_OVERFLOW for _, mask in events):
            self._watches.clear()  # nobody knows which have ended; to listen twice is to listen once
        ended = {watch for watch, _ in events}
        self._watches = {key: watch for key, watch in self._watches.items() if watch not in ended}
        if any(mask & TELLS for _, mask in events):
            self._wake()

    def _tell(self) -> None:
        if not self._told:
            code = get_errno()
            _tell("written logs", OSError(code, os.strerror(code)))
        self._told = True


class Pipes:
    """Calls `wake` once when one of the pipes that are listened to has something to read, or has ended."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._open: tuple[int, ...] = ()

    def listen(self, descriptors: tuple[int, ...]) -> None:
        """Listen to these, on the running loop; what is in them already counts, so call it after reading."""
        self._open = descriptors
        for descriptor in descriptors:
            asyncio.get_running_loop().add_reader(descriptor, self._hear)

    def mute(self) -> None:
        """Listen to none; before they may be closed."""
        for descriptor in self._open:
            asyncio.get_running_loop().remove_reader(descriptor)
        self._open = ()

    def _hear(self) -> None:
        self.mute()
        self._wake()


def _tell(what: str, error: OSError) -> None:
    logger.warning(
        "{} are noticed by the timer only, because the kernel gave no watch ({}): {}",
        what,
        error.strerror,
        LIMITS.get(error.errno or 0, "nothing else is affected"),
    )


def _directories(path: str) -> list[str]:
    """The directories, there now, in which what the path names may appear."""
    directory = os.path.dirname(path)  # noqa: PTH120  # a glob is a text, not a Path
    return [found for found in {directory, *glob.glob(directory)} if Path(found).is_dir()]  # noqa: PTH207  # as above
