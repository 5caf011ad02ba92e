"""What a follower is told: how to begin; and how it rests."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace

from vllm_vigil.lines.backlog import Backlog, Stamp
from vllm_vigil.lines.generation import Generation
from vllm_vigil.lines.mark import Mark
from vllm_vigil.lines.settings import Format
from vllm_vigil.lines.sift import Sieve


@dataclass(frozen=True, slots=True)
class Outset:
    """How following begins: from `marks`, where the path was left, or without them by `first_sight` near its end.

    `stamp` reads the time in a line, `form` says how lines are wrapped, `sieve` which lines matter (without it, all).
    """

    marks: tuple[Mark, ...] | None
    first_sight: bool
    stamp: Stamp
    form: Format = Format.AUTO
    sieve: Sieve | None = None

    def backlog(self, descriptor: int, now: float) -> Backlog:
        """What stands in a file now (epoch seconds). Raises OSError."""
        return Backlog(descriptor, self.form, self.stamp, now, self.sieve)


@dataclass(frozen=True, slots=True)
class Parked:
    """A file whose descriptor was given back: what the path led to then, how far it was read, where to go on."""

    status: os.stat_result
    read_bytes: int
    mark: Mark

    @classmethod
    def of(cls, generation: Generation, modified: int) -> Parked:
        """How an open file is left. Raises OSError."""
        mark = replace(generation.mark(), modified=modified)
        return cls(os.fstat(generation.descriptor), generation.lines.at, mark)

    @property
    def key(self) -> tuple[int, int]:
        """Device and inode."""
        return self.status.st_dev, self.status.st_ino

    def waiting_bytes(self, name: str) -> int | None:
        """How much waits now; None if something else than growth happened to the path."""
        try:
            now, then = os.stat(name), self.status  # noqa: PTH116  # done at every look
        except OSError:
            return None
        if not os.path.samestat(now, then) or now.st_size < then.st_size:
            return None
        if now.st_size == then.st_size and now.st_mtime_ns != then.st_mtime_ns:
            return None  # rewritten to the same size, or touched
        return now.st_size - self.read_bytes
