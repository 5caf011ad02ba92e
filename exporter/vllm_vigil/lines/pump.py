"""Standard input -> standard output, and a bounded store of what passed: `vllm serve 2>&1 | vigil run --stdin`.

The server must never wait for us, for it would stand still in its `print`. So one thread does nothing but read; what
we do not take in time, and what a stopped terminal does not take, is dropped and counted. It cannot help while the
whole process is stopped, nor keep the server from SIGPIPE when we end: a file or the journal is the better way.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
from collections import deque

BLOCK_BYTES = 64 * 1024
PIPE_BYTES = 1024 * 1024
STORE_BYTES = 16 * 1024 * 1024


class Pump:
    """Moves what comes from one descriptor to another, and keeps it until it is taken."""

    def __init__(self, source: int, sink: int) -> None:
        self._source = source
        self._sink = sink
        self._taken: deque[bytes] = deque()
        self._echoed: deque[bytes] = deque()
        self._moved = threading.Condition()
        self._stored_bytes = self._echoing_bytes = self._dropped_bytes = 0
        self._sink_gone = False
        self.ended = False
        self.bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        """Readable while something waits to be taken."""

    def start(self) -> None:
        """Begin, in two threads that do not hold up the exit."""
        with contextlib.suppress(OSError):  # no pipe, or above this user's limit
            fcntl.fcntl(self._source, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        for work in (self._read, self._echo):
            threading.Thread(target=work, name="stdin", daemon=True).start()

    @property
    def waiting_bytes(self) -> int:
        """How much was not taken yet."""
        return self._stored_bytes

    def take(self, limit_bytes: int) -> tuple[bytes, int]:
        """About so many bytes, and how many were dropped before them."""
        with self._moved:
            blocks = []
            while self._taken and limit_bytes > 0:
                blocks.append(self._taken.popleft())
                limit_bytes -= len(blocks[-1])
            data = b"".join(blocks)
            self._stored_bytes -= len(data)
            dropped, self._dropped_bytes = self._dropped_bytes, 0
            if not self._taken:
                self._silence()
            return data, dropped

    def _read(self) -> None:
        while block := self._next():
            with self._moved:
                self._ring()
                self._taken.append(block)
                self._stored_bytes += len(block)
                while self._stored_bytes > STORE_BYTES:
                    size = len(self._taken.popleft())
                    self._stored_bytes -= size
                    self._dropped_bytes += size
                if not self._sink_gone and self._echoing_bytes < STORE_BYTES:
                    self._echoed.append(block)
                    self._echoing_bytes += len(block)
                self._moved.notify_all()
        with self._moved:
            self.ended = True
            self._ring()
            self._moved.notify_all()

    def _ring(self) -> None:
        if not self._taken:
            os.eventfd_write(self.bell, 1)

    def _silence(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self.bell)

    def _next(self) -> bytes:
        try:
            return os.read(self._source, BLOCK_BYTES)
        except OSError:
            return b""  # closed, or a terminal that is gone

    def _echo(self) -> None:
        while not self._sink_gone:
            with self._moved:
                self._moved.wait_for(lambda: self._echoed or self.ended)
                if not self._echoed:
                    return
                block = self._echoed.popleft()
            self._write(block)
            with self._moved:
                self._echoing_bytes -= len(block)

    def _write(self, block: bytes) -> None:
        try:
            while block:
                block = block[os.write(self._sink, block) :]
        except OSError:
            self._sink_gone = True  # nobody looks any more; the server goes on
