"""One open file, read from an offset on -> its lines, as long as its content stays the one it was.

Every read takes the bytes before the offset along, in the same call as the new ones, and then the head: truncation,
also one that has grown past the offset again, is seen before a line of it is believed. The descriptor is held through
renames and deletion, which also keeps the kernel from giving the inode to another file.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Sequence
from dataclasses import replace

from vllm_vigil.lines.backlog import Backlog
from vllm_vigil.lines.lag import Lag
from vllm_vigil.lines.mark import HEAD_BYTES, TAIL_BYTES, Mark, Place, digest
from vllm_vigil.lines.settings import Format
from vllm_vigil.lines.sift import Left, Sieve, cut
from vllm_vigil.lines.split import Piece, Splitter
from vllm_vigil.lines.wrap import Parts, may_be_wrapped
from vllm_vigil.model import Line, Stretch

HOLE = bytes(512)
KINDS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class NotRegular(OSError):
    """The path is no regular file, so there is no position in it to go on from."""


class OurOwn(OSError):
    """The path is where we write our own log: following it would feed it with itself."""


def open_regular(path: str) -> int:
    """A descriptor for reading. Raises `NotRegular` without opening (a FIFO's writer would notice), or OSError."""
    _refuse_irregular(path, os.stat(path))  # noqa: PTH116  # the hot path of every look at a file
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    try:
        status = os.fstat(descriptor)
        _refuse_irregular(path, status)  # it may have been replaced in between
        _refuse_our_own(path, status)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _refuse_irregular(path: str, status: os.stat_result) -> None:
    kind = stat.S_IFMT(status.st_mode)
    if kind != stat.S_IFREG:
        raise NotRegular(errno.EINVAL, f"is {KINDS.get(kind, 'no file')}, and only regular files can be followed", path)


def _refuse_our_own(path: str, status: os.stat_result) -> None:
    for ours in (1, 2):
        try:
            same = os.path.samestat(os.fstat(ours), status)
        except OSError:
            continue  # closed: nothing is written there
        if same:
            raise OurOwn(errno.ELOOP, "is where vigil writes its own log", path)


class Generation:
    """The content of one file from one beginning to its end. Any method may raise OSError."""

    def __init__(self, descriptor: int, device: int, inode: int, restarts: int = 0, form: Format = Format.AUTO) -> None:
        self.descriptor = descriptor
        self.device = device
        self.inode = inode
        self.restarts = restarts
        self.size = 0  # the largest size seen
        self.grew = False  # between the last two looks
        self.modified = 0  # when it was last changed (ns), as far as it was looked at
        self.grown_at = 0.0  # monotonic; kept by the follower
        self.complete = False  # nobody writes to it any more
        self.held = False  # a record that is not whole yet begins in it
        self.lines = Splitter(0)
        self.form = form
        self.parts = Parts(form)
        self.backlog: Backlog | None = None
        self.given = 0  # up to here lines were given although the offset stands before them
        self.lag = Lag()
        self._id = ""
        self._head = b""
        self._tail = b""  # the bytes before `lines.at`
        self._start_tail = b""  # the bytes before `lines.start`

    @classmethod
    def open(cls, path: str, restarts: int = 0, form: Format = Format.AUTO) -> Generation:
        """The file at the path, from its beginning. Raises `NotRegular`, `OurOwn` or OSError."""
        descriptor = open_regular(path)
        status = os.fstat(descriptor)
        return cls(descriptor, status.st_dev, status.st_ino, restarts, form)

    @property
    def key(self) -> tuple[int, int]:
        """What the kernel knows the file by."""
        return self.device, self.inode

    @property
    def id(self) -> str:
        """What names it for ever: stable from its first whole line on, across restarts of ours and renames."""
        if not self._id:
            first = self._head[: self._head.find(b"\n") + 1] or self._head
            self._id = f"{self.device:x}-{self.inode:x}-{self.restarts}-{digest(first)}"
        return self._id

    @property
    def waiting_bytes(self) -> int:
        """Seen and not read yet."""
        return max(0, self.size - self.lines.at)

    @property
    def resting(self) -> bool:
        """Whether every line of it was given, the one that has no end yet too."""
        return not self.waiting_bytes and (self.given >= self.lines.at or self.lines.peek() is None)

    @property
    def deleted(self) -> bool:
        """Whether no name leads to it any more: only the descriptor keeps its space."""
        try:
            return os.fstat(self.descriptor).st_nlink == 0
        except OSError:
            return False  # a stale handle: the mark that is made of it is looked for by what it says

    def go_to(self, mark: Mark) -> None:
        """Go on from a mark that fits."""
        self.size = max(mark.size, mark.offset)
        self._id = mark.generation
        self.given = mark.given
        self._stand_at(mark.offset)

    def look_back(self, backlog: Backlog) -> None:
        """Go on from where a look back begins; a line that is being written is new, and read from its start."""
        backlog.old = True
        self.backlog = backlog
        self._stand_at(backlog.start())

    def look(self, now: float) -> bool:
        """Take the size; False if the content is no longer the one that was read."""
        status = os.fstat(self.descriptor)
        if status.st_size < self.size or not self._same():
            return False
        self.grew = bool(self.modified) and status.st_size > self.size
        self.size, self.modified = status.st_size, status.st_mtime_ns
        self.lag.saw(now, self.size)
        return True

    def read(self, limit_bytes: int, sieve: Sieve | None = None) -> list[Piece | Left] | None:
        """The lines that end in the next bytes; None if the content is no longer the one that was read."""
        at = self.lines.at
        block = os.pread(self.descriptor, len(self._tail) + limit_bytes, at - len(self._tail))
        head = self._read_head(at + limit_bytes)
        if not block.startswith(self._tail) or not head.startswith(self._head):
            return None
        data = block[len(self._tail) :]
        self._head = head[: at + len(data)]
        self._tail = block[-TAIL_BYTES:]
        again = self.lines.start < self.given  # line by line, as some of them were given before
        pieces = list(cut(data, self.lines, None if again else sieve))
        self.size = max(self.size, self.lines.at)
        if pieces:
            start = len(block) - (self.lines.at - self.lines.start)
            self._start_tail = block[max(0, start - TAIL_BYTES) : start]
        if data.startswith(HOLE):
            self._leap()
        joined = self.parts.join(pieces)
        return [piece for piece in joined if not self._was_given(piece)] if again else joined

    def unended(self) -> Piece | None:
        """The line that has no end yet, to be given as it is; once, unless more comes than its end."""
        piece = self.lines.peek()
        if piece is None or piece.end <= self.given or may_be_wrapped(piece.data, self.form):
            return None
        self.given = piece.end
        return piece

    def take_cut(self) -> int:
        """How many bytes were left out of lines that were too long, since this was asked last."""
        cut, self.parts.cut_bytes = self.parts.cut_bytes, 0
        return cut + self.lines.take_cut()

    def finish(self) -> Piece | None:
        """The line that nobody will end now, if there is one and it was not given."""
        piece = self.lines.finish()
        return piece if piece and piece.end > self.given else None

    def _was_given(self, piece: Piece | Left) -> bool:
        return isinstance(piece, Piece) and piece.offset < self.given and piece.end - 1 - piece.soft <= self.given

    def begin_anew(self) -> Generation:
        """The same file, whose content was replaced: another generation, which takes the descriptor over."""
        return Generation(self.descriptor, self.device, self.inode, self.restarts + 1, self.form)

    def take_over(self, other: Generation) -> None:
        """Go on in a copy where `other` was left, in the middle of its line too, and under its id."""
        self.size, self.lines, self.parts = other.lines.at, other.lines, other.parts
        self.given, self.backlog = other.given, other.backlog
        self._id, self._head, self._tail, self._start_tail = other.id, other._head, other._tail, other._start_tail

    def mark(self, held: Sequence[int] = ()) -> Mark:
        """Where it is left when every line that was given is dealt with, except those at the offsets that are held.

        A line of which not all parts have come is held too; what was given after it is not given again.
        """
        mark = self._mark(self.lines.start, self._start_tail)
        begun = [*self.parts.begun, *(self.parts.first_of(offset) for offset in held)]
        given = min([max(self.given, mark.offset), *held])
        if begun and min(begun) < mark.offset:
            mark = self._mark_before(min(begun)) or mark
        return replace(mark, given=given) if given > mark.offset else mark

    def mark_for(self, places: Iterable[Place]) -> Mark:
        """Where it is left, given what is still held of all files; it remembers whether any of that is its own."""
        offsets = [place.offset for place in places if place.generation == self._id]
        self.held = bool(offsets)
        return self.mark(offsets)

    def mark_read(self) -> Mark:
        """Where reading stands, which may be within a line."""
        return self._mark(self.lines.at, self._tail)

    def to_line(self, piece: Piece | Left, file: str, server: str) -> Line | Stretch:
        """A piece of it, or what was left out of it, as the rest of the program sees it."""
        if isinstance(piece, Left):
            if self.backlog and piece.at + piece.start < self.backlog.end:
                self.backlog.pass_over(piece)
            return Stretch(file, piece.block, piece.start, piece.end, piece.at, server, self.id, piece.levels)
        if self.backlog is None or piece.end > self.backlog.end:  # also a line whose end came after we looked
            return Line(file, piece.data, server, self.id, piece.offset, piece.end, piece.soft)
        late = self.backlog.late_seconds(piece.data)
        return Line(file, piece.data, server, self.id, piece.offset, piece.end, piece.soft, self.backlog.old, late)

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self.descriptor)

    def _mark_before(self, offset: int) -> Mark | None:
        """Where it is left when a line given earlier is to be given again; None if its content was replaced."""
        tail = self._before(offset)
        return self._mark(offset, tail) if self._same() else None

    def _same(self) -> bool:
        """Whether what was read still stands there."""
        at = self.lines.at
        return self._before(at) == self._tail and self._read_head(at).startswith(self._head)

    def _mark(self, offset: int, tail: bytes) -> Mark:
        head = self._head[:offset]
        return Mark(
            self.device,
            0 if self.deleted else self.inode,  # the kernel gives it to another file as soon as we let go
            self.restarts,
            self._id,
            offset,
            max(self.size, offset),
            len(head),
            digest(head),
            digest(tail),
        )

    def _stand_at(self, offset: int) -> None:
        self.lines = Splitter(offset)
        self._head = self._read_head(offset)
        self._tail = self._start_tail = self._before(offset)

    def _read_head(self, limit_bytes: int) -> bytes:
        return os.pread(self.descriptor, min(HEAD_BYTES, limit_bytes), 0)

    def _before(self, offset: int) -> bytes:
        count = min(TAIL_BYTES, offset)
        return os.pread(self.descriptor, count, offset - count)

    def _leap(self) -> None:
        """Go to the end of the hole that we are in: what was never written need not be read."""
        at = self.lines.at
        try:
            to = os.lseek(self.descriptor, at, os.SEEK_DATA)
        except OSError as error:
            to = self.size if error.errno == errno.ENXIO else at  # ENXIO: no data up to the end
        if to > at:
            self.lines.skip(to - at)
            self._tail = self._before(to)
