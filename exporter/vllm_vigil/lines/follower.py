"""One path -> the lines written to it, through rename rotation, copytruncate, deletion, symlink swaps and restarts.

Several generations of the file may be open at once: what was renamed away is read on, because its writer may never
let go of it, and comes before what now stands at the path. What could not be read any more is counted, never guessed.
Expected trouble (gone, no permission, no regular file) is reported and tried again at the next look.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from dataclasses import replace

from vllm_vigil.clock import Clock
from vllm_vigil.lines.generation import Generation
from vllm_vigil.lines.mark import Mark, Place, marks_to_json
from vllm_vigil.lines.news import Key
from vllm_vigil.lines.outset import Outset, Parked
from vllm_vigil.lines.report import GONE, TRUNCATED, Report
from vllm_vigil.lines.retired import leaving
from vllm_vigil.lines.search import copy_of, find, forsaking, passed
from vllm_vigil.lines.siblings import key_at
from vllm_vigil.lines.still import Still
from vllm_vigil.model import Line, Stretch

UNENDED_SECONDS = 5.0
"""A line that has no end and has not grown for so long is given as it is; the position stays before it."""
MISSING = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})


class Follower:
    """Follows one path."""

    pipes = ()

    def __init__(self, name: str, server: str, report: Report, clock: Clock, outset: Outset) -> None:
        self.name, self.server = name, server
        self.lag_bytes = 0
        self.used_at = 0.0  # monotonic: when it last gave anything
        self.grown: tuple[Key, ...] = ()
        self._report, self._clock = report, clock
        self._outset = outset
        self._marks = outset.marks  # to be found before anything else is done
        self._from_end = outset.first_sight
        self._back = outset.marks is not None  # what is found now was written while we were away
        self._parked: Parked | None = None
        self._still = Still()
        self._modified = max((mark.modified for mark in outset.marks or ()), default=0)
        self._current: Generation | None = None
        self._retired: list[Generation] = []  # oldest first
        self._finished: list[Line | Stretch] = []  # last lines without an end, to be given with the next

    @property
    def files(self) -> dict[Key, str]:
        """See `Source`."""
        parked = {self._parked.key: self.name} if self._parked else {}
        return parked | {each.key: f"/proc/self/fd/{each.descriptor}" for each in self._open()}

    @property
    def open_files(self) -> int:
        """See `Source`."""
        return len(self._open())

    @property
    def resting(self) -> bool:
        """See `Source`."""
        return not (self._retired or self.waiting) and (self._current is None or self._current.resting)

    @property
    def idle(self) -> bool:
        """Whether it could be parked: one file is open, and all that was read of it was given."""
        return bool(self._current) and not self._retired and not self._finished and self._marks is None

    @property
    def waiting(self) -> bool:
        """Whether a read would give or take something now."""
        return bool(self._finished) or self.lag_bytes > 0

    # --- looking

    def look(self, *, unpark: bool = False) -> bool:
        """See `Source`; `unpark` opens the file, whatever happened."""
        self.grown = ()
        if not unpark and (self._still_parked() or (self._current and self.resting and self._still.holds(self.name))):
            return self.waiting
        try:
            self._resume()
            self._arrive()
            now = self._clock.monotonic()
            for replaced in [generation for generation in self._open() if not generation.look(now)]:
                self._replace(replaced)
            self.grown = tuple(generation.key for generation in self._open() if generation.grew)
            self._modified = max([self._modified, *(generation.modified for generation in self._open())])
            self._back = False
            self._give_unended(now)
            self._let_go()
        except OSError as error:
            self._begin_again(error)
        self._measure()
        return True

    def _resume(self) -> None:
        """Find every file that was left unread, at the path or beside it."""
        if self._parked:
            self._marks, self._parked = (self._parked.mark,), None
        if self._marks is None:
            return
        key, restarts = key_at(self.name), 0
        for mark in self._marks:
            generation = find(self.name, mark, self.files, self._outset.form)
            here = mark.key == key
            if generation is None:
                restarts = mark.restarts + 1 if here else restarts
                self._report.lost(mark, TRUNCATED if here else GONE)
                continue
            self._begin(generation)
            if generation.key == key:
                self._current = generation
            else:
                restarts = mark.restarts + 1 if here else restarts
                generation.complete = here  # a copy of what stood here: nobody writes to it
                self._retired.append(generation)
        known, self._marks, self._from_end = self._marks, None, False
        if not self._current:
            self._walk(known)
            if key:
                self._open_current(restarts)

    def _begin(self, generation: Generation) -> None:
        """Take note of a file that was just opened."""
        generation.grown_at = self._clock.monotonic()
        if self._back or self._from_end:
            backlog = self._outset.backlog(generation.descriptor, self._clock.wall())
            if self._from_end:
                generation.look_back(backlog)
            generation.backlog = backlog

    def _walk(self, known: tuple[Mark, ...]) -> None:
        """Take in what stood at the path between two looks, oldest first; at first sight what is still written to."""
        name, taken, form = self.name, self.files, self._outset.form
        found = forsaking(name, taken, form) if self._from_end else passed(name, self._modified, taken, known, form)
        for generation in found:
            self._begin(generation)
            self._retired.append(generation)

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
        self._still.saw(status, self._clock.monotonic())
        if self._current and self._current.key == (status.st_dev, status.st_ino):
            self._report.good()
        else:
            self._retire()
            self._walk(tuple(generation.mark_read() for generation in self._retired))
            self._open_current(0)

    def _open_current(self, restarts: int) -> None:
        try:
            fresh = Generation.open(self.name, restarts, self._outset.form)
        except OSError as error:
            self._report.trouble(error, expected=False)
            return
        known = next((generation for generation in self._retired if generation.key == fresh.key), None)
        if known:  # renamed back, or a symlink swung back
            self._retired.remove(known)
            fresh.close()
        self._current = known or fresh
        self._begin(self._current)
        self._from_end = False
        self._report.good()

    def _retire(self) -> None:
        if self._current:
            self._current.grown_at = self._clock.monotonic()
            self._retired.append(self._current)
            self._current = None

    def _replace(self, generation: Generation) -> None:
        """The content was truncated or overwritten: read on in a copy if there is one, then from the beginning."""
        now = self._clock.monotonic()
        copy = copy_of(self.name, generation, self.files, self._outset.form, now)
        if copy:
            self._retired.append(copy)
        else:
            self._report.lost(generation.mark_read(), TRUNCATED)
            self._finish(generation)
        fresh = generation.begin_anew()
        fresh.grown_at = now
        if generation is self._current:
            self._current = fresh
        else:
            self._retired[self._retired.index(generation)] = fresh
        fresh.look(now)

    # --- reading

    def read(self, share_bytes: int) -> list[Line | Stretch]:
        """Lines in the order in which they were written, out of at most so many bytes read now."""
        if self._parked:
            self.look(unpark=True)
        given, self._finished = self._finished, []
        try:
            for generation in self._open():
                while share_bytes > 0 and generation.waiting_bytes:
                    before = generation.lines.at
                    pieces = generation.read(min(share_bytes, generation.waiting_bytes), self._outset.sieve)
                    if pieces is None or generation.lines.at == before:
                        break  # replaced or shrunk meanwhile: the next look sees to it
                    self.used_at = generation.grown_at = self._clock.monotonic()
                    given += [generation.to_line(piece, self.name, self.server) for piece in pieces]
                    share_bytes -= generation.lines.at - before
                self._report.cut(generation.take_cut())
        except OSError as error:
            self._begin_again(error)
        self._measure()
        return given

    def _measure(self) -> None:
        now = self._clock.monotonic()
        self.lag_bytes = sum(generation.waiting_bytes for generation in self._open())
        self._report.lag(self.lag_bytes, max([0.0, *(each.lag.seconds(now, each.lines.at) for each in self._open())]))

    def _give_unended(self, now: float) -> None:
        for generation in self._open():
            quiet = generation.waiting_bytes == 0 and now - generation.grown_at >= UNENDED_SECONDS
            if quiet and (piece := generation.unended()):
                self._finished.append(generation.to_line(piece, self.name, self.server))

    # --- letting go

    def _let_go(self) -> None:
        for generation in leaving(self._retired, self._current, self._clock.monotonic()):
            self._finish(generation)
            self._retired.remove(generation)
            generation.close()

    def _finish(self, generation: Generation) -> None:
        """Nobody will end its last line now: it is given as it is."""
        if piece := generation.finish():
            self._finished.append(generation.to_line(piece, self.name, self.server))

    def _begin_again(self, error: OSError) -> None:
        """After a stale handle or an I/O error: let go of everything, and find it again by its marks."""
        self._report.trouble(error, expected=False)
        if self._marks is None and not self._from_end:
            self._marks = tuple(generation.mark() for generation in self._open())
        self.close()

    # --- parking

    def park(self) -> None:
        """Give the descriptor of an idle one back: the path alone is looked at until something happens there."""
        try:
            self._parked = Parked.of(self._current, self._modified) if self._current else None
            self.close()
        except OSError as error:
            self._begin_again(error)

    def _still_parked(self) -> bool:
        waiting_bytes = self._parked.waiting_bytes(self.name) if self._parked else None
        if self._parked is None or waiting_bytes is None:
            return False
        self.grown = (self._parked.key,) if waiting_bytes > self.lag_bytes else ()
        self.lag_bytes = waiting_bytes
        self._report.lag(waiting_bytes, 0.0)
        return True

    def close(self) -> None:
        """Give every descriptor back."""
        for generation in self._open():
            generation.close()
        self._current, self._retired = None, []

    def _open(self) -> tuple[Generation, ...]:
        return (*self._retired, self._current) if self._current else tuple(self._retired)

    # --- positions

    def position(self, held: Iterable[Place]) -> str | None:
        """Where to go on after a restart, given what is still held; None if that cannot be said now."""
        places = [place for place in held if place.file == self.name]
        if self._parked and not places:
            return marks_to_json((self._parked.mark,))
        if self._parked:
            self.look(unpark=True)
        if self._marks is not None or self._from_end:
            return None
        try:
            marks = [replace(each.mark_for(places), modified=self._modified) for each in self._open()]
        except OSError:
            return None  # the next look meets the same, and reports it
        return marks_to_json(tuple(mark for mark in marks if not mark.done))
