"""Log files, plain or .gz, or standard input -> the lines that judging needs, and the number of all lines by level.

Blocks go through the sieve, which leaves out what is ordinary; while a record is open every line is given. A line
that is given and says no time is preceded by the last one left out that does, so that what follows is placed in time
as if every line had been given.
"""

from __future__ import annotations

import gzip
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Protocol

from vllm_vigil.errors import UsageError
from vllm_vigil.events.prefix import DOCUMENT, RECORD
from vllm_vigil.events.record import Joiner
from vllm_vigil.events.sieve import Sieve
from vllm_vigil.lines.split import LINE_LIMIT_BYTES, Splitter
from vllm_vigil.model import Line

BLOCK_BYTES = 1024 * 1024
_TIMED = (b"INFO ", b"WARNING ", b"DEBUG ", b'{"asctime"')


class Log:
    """One file, read once. `counts` are its lines by level, without those that were given, which the joiner counts."""

    def __init__(self, name: str, sieve: Sieve, joiner: Joiner, progress: Progress) -> None:
        self.name = name
        self.counts: Counter[str] = Counter()
        self._packed = name.endswith(".gz")
        self._sieve = sieve
        self._joiner = joiner
        self._progress = progress
        self._left_out: Line | None = None  # the last line that was left out and says a time

    def lines(self) -> Iterator[Line]:
        """The lines to be judged. Raises `UsageError` if the file cannot be read."""
        for offset, block in self._blocks():
            spans, counts = self._sieve.sift(block)
            self.counts += counts
            at = 0
            for start, end in (*spans, (len(block), len(block))):
                while at < start and self._joiner.busy:
                    stop = block.find(b"\n", at)
                    self._left_out = None
                    yield self._given(_line(self.name, block[at:stop], offset + at))
                    at = stop + 1
                if start < len(block):
                    yield from self._before(block, at, start, offset)
                    yield _line(self.name, block[start:end], offset + start)
                    at = end + 1
            self._left_out = self._timed(block, at, len(block), offset) or self._left_out
        if self._left_out:
            yield self._given(self._left_out)

    def written_at(self) -> float:
        """When the file was last changed (epoch seconds): a time for what says none."""
        try:
            return Path(self.name).stat().st_mtime
        except OSError:
            return time.time()

    def _blocks(self) -> Iterator[tuple[int, bytes]]:
        """Offset and bytes of whole lines; a line of more than a block is cut to what is kept of it."""
        offset, held = 0, b""
        try:
            with _opened(self.name) as raw, gzip.GzipFile(fileobj=raw) if self._packed else raw as stream:
                while data := stream.read(BLOCK_BYTES):
                    self._progress.read(raw)
                    cut = data.rfind(b"\n") + 1
                    if cut:
                        block = held + data[:cut]
                        yield offset, block
                        offset, held = offset + len(block), data[cut:]
                    else:
                        held = (held + data)[: BLOCK_BYTES + LINE_LIMIT_BYTES]
        except (OSError, EOFError) as error:
            raise UsageError(f"cannot replay {self.name}: {getattr(error, 'strerror', None) or error}") from error
        if held:
            yield offset, held + b"\n"

    def _before(self, block: bytes, at: int, start: int, offset: int) -> Iterator[Line]:
        said = RECORD.match(block, start)
        before = None if said else self._timed(block, at, start, offset) or self._left_out
        self._left_out = None
        if before:
            yield self._given(before)

    def _timed(self, block: bytes, low: int, high: int, offset: int) -> Line | None:
        """The last line of a stretch that was left out which says a time."""
        latest = -1
        for token in _TIMED:
            at = block.rfind(token, max(low, latest), high)
            while at >= 0:
                start = block.rfind(b"\n", 0, at) + 1
                if RECORD.match(block, start) or block.startswith(_TIMED[-1], start):
                    latest = max(latest, start)
                    break
                at = block.rfind(token, max(low, latest), start)
        if latest < 0:
            return None
        return _line(self.name, block[latest : block.find(b"\n", latest)], offset + latest)

    def _given(self, line: Line) -> Line:
        match = RECORD.match(line.data) or DOCUMENT.match(line.data)
        self.counts[match["level"].decode() if match else "INFO"] -= 1
        return line


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


def _line(name: str, data: bytes, offset: int) -> Line:
    end = offset + len(data) + 1
    body = data.removesuffix(b"\r")
    if b"\r" in body or b"\0" in data or len(data) > LINE_LIMIT_BYTES:
        piece = Splitter(offset).feed(data + b"\n")[0]
        return Line(name, piece.data, "", "replay", piece.offset, piece.end, piece.soft)
    return Line(name, body, "", "replay", offset, end, len(body) < len(data))


def _opened(name: str) -> BinaryIO:
    return open(sys.stdin.fileno(), "rb", closefd=False) if name == "-" else Path(name).open("rb")
