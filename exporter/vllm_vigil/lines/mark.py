"""How a file is known again: device and inode, a hash of its head, and a hash of the bytes before the offset.

No single one survives production. Inodes are reused at once on ext, vLLM prints the same head at every start, and a
path says nothing at all; all three together do. A `Mark` is what is stored of one file generation, and the JSON of a
position is the list of a path's marks, oldest first: after a rename rotation the old file may not be read to its end.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from typing import Protocol

HEAD_BYTES = 1024
TAIL_BYTES = 64
VERSION = 1


@dataclass(frozen=True, slots=True)
class Mark:
    """Where one generation of a file was left.

    `generation` is the id its lines carry, "" before there was one. `size` is the largest size seen, which tells
    after a loss how much there was. `inode` is 0 when the file had no name any more. `restarts` counts how often the
    content of this inode was begun anew. `given` is how far lines were given although the offset stands before them
    (a line without its end, or in parts), 0 if none was. `modified` is the latest time (ns) at which any generation of
    the path was seen to have changed: what was written after it and rotated since is not known yet.
    """

    device: int
    inode: int
    restarts: int
    generation: str
    offset: int
    size: int
    head_bytes: int
    head: str
    tail: str
    given: int = 0
    modified: int = 0

    @property
    def key(self) -> tuple[int, int]:
        """What the kernel knew the file by."""
        return self.device, self.inode

    @property
    def done(self) -> bool:
        """Whether the file cannot be found again, nor a copy of it, and nothing of it is missed."""
        return self.inode == 0 and self.offset == self.size and not self.telling

    @property
    def telling(self) -> bool:
        """Whether head and tail together are long enough to know the content without its inode."""
        return self.offset >= TAIL_BYTES

    def begins(self, descriptor: int) -> bool:
        """Whether the file has the head that was marked. Raises OSError."""
        return digest(os.pread(descriptor, self.head_bytes, 0)) == self.head

    def fits(self, descriptor: int) -> bool:
        """Whether the file has the content that was marked, and the offset in it. Raises OSError."""
        tail_bytes = min(self.offset, TAIL_BYTES)
        return (
            os.fstat(descriptor).st_size >= self.offset
            and self.begins(descriptor)
            and digest(os.pread(descriptor, tail_bytes, self.offset - tail_bytes)) == self.tail
        )


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


def digest(data: bytes) -> str:
    """A short name for some bytes: state holds no log text."""
    return hashlib.blake2b(data, digest_size=8).hexdigest()


def marks_to_json(marks: tuple[Mark, ...]) -> str:
    """The body of a position."""
    return json.dumps({"version": VERSION, "generations": [asdict(mark) for mark in marks]})


def marks_from_json(body: str) -> tuple[Mark, ...]:
    """Read it back. Raises ValueError for anything that `marks_to_json` did not write."""
    document = json.loads(body)
    if not isinstance(document, dict) or document.get("version") != VERSION:
        raise ValueError(f"no position of version {VERSION}")
    try:
        marks = tuple(Mark(**fields) for fields in document["generations"])
    except (KeyError, TypeError) as error:
        raise ValueError(f"a position with other fields than ours: {error}") from error
    for mark in marks:
        numbers = [mark.device, mark.inode, mark.restarts, mark.offset, mark.size, mark.head_bytes]
        numbers += [mark.given, mark.modified]
        texts = (mark.generation, mark.head, mark.tail)
        if not all(type(value) is int and value >= 0 for value in numbers) or not all(
            isinstance(text, str) for text in texts
        ):
            raise ValueError("a position with values that cannot be")
    return marks
