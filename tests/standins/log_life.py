"""A log on a real file system, what writers, rotation and administrators do to it, and which lines may be lost by that.

The model of the state machines: `lines/test_model.py` has the reader read it, `app/test_model.py` the whole alert half.
A line may be lost when no reader could find it any more; every other must come, again too after a kill, until it was
dealt with for good.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path

HALF = 30
"""So many bytes of a line are written first when it is written in two goes."""
CORRUPT = "\0" * 100


@dataclass(eq=False)
class Content:
    """What was written to one file from one beginning on, and what the reader can know of it."""

    lines: list[bytes] = field(default_factory=list)
    deleted: bool = False
    doomed: bool = False  # no line of it need be given any more, nor later ones
    open: bool = False  # the reader has looked at it
    looked: bool = False  # and has done so since it was copied
    stored: bool = False  # its inode is in the stored position
    telling: bool = False  # the stored position is far enough in it to know a copy


class LogLife:
    """Interprets actions on real files, and on the model beside them; who reads them says what was read and kept."""

    def __init__(self, path: Path, line: Callable[[], bytes]) -> None:
        self.path = path
        self.path.touch()
        self.rotations = 0
        self.first_sight = False
        self.locked = False  # nobody may open what stands at the path
        self.here = self.written = Content()  # at the path, and where the writer writes
        self.contents = [self.here]
        self.lost_ok: set[bytes] = set()
        self.half = b""  # the line that the writer is in the middle of
        self.given: set[bytes] = set()  # what need not be given, as things stand
        self.given_by_this_reader: set[bytes] = set()
        self.ever: set[bytes] = set()  # was given at any time
        self.committed: set[bytes] = set()
        self.alive = False
        self.torn = False  # the stored position cannot be used
        self.writer = self.path.open("ab", buffering=0)
        self._line = line

    # --- the writer

    def write(self) -> None:
        """End the line that is half written, or write a whole one."""
        line = self.half or self._line()
        self.writer.write(line[HALF if self.half else 0 :] + b"\n")
        self.half = b""
        self.written.lines.append(line)
        if self.written.doomed:
            self.lost_ok.add(line)

    def write_half(self) -> None:
        """Leave a line unfinished."""
        if not self.half:
            self.half = self._line()
            self.writer.write(self.half[:HALF])

    def reopen(self) -> None:
        """The writer goes over to what now stands at the path."""
        if self.written is self.here:
            return
        self.half = b""
        self.writer.close()
        self.writer = self.path.open("ab", buffering=0)
        self.written = self.here

    # --- what is done to the file

    def swap(self) -> None:
        """The path is, or becomes, a symlink that is swung to another file; the old one keeps its name elsewhere."""
        self._leave(doomed=not (self.alive and self.here.open))
        self.here.deleted, self.here.stored, self.here.telling = True, False, False
        elsewhere = self.path.parent / "elsewhere"
        elsewhere.mkdir(exist_ok=True)
        self.rotations += 1
        if not self.path.is_symlink():
            self.path.rename(elsewhere / f"{self.rotations}-first")
        target = elsewhere / f"{self.rotations}-next"
        target.touch()
        link = self.path.parent / "link"
        link.symlink_to(target)
        link.replace(self.path)
        self._begin()
        self.reopen()

    def lock(self) -> None:
        """Take the permission to read away, or give it back; what is open stays open."""
        self.locked = not self.locked
        self.path.chmod(0o200 if self.locked else 0o600)

    def rename(self) -> None:
        """Rename rotation; the writer stays in the old file."""
        if self.written is not self.here:
            self.reopen()
        self._leave(doomed=not self._findable_when_renamed(self.here))
        self.path.rename(self._old_name())
        self.path.touch()
        self._begin()

    def copytruncate(self) -> None:
        """Copy, then truncate; nothing is written in between."""
        old = self.here
        self._leave(doomed=not self._findable_by_content(old))
        old.stored = old.looked = False
        shutil.copy(self.path, self._old_name())
        os.truncate(self.path, 0)
        self._begin(same_inode=True)

    def truncate(self) -> None:
        """Truncate without a copy."""
        self._leave(doomed=True)
        os.truncate(self.path, 0)
        self._begin(same_inode=True)

    def rewrite(self) -> None:
        """Other lines in the same place, to the same size."""
        if self.half or not self.here.lines:
            return
        fresh = [self._line().ljust(len(line), b"x") for line in self.here.lines]
        self._leave(doomed=True)
        self.path.write_bytes(b"".join(line + b"\n" for line in fresh))
        self._begin(same_inode=True)
        self.here.lines = fresh

    def delete(self) -> None:
        """Delete, make anew; the writer goes along."""
        self._leave(doomed=not (self.alive and self.here.open))
        self.here.deleted, self.here.stored, self.here.telling = True, False, False
        self.path.unlink()
        self.path.touch()
        self._begin()
        self.reopen()

    def _old_name(self) -> Path:
        """A name that no rotation has given yet."""
        self.rotations += 1
        return self.path.parent / f"{self.path.name}.{self.rotations}"

    def _findable_when_renamed(self, content: Content) -> bool:
        """Whether its reader holds it open, or will know its inode."""
        return content.open if self.alive else content.stored or content.telling

    def _findable_by_content(self, content: Content) -> bool:
        """Whether its reader will know a copy of it."""
        begun = bool(self.given_by_this_reader & {*content.lines})
        return content.open and (begun or content.telling) if self.alive else content.telling

    def _leave(self, *, doomed: bool) -> None:
        """What stands at the path will not stand there any more."""
        if self.locked:
            self.lock()
        if doomed:
            self._doom(self.here)

    def _begin(self, *, same_inode: bool = False) -> None:
        """Something new stands at the path."""
        follows = same_inode and self.written is self.here
        if follows:
            self.half = b""
        self.here = Content()
        self.contents.append(self.here)
        if follows:
            self.written = self.here

    def _doom(self, content: Content) -> None:
        content.doomed = True
        self.lost_ok |= {*content.lines} - self.given

    # --- the reader

    def wakes(self) -> None:
        """A reader begins, from what is stored."""
        self.alive = True
        self.given_by_this_reader = set()

    def sees(self) -> None:
        """It is about to look. What stands there at a first sight is not read, and nothing else is looked for."""
        if self.locked or not self.first_sight:
            return
        for content in self.contents:
            content.doomed = content.doomed or content is not self.here
            self.lost_ok |= {*content.lines} - self.given
        self.first_sight = False

    def saw(self, given: Iterable[bytes]) -> None:
        """It has looked, and read these lines."""
        for content in self.contents:
            content.open = content.looked = content.open or (content is self.here and not self.locked)
        lines = {*given}
        self.given_by_this_reader |= lines
        self.given |= lines
        self.ever |= lines

    def kept(self, held: Collection[bytes] = ()) -> None:
        """Its positions are stored; what is held stands behind them, and is not dealt with."""
        self.committed |= self.given_by_this_reader - {*held}
        for content in self.contents:
            if not content.deleted:
                content.stored = content.open and content.looked
                content.telling = content.open and bool(self.committed & {*content.lines})

    def dies(self) -> None:
        """What it knew and had not stored is forgotten, and lost where it cannot be found again."""
        self.alive = False
        self.first_sight = self.first_sight or self.torn
        self.given = {*self.committed}
        for content in self.contents:
            content.open = content.looked = False
            if content.doomed or (content is not self.here and not (content.stored or content.telling)):
                self._doom(content)

    def tears(self) -> None:
        """What was stored by one that is dead cannot be read: the next sight is a first one."""
        for content in self.contents:
            content.stored = content.telling = False
        self.torn = self.first_sight = True

    # --- the end

    @property
    def missing(self) -> set[bytes]:
        """The lines that should have come by now, and have not."""
        return {line for content in self.contents for line in content.lines} - self.lost_ok - self.given

    def close(self) -> None:
        """Give the descriptor back."""
        self.writer.close()
