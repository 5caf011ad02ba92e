"""A file that has not changed -> known as such by one `stat` of its path, at a tenth of what a look costs."""

from __future__ import annotations

import os

SETTLED_SECONDS = 2.0
"""Within this a file may change again under the same time: of a tick of the kernel, of a second on old file systems."""

Shape = tuple[int, int, int, int, int]


class Still:
    """Remembers what `stat` said of one path, and since when; only a look that came late enough after it counts."""

    def __init__(self) -> None:
        self._shape: Shape | None = None
        self._since = 0.0
        self._settled = False

    def saw(self, status: os.stat_result, now: float) -> None:
        """The path is looked at, and leads to this (monotonic)."""
        shape = _shape(status)
        if shape != self._shape:
            self._shape, self._since = shape, now
        self._settled = now - self._since >= SETTLED_SECONDS

    def holds(self, path: str) -> bool:
        """Whether nothing has happened since that look."""
        if not self._settled:
            return False
        try:
            return _shape(os.stat(path)) == self._shape  # noqa: PTH116  # this is what it is for: half the time of Path's
        except OSError:
            return False


def _shape(status: os.stat_result) -> Shape:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
