"""Log files, plain or .gz, or standard input -> lines as the daemon has them: one by one where they may matter."""

from __future__ import annotations

import gzip
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Protocol

from vllm_vigil.errors import UsageError
from vllm_vigil.lines.sift import Left, Sieve, cut
from vllm_vigil.lines.split import Piece, Splitter
from vllm_vigil.lines.wrap import Parts
from vllm_vigil.model import Line, Stretch

BLOCK_BYTES = 248 * 1024  # with the line that goes on behind it, as a rule no more than is scanned at once


class Log:
    """One file, read once."""

    def __init__(self, name: str, sieve: Sieve | None, progress: Progress) -> None:
        self.name = name
        self._packed = name.endswith(".gz")
        self._sieve = sieve
        self._progress = progress

    def lines(self) -> Iterator[Line | Stretch]:
        """The lines to be judged, and what was left out. Raises `UsageError` if the file cannot be read."""
        lines, parts = Splitter(0), Parts()
        for data in self._blocks():
            yield from map(self._line, parts.join(cut(data, lines, self._sieve)))
        yield from map(self._line, parts.join(last for last in (lines.finish(),) if last))

    def written_at(self) -> float:
        """When the file was last changed (epoch seconds): a time for what says none."""
        try:
            return Path(self.name).stat().st_mtime
        except OSError:
            return time.time()

    def _blocks(self) -> Iterator[bytes]:
        try:
            with _opened(self.name) as raw, gzip.GzipFile(fileobj=raw) if self._packed else raw as stream:
                while data := stream.read(BLOCK_BYTES):
                    self._progress.read(raw)
                    yield data + stream.readline(BLOCK_BYTES)
        except (OSError, EOFError) as error:
            raise UsageError(f"cannot replay {self.name}: {getattr(error, 'strerror', None) or error}") from error

    def _line(self, piece: Piece | Left) -> Line | Stretch:
        if isinstance(piece, Left):
            return Stretch(self.name, piece.block, piece.start, piece.end, piece.at, "", "replay", piece.levels)
        return Line(self.name, piece.data, "", "replay", piece.offset, piece.end, piece.soft)


class Progress(Protocol):
    """Who is told how far it is."""

    def read(self, stream: BinaryIO) -> None:
        """A block was read from a file; of a packed one, this is what lies on the disk."""
        ...


class Bar:
    """A line on a terminal that says how far it is; the files' sizes as they lie on the disk are the whole."""

    EVERY_SECONDS = 0.1

    def __init__(self, names: list[str]) -> None:
        self._sizes = sum(Path(name).stat().st_size for name in names if Path(name).is_file())
        self._at: dict[int, int] = {}
        self._shown = 0.0
        self._on = sys.stderr.isatty()

    def read(self, stream: BinaryIO) -> None:
        """See `Progress`."""
        now = time.monotonic()
        if not self._on or not self._sizes or now - self._shown < self.EVERY_SECONDS:
            return
        self._shown = now
        if stream.seekable():
            self._at[stream.fileno()] = stream.tell()
        share = min(1.0, sum(self._at.values()) / self._sizes)
        print(f"\r{'#' * int(40 * share):<40} {share:4.0%}", end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Leave the terminal as it was."""
        if self._on and self._shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
            self._shown = 0.0


def _opened(name: str) -> BinaryIO:
    return open(sys.stdin.fileno(), "rb", closefd=False) if name == "-" else Path(name).open("rb")
