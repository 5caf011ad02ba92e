"""A `journalctl` that follows -> what it prints, as it comes: no bindings to libsystemd, so it runs everywhere it does.

Its output is a pipe that is never waited for. When we do not read it waits, and journald keeps the rest for it.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from typing import IO

BLOCK_BYTES = 256 * 1024
STOP_SECONDS = 2.0
FOLLOW = ("journalctl", "--output=json", "--all", "--follow", "--no-tail", "--no-pager")


class Journalctl:
    """One child process. Raises OSError if it cannot be started."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._said = b""

    @classmethod
    def start(cls, arguments: Sequence[str]) -> Journalctl:
        """Follow from where the arguments say."""
        process = subprocess.Popen(  # noqa: S603  # the unit was checked when the configuration was read
            [*FOLLOW, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        for stream in _streams(process):
            os.set_blocking(stream.fileno(), False)
        return cls(process)

    @property
    def pipes(self) -> tuple[int, ...]:
        """Where it prints."""
        return (_streams(self._process)[0].fileno(),)

    def read(self) -> bytes | None:
        """What it printed since, b"" if nothing; None when it has ended and all is read."""
        output, complaints = _streams(self._process)
        self._said = (self._said + (_read(complaints) or b""))[-4096:]
        return _read(output)

    def last_words(self) -> str:
        """The last thing that it complained about; with how it ended, if it has."""
        lines = self._said.decode(errors="replace").strip().splitlines()
        code = self._process.poll()
        ended = "" if code is None else f"it ended with status {code}"
        return ": ".join(part for part in (ended, lines[-1] if lines else "") if part)

    def close(self) -> None:
        """End it."""
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for stream in _streams(self._process):
            stream.close()


def _streams(process: subprocess.Popen[bytes]) -> tuple[IO[bytes], IO[bytes]]:
    if process.stdout is None or process.stderr is None:  # cannot be: both were asked for
        raise BrokenPipeError
    return process.stdout, process.stderr


def _read(stream: IO[bytes]) -> bytes | None:
    try:
        return os.read(stream.fileno(), BLOCK_BYTES) or None
    except BlockingIOError:
        return b""
