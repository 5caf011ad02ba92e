"""One path -> the lines written to it, through rename rotation, copytruncate, deletion, symlink swaps and restarts.

Several generations of the file may be open at once: what was renamed away is read on, because its writer may never
let go of it, and comes before what now stands at the path. What could not be read any more is counted, never guessed.
Expected trouble (gone, no permission, no regular file) is reported and tried again at the next look.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from typing import Protocol

from loguru import logger

from vllm_vigil.clock import Clock
from vllm_vigil.lines.generation import Generation
from vllm_vigil.lines.mark import Mark
from vllm_vigil.lines.report import GONE, TRUNCATED, Report
from vllm_vigil.lines.siblings import siblings
from vllm_vigil.model import Line

QUIET_SECONDS = 30.0
"""A renamed file is let go when it has not grown for so long, and the new one is written to or the old one deleted."""
RETIRED_LIMIT = 8
"""So many renamed files of one path stay open; beyond that the oldest that was read to its end is let go at once."""
MISSING = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})


class Place(Protocol):
    """Anything that says where it begins: a `Line`, a `Record`."""

    @property
    def file(self) -> str:
        """The followed path."""
        ...

    @property
    def generation(self) -> str:
        """The id of the file generation."""
        ...

    @property
    def offset(self) -> int:
        """That of its first byte."""
        ...


class Follower:
    """Follows one path. `marks` is where it was left, None if it was never followed; then `from_end` counts."""

    def __init__(
        self, name: str, server: str, report: Report, clock: Clock, marks: tuple[Mark, ...] | None, *, from_end: bool
    ) -> None:
        self.name = name
        self.server = server
        self.lag_bytes = 0
        self._report = report
        self._clock = clock
        self._marks = marks  # to be found before anything else is done
        self._from_end = from_end
        self._current: Generation | None = None
        self._retired: list[Generation] = []  # oldest first
        self._finished: list[Line] = []  # last lines without an end, to be given with the next

    @property
    def keys(self) -> frozenset[tuple[int, int]]:
        """Device and inode of the files that are open."""
        return frozenset(generation.key for generation in self._open())

    @property
    def waiting(self) -> bool:
        """Whether a read would give or take something now."""
        return bool(self._finished) or self.lag_bytes > 0

    # --- looking

    def look(self) -> None:
        """See what stands at the path now and how much waits to be read."""
        try:
            self._resume()
            self._arrive()
            for generation in self._open():
                if not generation.look():
                    self._replace(generation)
            self._let_go()
        except OSError as error:
            self._begin_again(error)
        self._measure()

    def _resume(self) -> None:
        """Find every file that was left unread, at the path or beside it."""
        if self._marks is None:
            return
        key, restarts = _key_at(self.name), 0
        for mark in self._marks:
            generation = self._find(mark)
            here = mark.key == key
            if generation is None:
                restarts = mark.restarts + 1 if here else restarts
                self._report.lost(mark, TRUNCATED if here else GONE)
            elif generation.key == key:
                self._current = generation
            else:
                restarts = mark.restarts + 1 if here else restarts
                generation.complete = here  # a copy of what stood here: nobody writes to it
                self._retired.append(generation)
        self._marks, self._from_end = None, False
        if key and not self._current:
            self._open_current(restarts)

    def _find(self, mark: Mark) -> Generation | None:
        """The marked file, ready to be read on: the same inode if it still has the content, else one with the same."""
        taken = self.keys
        files = [file for file in siblings(self.name) if file.size >= mark.offset and file.key not in taken]
        for file in sorted(files, key=lambda file: file.key != mark.key):
            likely = file.key == mark.key or (mark.telling and file.named)
            generation = self._open_marked(file.path, mark) if likely else None
            if generation is not None:
                return generation
        return None

    def _open_marked(self, path: str, mark: Mark) -> Generation | None:
        try:
            generation = Generation.open(path, mark.restarts)
        except OSError:
            return None  # no file of ours, or moved meanwhile
        try:
            if mark.fits(generation.descriptor):
                generation.go_to(mark)
                generation.grown_at = self._clock.monotonic()
                return generation
        except OSError:
            generation.close()
            raise
        generation.close()
        return None

    def _arrive(self) -> None:
        """Compare the path with the open file: rename and deletion retire it."""
        try:
            status = os.stat(self.name)  # noqa: PTH116  # done at every look: half the time of Path.stat
        except OSError as error:
            if error.errno in MISSING:
                self._retire()
                self._from_end = False
            self._report.trouble(error, expected=bool(self._retired))
            return
        if self._current and self._current.key == (status.st_dev, status.st_ino):
            self._report.good()
        else:
            self._retire()
            self._open_current(0)

    def _open_current(self, restarts: int) -> None:
        try:
            fresh = Generation.open(self.name, restarts)
        except OSError as error:
            self._report.trouble(error, expected=False)
            return
        known = next((generation for generation in self._retired if generation.key == fresh.key), None)
        if known:  # renamed back, or a symlink swung back
            self._retired.remove(known)
            fresh.close()
        self._current = known or fresh
        self._current.grown_at = self._clock.monotonic()
        if self._from_end:
            fresh.go_to_end()
        self._from_end = False
        self._report.good()

    def _retire(self) -> None:
        if self._current:
            self._current.grown_at = self._clock.monotonic()
            self._retired.append(self._current)
            self._current = None

    def _replace(self, generation: Generation) -> None:
        """The content was truncated or overwritten: read on in a copy if there is one, then from the beginning."""
        mark = generation.mark_read()
        copy = self._find(mark) if mark.telling else None
        if copy:
            copy.take_over(generation)
            copy.complete = True
            copy.look()
            self._retired.append(copy)
            logger.info("log {!r} was truncated at byte {}; the rest is read from its copy", self.name, mark.offset)
        else:
            self._report.lost(mark, TRUNCATED)
            self._finish(generation)
        fresh = generation.begin_anew()
        fresh.grown_at = self._clock.monotonic()
        if generation is self._current:
            self._current = fresh
        else:
            self._retired[self._retired.index(generation)] = fresh
        fresh.look()

    # --- reading

    def read(self, share_bytes: int) -> list[Line]:
        """Lines in the order in which they were written, out of at most so many bytes read now."""
        given, self._finished = self._finished, []
        try:
            for generation in self._open():
                while share_bytes > 0 and generation.waiting_bytes:
                    before = generation.lines.at
                    pieces = generation.read(min(share_bytes, generation.waiting_bytes))
                    if pieces is None or generation.lines.at == before:
                        break  # replaced or shrunk meanwhile: the next look sees to it
                    generation.grown_at = self._clock.monotonic()
                    given += [generation.to_line(piece, self.name, self.server) for piece in pieces]
                    share_bytes -= generation.lines.at - before
                self._report.cut(generation.lines.take_cut())
        except OSError as error:
            self._begin_again(error)
        self._measure()
        return given

    def _measure(self) -> None:
        self.lag_bytes = sum(generation.waiting_bytes for generation in self._open())
        self._report.lag(self.lag_bytes)

    # --- letting go

    def _let_go(self) -> None:
        for generation in list(self._retired):
            if generation.waiting_bytes or generation.held:
                continue
            if generation.complete or self._forsaken(generation) or len(self._retired) > RETIRED_LIMIT:
                self._finish(generation)
                self._retired.remove(generation)
                generation.close()

    def _forsaken(self, generation: Generation) -> bool:
        """Whether a renamed file will not be written to again, as far as one can tell."""
        if self._clock.monotonic() - generation.grown_at < QUIET_SECONDS:
            return False
        newer = self._open()[self._retired.index(generation) + 1 :]
        return any(other.size for other in newer) or generation.deleted

    def _finish(self, generation: Generation) -> None:
        """Nobody will end its last line now: it is given as it is."""
        piece = generation.lines.finish()
        if piece:
            self._finished.append(generation.to_line(piece, self.name, self.server))

    def _begin_again(self, error: OSError) -> None:
        """After a stale handle or an I/O error: let go of everything, and find it again by its marks."""
        self._report.trouble(error, expected=False)
        if self._marks is None and not self._from_end:
            self._marks = tuple(generation.mark() for generation in self._open())
        self.close()

    def close(self) -> None:
        """Give every descriptor back."""
        for generation in self._open():
            generation.close()
        self._current, self._retired = None, []

    def _open(self) -> tuple[Generation, ...]:
        return (*self._retired, self._current) if self._current else tuple(self._retired)

    # --- positions

    def marks(self, held: Iterable[Place]) -> tuple[Mark, ...] | None:
        """Where to go on after a restart, given what is still held; None if that cannot be said now."""
        if self._marks is not None or self._from_end:
            return None
        places = [place for place in held if place.file == self.name]
        try:
            marks = [self._mark(generation, places) for generation in self._open()]
        except OSError:
            return None  # the next look meets the same, and reports it
        return tuple(mark for mark in marks if not mark.done)

    @staticmethod
    def _mark(generation: Generation, places: list[Place]) -> Mark:
        mark = generation.mark()
        offsets = [place.offset for place in places if place.generation == mark.generation]
        generation.held = bool(offsets)
        if not offsets or min(offsets) >= mark.offset:
            return mark
        return generation.mark_before(min(offsets)) or mark


def _key_at(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)  # noqa: PTH116  # as above
    except OSError:
        return None
    return status.st_dev, status.st_ino
