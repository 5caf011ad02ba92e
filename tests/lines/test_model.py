"""A random life of a log: what the reader gives agrees with a model that knows every line and its file.

The model says which lines may be lost, and why; all others must come, and none may come again once it was committed.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from standins.logs import Logs, as_nobody, lines_of
from vllm_vigil.clock import CrankedClock

LENGTH = 77
HALF = 30
ACTIONS = "WWWPROCTZDSXBrrAcK"
CORRUPT = "\0" * 100
EXAMPLES = int(os.environ.get("VIGIL_MODEL_EXAMPLES", "300"))
"""5,000 in a night."""


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


class World:
    """Interprets actions on real files, and on the model beside them."""

    def __init__(self, directory: Path) -> None:
        self.logs = Logs(directory, CrankedClock())
        self.logs.path.touch()
        self.count = 0
        self.rotations = 0
        self.first_sight = False
        self.locked = False  # nobody may open what stands at the path
        self.here = self.written = Content()  # at the path, and where the writer writes
        self.contents = [self.here]
        self.lost_ok: set[bytes] = set()
        self.half = b""  # the line that the writer is in the middle of
        self.given: set[bytes] = set()
        self.given_by_this_reader: set[bytes] = set()
        self.committed: set[bytes] = set()
        self.alive = True
        self.writer = self.logs.path.open("ab", buffering=0)
        self.read(1 << 20)
        self.commit()

    # --- the writer

    def line(self) -> bytes:
        """A line like no other, all of one length."""
        self.count += 1
        return (b"%06d " % self.count).ljust(LENGTH, b"x")

    def write(self) -> None:
        """End the line that is half written, or write a whole one."""
        line = self.half or self.line()
        self.writer.write(line[HALF if self.half else 0 :] + b"\n")
        self.half = b""
        self.written.lines.append(line)
        if self.written.doomed:
            self.lost_ok.add(line)

    def write_half(self) -> None:
        """Leave a line unfinished."""
        if not self.half:
            self.half = self.line()
            self.writer.write(self.half[:HALF])

    def reopen(self) -> None:
        """The writer goes over to what now stands at the path."""
        if self.written is self.here:
            return
        self.half = b""
        self.writer.close()
        self.writer = self.logs.path.open("ab", buffering=0)
        self.written = self.here

    # --- what is done to the file

    def swap(self) -> None:
        """The path is, or becomes, a symlink that is swung to another file; the old one keeps its name elsewhere."""
        self.leave(doomed=not (self.alive and self.here.open))
        self.here.deleted, self.here.stored, self.here.telling = True, False, False
        elsewhere = self.logs.directory / "elsewhere"
        elsewhere.mkdir(exist_ok=True)
        self.rotations += 1
        if not self.logs.path.is_symlink():
            self.logs.path.rename(elsewhere / f"{self.rotations}-first")
        target = elsewhere / f"{self.rotations}-next"
        target.touch()
        link = self.logs.directory / "link"
        link.symlink_to(target)
        link.replace(self.logs.path)
        self.begin()
        self.reopen()

    def lock(self) -> None:
        """Take the permission to read away, or give it back; what is open stays open."""
        self.locked = not self.locked
        self.logs.path.chmod(0o200 if self.locked else 0o600)

    def rename(self) -> None:
        """Rename rotation; the writer stays in the old file."""
        if self.written is not self.here:
            self.reopen()
        self.leave(doomed=not self.findable_when_renamed(self.here))
        self.logs.path.rename(self.old_name())
        self.logs.path.touch()
        self.begin()

    def copytruncate(self) -> None:
        """Copy, then truncate; nothing is written in between."""
        old = self.here
        self.leave(doomed=not self.findable_by_content(old))
        old.stored = old.looked = False
        shutil.copy(self.logs.path, self.old_name())
        os.truncate(self.logs.path, 0)
        self.begin(same_inode=True)

    def truncate(self) -> None:
        """Truncate without a copy."""
        self.leave(doomed=True)
        os.truncate(self.logs.path, 0)
        self.begin(same_inode=True)

    def rewrite(self) -> None:
        """Other lines in the same place, to the same size."""
        if self.half or not self.here.lines:
            return
        fresh = [self.line() for _ in self.here.lines]
        self.leave(doomed=True)
        self.logs.path.write_bytes(b"".join(line + b"\n" for line in fresh))
        self.begin(same_inode=True)
        self.here.lines = fresh

    def delete(self) -> None:
        """Delete, make anew; the writer goes along."""
        self.leave(doomed=not (self.alive and self.here.open))
        self.here.deleted, self.here.stored, self.here.telling = True, False, False
        self.logs.path.unlink()
        self.logs.path.touch()
        self.begin()
        self.reopen()

    def old_name(self) -> Path:
        """A name that no rotation has given yet."""
        self.rotations += 1
        return self.logs.directory / f"vllm.log.{self.rotations}"

    def findable_when_renamed(self, content: Content) -> bool:
        """Whether its reader holds it open, or will know its inode."""
        return content.open if self.alive else content.stored or content.telling

    def findable_by_content(self, content: Content) -> bool:
        """Whether its reader will know a copy of it."""
        begun = bool(self.given_by_this_reader & {*content.lines})
        return content.open and (begun or content.telling) if self.alive else content.telling

    def leave(self, *, doomed: bool) -> None:
        """What stands at the path will not stand there any more."""
        if self.locked:
            self.lock()
        if doomed:
            self.here.doomed = True
            self.lost_ok |= {*self.here.lines} - self.given

    def begin(self, *, same_inode: bool = False) -> None:
        """Something new stands at the path."""
        if same_inode and self.written is self.here:
            self.half = b""
        follows = same_inode and self.written is self.here
        self.here = Content()
        self.contents.append(self.here)
        if follows:
            self.written = self.here

    # --- the reader

    def read(self, max_bytes: int) -> bool:
        """Read one batch; whether more waits."""
        if not self.alive:
            self.alive = True
            self.logs.restart()
            self.given_by_this_reader = set()
        if self.first_sight and not self.locked:
            self.see_first()
        batch = self.logs.reader.read(max_bytes)
        for content in self.contents:
            content.open = content.looked = content.open or (content is self.here and not self.locked)
        for line in lines_of(batch):
            number, _, rest = line.data.partition(b" ")
            assert (len(number) <= 6, set(rest) <= {*b"x"}) == (True, True), "a line that nobody wrote"
            if len(line.data) < LENGTH:  # the last words of a file that was truncated or deleted
                continue
            assert line.data not in self.committed, "a line that was dealt with came again"
            assert line.data not in self.given_by_this_reader, "a line came twice"
            self.given_by_this_reader.add(line.data)
            self.given.add(line.data)
        return batch.more

    def commit(self) -> None:
        """Store the positions."""
        if self.alive:
            self.logs.commit()
            self.committed = self.committed | self.given_by_this_reader
            for content in self.contents:
                if content.deleted:
                    continue
                content.stored = content.open and content.looked
                content.telling = content.open and bool(self.given & {*content.lines})

    def corrupt(self) -> None:
        """The reader dies, and what it had stored cannot be read: the next sight is a first one."""
        self.kill()
        self.logs.stored = dict.fromkeys(self.logs.stored, CORRUPT)
        for content in self.contents:
            content.stored = content.telling = False
        self.first_sight = True

    def see_first(self) -> None:
        """What stands there at the first sight is not read, and nothing else is looked for."""
        for content in self.contents:
            content.doomed = content.doomed or content is not self.here
            self.lost_ok |= {*content.lines} - self.given
        self.first_sight = False

    def kill(self) -> None:
        """The reader dies; what it knew and had not stored is forgotten."""
        if self.alive:
            self.alive = False
            self.first_sight = self.first_sight or CORRUPT in self.logs.stored.values()
            self.logs.reader.close()
            for content in self.contents:
                content.open = content.looked = False
                if content is not self.here and not (content.stored or content.telling):
                    content.doomed = True
                    self.lost_ok |= {*content.lines} - self.given

    def run(self, actions: str) -> None:
        """Do all of it, and at last look whether everything came."""
        steps = {
            "W": self.write,
            "P": self.write_half,
            "R": self.rename,
            "O": self.reopen,
            "C": self.copytruncate,
            "T": self.truncate,
            "Z": self.rewrite,
            "D": self.delete,
            "S": self.swap,
            "X": self.lock,
            "B": self.corrupt,
            "r": lambda: self.read(200),
            "A": lambda: self.read(1 << 20),
            "c": self.commit,
            "K": self.kill,
        }
        for action in actions:
            steps[action]()
        if self.locked:
            self.lock()
        while self.read(1 << 20):
            pass
        expected = {line for content in self.contents for line in content.lines} - self.lost_ok
        assert set() == expected - self.given

    def close(self) -> None:
        """Give the descriptors back."""
        self.writer.close()
        self.logs.reader.close()


@pytest.mark.no_cover
@settings(max_examples=EXAMPLES, deadline=None, derandomize=True)
@given(st.text(ACTIONS, min_size=5, max_size=40))
@example("DWAcKC")  # on ext the copy takes the inode of the deleted file, whose position is stored
@example("WrWCDcK")  # the copy is all that is left of a file that was deleted after the copy was made
@example("WAcXKrWX")  # a restart while the file may not be opened: it waits, and goes on where it was
@example("WARWRWRWA")  # three rotations between two looks
def test_whatever_happens_to_a_log_no_line_is_lost_that_need_not_be_and_none_comes_twice(actions: str) -> None:
    """Half lines, rotation both ways, truncation, rewriting, deletion, links, permissions, kills, corrupt state."""
    with as_nobody() as directory, contextlib.closing(World(directory)) as world:
        world.run(actions)
