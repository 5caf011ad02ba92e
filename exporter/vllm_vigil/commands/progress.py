"""How far a command is -> a bar on the terminal's last line, and nothing where no person watches."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Self

WIDTH = 32


class Progress:
    """A bar on standard error, gone when it is left; `advance` after each of the `count`."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._done = 0
        self._shown = sys.stderr.isatty()

    def __enter__(self) -> Self:
        self._draw()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()

    def advance(self) -> None:
        """One more is done."""
        self._done += 1
        self._draw()

    def _draw(self) -> None:
        if self._shown:
            full = WIDTH * self._done // self._count
            sys.stderr.write(f"\r[{'#' * full}{'.' * (WIDTH - full)}] {self._done}/{self._count}")
            sys.stderr.flush()
