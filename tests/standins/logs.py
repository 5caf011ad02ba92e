"""A directory of logs, its writer, and a reader that can die and come back; for the tests of `lines/`."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from vllm_vigil.clock import CrankedClock
from vllm_vigil.lines.backlog import Stamp
from vllm_vigil.lines.mark import Place
from vllm_vigil.lines.reader import Batch, Reader
from vllm_vigil.lines.settings import LogSettings
from vllm_vigil.lines.sift import Sieve
from vllm_vigil.model import Line, Stretch
from vllm_vigil.telemetry import Telemetry

NOBODY = 65_534


class Logs:
    """A directory of logs and the one who reads them; `stored` is what a restart would find."""

    def __init__(self, directory: Path, clock: CrankedClock, *names: str) -> None:
        self.directory = directory
        self.clock = clock
        self.telemetry = Telemetry(clock)
        self.stored: dict[str, str] = {}
        self.stamp: Stamp = lambda _data, _now: None
        self.sieve: Callable[[], Sieve | None] = lambda: None
        self.kind: type[Reader] = Reader
        self.settings: Mapping[str, tuple[LogSettings, ...]] = {
            "llama": tuple(LogSettings(str(directory / name)) for name in names or ("vllm.log",))
        }
        self.reader = self._new()

    @property
    def path(self) -> Path:
        """The log that most tests need."""
        return self.directory / "vllm.log"

    def write(self, text: str, name: str = "vllm.log") -> None:
        """Append to a file, as a writer does who opens it anew."""
        with (self.directory / name).open("ab") as file:
            file.write(text.encode())

    def read(self, max_bytes: int = 1 << 20) -> list[Line]:
        """One batch."""
        return lines_of(self.reader.read(max_bytes))

    def texts(self, max_bytes: int = 1 << 20) -> list[str]:
        """One batch, as texts."""
        return [line.data.decode() for line in self.read(max_bytes)]

    def commit(self, held: Iterable[Place] = ()) -> None:
        """Store the positions, as the app does with what it made of the lines."""
        self.stored |= self.reader.positions(held)

    def restart(self) -> None:
        """Die without another word, and begin from what is stored."""
        self.reader.close()
        self.reader = self._new()

    def reload(self, settings: Mapping[str, tuple[LogSettings, ...]]) -> None:
        """Commit, and begin anew with another configuration."""
        self.commit()
        self.settings = settings
        self.restart()

    def number(self, name: str, **labels: str) -> float | None:
        """A value of our own metrics, for the log that most tests need."""
        return self.telemetry.registry.get_sample_value(name, {"file": str(self.path), **labels})

    def lost(self, cause: str = "truncated") -> float | None:
        """Bytes counted as lost."""
        return self.number("vigil_log_lost_bytes_total", cause=cause)

    def _new(self) -> Reader:
        return self.kind(self.settings, self.stored, self.telemetry, self.clock, stamp=self.stamp, sieve=self.sieve)


def lines_of(batch: Batch) -> list[Line]:
    """The lines of a batch of which none were left out."""
    assert not any(isinstance(line, Stretch) for line in batch.lines)
    return [line for line in batch.lines if isinstance(line, Line)]


@contextlib.contextmanager
def as_nobody() -> Iterator[Path]:
    """A directory whose owner may not read everything; what is done inside is done by that user."""
    with tempfile.TemporaryDirectory() as directory:  # not below pytest's, which is root's alone
        os.chown(directory, NOBODY, NOBODY)
        os.setegid(NOBODY)
        os.seteuid(NOBODY)
        try:
            yield Path(directory)
        finally:
            os.seteuid(0)
            os.setegid(0)


def descriptors_of(path: Path) -> int:
    """How many descriptors of this process lead to a file that is or was at a path."""
    count = 0
    for entry in Path("/proc/self/fd").iterdir():
        try:
            count += str(entry.readlink()).removesuffix(" (deleted)") == str(path)
        except FileNotFoundError:
            continue  # the descriptor of this very listing
    return count
