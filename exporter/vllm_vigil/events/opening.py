"""Lines that a sieve has left out -> how each begins, as far as a record that is held open cares: process, level, time.

Such a line begins a record of its own. So it can end an open record, by being of its process or by telling that time
has gone on, and hardly ever belong to one; of all lines that begin the same the answer is the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from vllm_vigil.events.prefix import PROCESS, WHEN

_OPENING = re.compile(rb"(?:\{|(" + PROCESS + rb")(DEBUG|INFO|WARNING)(?::    |(" + WHEN + rb"))).*+\n")
_NAMED = re.compile(rb"\(([A-Za-z0-9_]++) pid=([0-9]++)\)")


class Opening(NamedTuple):
    """The process part and the level, empty for a document; the time, empty where the line says none."""

    prefix: bytes
    level: bytes
    when: bytes

    @property
    def is_document(self) -> bool:
        """Whether only reading it tells more."""
        return not self.level

    @property
    def time(self) -> str:
        """The time as it is written."""
        return self.when.strip().decode()

    @property
    def process(self) -> tuple[str, str]:
        """Name and pid, empty for a line of the only process."""
        return _process(self.prefix)


def openings(block: bytes, start: int, end: int) -> Iterator[re.Match[bytes]]:
    """The lines of a stretch in order; the groups of each make an `Opening`."""
    return _OPENING.finditer(block, start, end)


@lru_cache(maxsize=256)
def _process(prefix: bytes) -> tuple[str, str]:
    match = _NAMED.search(prefix)
    return (match[1].decode(), match[2].decode()) if match else ("", "")
