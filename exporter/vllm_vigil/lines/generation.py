"""One open file, read from an offset on -> its lines, as long as its content stays the one it was.

Every read takes the bytes before the offset along, in the same call as the new ones, and then the head: truncation,
also one that has grown past the offset again, is seen before a line of it is believed. The descriptor is held through
renames and deletion, which also keeps the kernel from giving the inode to another file.
"""

from __future__ import annotations

import errno
import os
import stat

from vllm_vigil.lines.mark import HEAD_BYTES, TAIL_BYTES, Mark, digest
from vllm_vigil.lines.split import Piece, Splitter
from vllm_vigil.model import Line

LAST_LINE_BYTES = 64 * 1024
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


def open_regular(path: str) -> int:
    """A descriptor for reading. Raises `NotRegular` without opening (a FIFO's writer would notice), or OSError."""
    _refuse_irregular(path, os.stat(path))  # noqa: PTH116  # the hot path of every look at a file
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    try:
        _refuse_irregular(path, os.fstat(descriptor))  # it may have been replaced in between
    except NotRegular:
        os.close(descriptor)
        raise
    return descriptor


def _refuse_irregular(path: str, status: os.stat_result) -> None:
    kind = stat.S_IFMT(status.st_mode)
    if kind != stat.S_IFREG:
        raise NotRegular(errno.EINVAL, f"is {KINDS.get(kind, 'no file')}, and only regular files can be followed", path)


class Generation:
    """The content of one file from one beginning to its end. Any method may raise OSError."""

    def __init__(self, descriptor: int, device: int, inode: int, restarts: int = 0) -> None:
        self.descriptor = descriptor
        self.device = device
        self.inode = inode
        self.restarts = restarts
        self.size = 0  # the largest size seen
        self.grown_at = 0.0  # monotonic; kept by the follower
        self.complete = False  # nobody writes to it any more
        self.held = False  # a record that is not whole yet begins in it
        self.lines = Splitter(0)
        self._id = ""
        self._head = b""
        self._tail = b""  # the bytes before `lines.at`
        self._start_tail = b""  # the bytes before `lines.start`

    @classmethod
    def open(cls, path: str, restarts: int = 0) -> Generation:
        """The file at the path, from its beginning. Raises `NotRegular` or OSError."""
        descriptor = open_regular(path)
        status = os.fstat(descriptor)
        return cls(descriptor, status.st_dev, status.st_ino, restarts)

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
    def deleted(self) -> bool:
        """Whether no name leads to it any more: only the descriptor keeps its space."""
        return os.fstat(self.descriptor).st_nlink == 0

    def go_to(self, mark: Mark) -> None:
        """Go on from a mark that fits."""
        self.size = max(mark.size, mark.offset)
        self._id = mark.generation
        self._stand_at(mark.offset)

    def go_to_end(self) -> None:
        """Go on after the last whole line; one that is being written is read from its start."""
        size = os.fstat(self.descriptor).st_size
        last = os.pread(self.descriptor, LAST_LINE_BYTES, max(0, size - LAST_LINE_BYTES))
        self._stand_at(max(0, size - LAST_LINE_BYTES) + last.rfind(b"\n") + 1)

    def look(self) -> bool:
        """Take the size; False if the content is no longer the one that was read."""
        size = os.fstat(self.descriptor).st_size
        at = self.lines.at
        if size < self.size or self._before(at) != self._tail or not self._read_head(at).startswith(self._head):
            return False
        self.size = size
        return True

    def read(self, limit_bytes: int) -> list[Piece] | None:
        """The lines that end in the next bytes; None if the content is no longer the one that was read."""
        at = self.lines.at
        block = os.pread(self.descriptor, len(self._tail) + limit_bytes, at - len(self._tail))
        head = self._read_head(at + limit_bytes)
        if not block.startswith(self._tail) or not head.startswith(self._head):
            return None
        data = block[len(self._tail) :]
        self._head = head[: at + len(data)]
        self._tail = block[-TAIL_BYTES:]
        pieces = self.lines.feed(data)
        self.size = max(self.size, self.lines.at)
        if pieces:
            start = len(block) - (self.lines.at - self.lines.start)
            self._start_tail = block[max(0, start - TAIL_BYTES) : start]
        if data.startswith(HOLE):
            self._leap()
        return pieces

    def begin_anew(self) -> Generation:
        """The same file, whose content was replaced: another generation, which takes the descriptor over."""
        return Generation(self.descriptor, self.device, self.inode, self.restarts + 1)

    def take_over(self, other: Generation) -> None:
        """Go on in a copy where `other` was left, in the middle of its line too, and under its id."""
        self.size, self.lines = other.lines.at, other.lines
        self._id, self._head, self._tail, self._start_tail = other.id, other._head, other._tail, other._start_tail

    def mark(self) -> Mark:
        """Where it is left when every line that was given is dealt with."""
        return self._mark(self.lines.start, self._start_tail)

    def mark_read(self) -> Mark:
        """Where reading stands, which may be within a line."""
        return self._mark(self.lines.at, self._tail)

    def mark_before(self, offset: int) -> Mark | None:
        """Where it is left when a line given earlier is to be given again; None if its content was replaced."""
        tail = self._before(offset)
        return self._mark(offset, tail) if self.look() else None

    def to_line(self, piece: Piece, file: str, server: str) -> Line:
        """A piece of it as the rest of the program sees it."""
        return Line(file, piece.data, server, self.id, piece.offset, piece.end, piece.soft)

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self.descriptor)

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
