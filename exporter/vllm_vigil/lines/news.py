"""What the kernel told of the followed files since the last look -> which of them need another one."""

from __future__ import annotations

from dataclasses import dataclass

Key = tuple[int, int]
"""Device and inode."""


@dataclass(frozen=True, slots=True)
class News:
    """These files are to be looked at; with `everything` every path, and new ones are to be looked for."""

    everything: bool
    files: frozenset[Key] = frozenset()


LOOK = News(everything=True)
"""Nobody listens."""
