"""What was committed -> on the disk, from a thread of its own, so that who commits never waits for a disk.

A commit leaves its pages with the kernel: a process that is killed loses none of it, a power cut what the disk does
not hold yet. To bring it there takes milliseconds, or a minute beside a download of weights, and a sidecar that stands
still so long answers nobody and pages nobody. So the log of the database is synced behind its back, once a second.

What is in the log moves into the file once a minute. The first commit after that begins the log anew, for which SQLite
syncs once in the thread of the writer: so it is put off while the disk is slow, unless the log grows large.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

SYNC_SECONDS = 1.0
CHECKPOINT_SECONDS = 60.0
QUICK_SECONDS = 0.1
CLOSE_SECONDS = 2.0
LARGE_BYTES = 64 * 1024 * 1024


class Flush:
    """Syncs one write-ahead log after it was told to. `checkpoint` moves the log into the file, or raises OSError."""

    def __init__(self, log: Path, checkpoint: Callable[[], None]) -> None:
        self._log = log
        self._move = checkpoint
        self._wanted = threading.Event()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None
        self._due = time.monotonic() + CHECKPOINT_SECONDS
        self._failed: OSError | None = None

    def start(self) -> None:
        """Begin to work in a thread; without it all is synced at the end."""
        self._thread = threading.Thread(target=self._work, name="flush", daemon=True)
        self._thread.start()

    def failure(self) -> OSError | None:
        """Why the disk did not keep what was committed, once for each time."""
        failed, self._failed = self._failed, None
        return failed

    def soon(self) -> None:
        """Something was committed."""
        self._wanted.set()

    def close(self) -> bool:
        """Sync for the last time; False if the disk stands still, as would whoever closed the database."""
        self._closed.set()
        if self._thread is None:
            if self._wanted.is_set():
                self._once()
            return True
        self._wanted.set()
        self._thread.join(CLOSE_SECONDS)
        return not self._thread.is_alive()

    def _work(self) -> None:
        while self._wanted.wait() and not self._closed.wait(SYNC_SECONDS):
            self._wanted.clear()
            self._once()
        self._once()

    def _once(self) -> None:
        try:
            quick = self._sync()
            if time.monotonic() >= self._due and (quick or self._log.stat().st_size > LARGE_BYTES):
                self._move()
                self._due = time.monotonic() + CHECKPOINT_SECONDS
        except FileNotFoundError:
            pass  # state is in memory for now
        except OSError as error:
            self._failed = error

    def _sync(self) -> bool:
        """Bring the log to the disk; whether that was quick."""
        began = time.monotonic()
        log = os.open(self._log, os.O_RDWR | os.O_CLOEXEC)
        try:
            os.fdatasync(log)
        finally:
            os.close(log)
        return time.monotonic() - began < QUICK_SECONDS
