"""Files that appear, move, vanish or are written to -> one "look again" on the loop. The only importer of watchdog.

Promise: it only wakes. Without inotify (limits, network file systems) the timer finds the same a little later, so
every trouble here is one warning.

The kernel is asked through watchdog's bindings and without its threads, which take half a core for 10,000 writes a
second, and a tenth for a thousand files that come and go. `Watch` hears of names in the directories of the logs, and
wakes for those that a path or glob may mean: what else happens in a busy directory costs a comparison. `Writes` has the
kernel tell of one event: the first write to a file that was quiet (or its renaming, or its deletion) is told and ends
the watch, and whoever reads the file asks again when it is done. A busy file costs one event a read, however many lines
come between two; a quiet one costs nothing, so it need not be looked at.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fnmatch
import glob
import os
import re
import struct
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from ctypes import get_errno
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

from loguru import logger
from watchdog.observers.inotify_c import InotifyConstants, inotify_add_watch, inotify_init, inotify_rm_watch

from vllm_vigil.lines.news import Key

if TYPE_CHECKING:  # names of its own types, which it has since 7
    from watchdog.observers.inotify_c import Mask, WatchDescriptor

NAMES = cast(
    "Mask",
    InotifyConstants.IN_CREATE
    | InotifyConstants.IN_DELETE
    | InotifyConstants.IN_MOVED_FROM
    | InotifyConstants.IN_MOVED_TO,
)
CHANGES = InotifyConstants.IN_MODIFY | InotifyConstants.IN_MOVE_SELF | InotifyConstants.IN_ATTRIB
"""Written to or truncated; renamed; its number of links changed, or its permissions."""
FIRST_CHANGE = cast("Mask", CHANGES | InotifyConstants.IN_ONESHOT)
TELLS = CHANGES | InotifyConstants.IN_Q_OVERFLOW
EVENT = struct.Struct("iIII")
"""The kernel's `inotify_event`: watch, mask, cookie, and the length of the name that follows, 0 for a file."""
MOST_BYTES = 4096 * EVENT.size  # taken at once
PAUSE_SECONDS = 0.02

LIMITS = {
    errno.EMFILE: "raise the sysctl fs.inotify.max_user_instances, or the limit of open files",
    errno.ENOSPC: "raise the sysctl fs.inotify.max_user_watches",
}


class Watch:
    """Calls `wake` on the loop's thread when a name comes or goes that one of some paths and globs may mean."""

    def __init__(self, paths: Iterable[str], wake: Callable[[], None]) -> None:
        self._paths = tuple(paths)
        self._wake = wake
        self._means = meaning(self._paths)
        self._inotify = -1
        self._directories: dict[int, str] = {}  # by the kernel's number for the watch
        self._pause: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin, on the running loop. A directory that is missing now is left to the timer."""
        directories = sorted({directory for path in self._paths for directory in _directories(path)})
        if not directories:
            return
        self._inotify = _inotify()
        if self._inotify < 0:
            _tell("new and rotated logs")
            return
        for directory in directories:
            watch = inotify_add_watch(self._inotify, os.fsencode(directory), NAMES)
            if watch < 0:
                _tell("new and rotated logs")
                break
            self._directories[watch] = directory
        self._listen()

    def stop(self) -> None:
        """End it."""
        if self._pause is not None:
            self._pause.cancel()
        if self._inotify >= 0:
            asyncio.get_running_loop().remove_reader(self._inotify)
            os.close(self._inotify)
        self._inotify, self._pause = -1, None

    def _listen(self) -> None:
        asyncio.get_running_loop().add_reader(self._inotify, self._hear)

    def _hear(self) -> None:
        """Take what the kernel tells, then nothing for a while: names that come by the thousand are read together."""
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._inotify)
        self._pause = loop.call_later(PAUSE_SECONDS, self._listen)
        if any(self._matters(*each) for each in _named(os.read(self._inotify, MOST_BYTES))):
            self._wake()

    def _matters(self, watch: int, mask: int, name: bytes) -> bool:
        path = os.path.join(self._directories.get(watch, ""), os.fsdecode(name))  # noqa: PTH118  # a text, as in a glob
        return bool(mask & InotifyConstants.IN_Q_OVERFLOW or self._means.fullmatch(path))


def meaning(paths: Iterable[str]) -> re.Pattern[str]:
    """What matches every path that these paths and globs may mean."""
    return re.compile("|".join(f"{re.escape(path)}|{fnmatch.translate(path)}" for path in paths))


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
        self._inotify = _inotify()
        if self._inotify < 0:
            self._tell()
            return
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
            _tell("written logs")
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


def _inotify() -> int:
    """What the kernel tells through, -1 if it gives none."""
    descriptor = inotify_init()
    if descriptor >= 0:
        os.set_inheritable(descriptor, False)  # noqa: FBT003  # as it is declared
        os.set_blocking(descriptor, False)
    return descriptor


def _named(told: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Watch, mask and name of each event."""
    at = 0
    while at < len(told):
        watch, mask, _, length = EVENT.unpack_from(told, at)
        at += EVENT.size + length
        yield watch, mask, told[at - length : at].rstrip(b"\0")


def _tell(what: str) -> None:
    """Say that the kernel has just refused."""
    code = get_errno()
    logger.warning(
        "{} are noticed by the timer only, because the kernel gave no watch ({}): {}",
        what,
        os.strerror(code),
        LIMITS.get(code, "nothing else is affected"),
    )


def _directories(path: str) -> list[str]:
    """The directories, there now, in which what the path names may appear."""
    directory = os.path.dirname(path)  # noqa: PTH120  # a glob is a text, not a Path
    return [found for found in {directory, *glob.glob(directory)} if Path(found).is_dir()]  # noqa: PTH207  # as above
