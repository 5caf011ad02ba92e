"""Standard input is read, passed on, and never waited for."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from standins.logs import lines_of
from standins.program import until
from vllm_vigil.clock import CrankedClock
from vllm_vigil.lines.pump import BLOCK_BYTES, STORE_BYTES, Pump
from vllm_vigil.lines.reader import Reader
from vllm_vigil.lines.settings import LogSettings
from vllm_vigil.telemetry import Telemetry


@dataclass
class Pipes:
    """The server's end of our input, and the terminal's end of our output."""

    server: int
    terminal: int
    pump: Pump

    def write(self, data: bytes) -> None:
        """What the server prints; returns when the pipe has taken it all, which it does only if it is read."""
        while data:
            data = data[os.write(self.server, data) :]

    def seen(self, size: int) -> bytes:
        """So many bytes of what the terminal shows."""
        found = b""
        while len(found) < size:
            found += os.read(self.terminal, size - len(found))
        return found


@pytest.fixture
def pipes() -> Iterator[Pipes]:
    """A pump at work between two pipes."""
    source, server = os.pipe()
    terminal, sink = os.pipe()
    made = Pipes(server, terminal, Pump(source, sink))
    made.pump.start()
    yield made
    for descriptor in (server, terminal):
        try:
            os.close(descriptor)
        except OSError:
            continue  # closed by the test
    until(60, "the pump ends with its source", lambda: made.pump.ended)
    os.close(source)
    os.close(sink)


def reader_of(pipes: Pipes, telemetry: Telemetry, clock: CrankedClock) -> Reader:
    """A reader whose only log is the pump's."""
    return Reader({"llama": (LogSettings(stdin=True),)}, {}, telemetry, clock, stdin=pipes.pump)


def lines(reader: Reader, count: int) -> list[str]:
    """The next so many lines."""
    found: list[str] = []

    def enough() -> bool:
        found.extend(line.data.decode() for line in lines_of(reader.read(1 << 22)))
        return len(found) >= count

    until(60, f"{count} lines", enough)
    return found


def test_what_comes_in_goes_out_and_is_read(pipes: Pipes, telemetry: Telemetry, clock: CrankedClock) -> None:
    """Byte for byte on the terminal, as lines for us; nothing is stored, for nothing can be read again."""
    reader = reader_of(pipes, telemetry, clock)
    pipes.write(b"one\r\n\x1b[31mtwo\nthr")
    assert ["one", "\x1b[31mtwo"] == lines(reader, 2)
    pipes.write(b"ee\n")
    assert (["three"], {}) == (lines(reader, 1), reader.positions())
    assert b"one\r\n\x1b[31mtwo\nthree\n" == pipes.seen(20)


def test_the_server_never_waits_for_us_nor_for_the_terminal(
    pipes: Pipes, telemetry: Telemetry, clock: CrankedClock
) -> None:
    """Neither takes anything for 64 MiB: the writes return, and what we could not keep is counted."""
    reader = reader_of(pipes, telemetry, clock)
    reader.read(0)
    size = 4 * STORE_BYTES
    block = b"x" * (BLOCK_BYTES - 1) + b"\n"
    for _ in range(size // len(block)):
        pipes.write(block)

    def dropped() -> float:
        reader.read(0)
        return (
            telemetry.registry.get_sample_value("vigil_log_lost_bytes_total", {"file": "stdin", "cause": "dropped"})
            or 0
        )

    kept = len(lines(reader, STORE_BYTES // len(block)))
    assert kept * len(block) + dropped() >= size - 2 * STORE_BYTES
    assert dropped() > 0


def test_a_terminal_that_goes_away_stops_nothing(pipes: Pipes, telemetry: Telemetry, clock: CrankedClock) -> None:
    """A pipe into `head`: the server's log is read on."""
    reader = reader_of(pipes, telemetry, clock)
    os.close(pipes.terminal)
    for number in range(3):
        pipes.write(f"line {number}\n".encode())
        assert [f"line {number}"] == lines(reader, 1)


def test_the_end_gives_the_last_line_and_is_told(pipes: Pipes, telemetry: Telemetry, clock: CrankedClock) -> None:
    """The server has closed its output: the watch goes on without it."""
    reader = reader_of(pipes, telemetry, clock)
    pipes.write(b"last words")
    os.close(pipes.server)
    assert ["last words"] == lines(reader, 1)
    assert 0 == telemetry.registry.get_sample_value("vigil_log_readable", {"file": "stdin"})
    assert ((), False) == (reader.read(1 << 20).lines, reader.read(1 << 20).more)
