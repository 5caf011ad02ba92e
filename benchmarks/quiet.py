"""What logs cost at which nothing happens, by their number and size; and what a backlog costs in memory.

The daemon's CPU is that of all its threads, from the scheduler's own nanoseconds; the peer is the daemon without a log.
Memory is the peak of a daemon that was killed and finds a backlog, beside one that finds nothing.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks import logs
from benchmarks.daemon import free_port, wait_for
from benchmarks.figure import Figure

QUIET_SECONDS = 20.0
SETTLE_SECONDS = 25.0  # until a thousand were looked at twice
MEGABYTE = 1_000_000
OLD_SECONDS = 3600.0
Daemon = tuple[subprocess.Popen[bytes], int]


def measure(scratch: Path) -> Iterator[Figure]:
    """First at rest, then after a backlog."""
    without = _at_rest(scratch, "none", 0, 0)
    for count in (1, 100, 1000):
        used = _at_rest(scratch, f"{count}-logs", count, MEGABYTE)
        yield Figure(f"CPU with {count} quiet logs of 1 MB", "%", used, without, "without a log")
    used = _at_rest(scratch, "large", 1, 1000 * MEGABYTE)
    yield Figure("CPU with 1 quiet log of 1 GB", "%", used, without, "without a log")
    nothing = _after(scratch, 0)
    for megabytes in (100, 1000):
        yield Figure(f"peak RSS after {megabytes} MB", "MB", _after(scratch, megabytes), nothing, "ours after nothing")


def _at_rest(scratch: Path, name: str, count: int, size_bytes: int) -> float:
    """Percent of a core with so many logs, mostly holes, that were last written to long ago."""
    directory = scratch / name
    directory.mkdir()
    for number in range(count):
        path = directory / f"{number}.log"
        path.touch()
        os.truncate(path, size_bytes)
        with path.open("a") as file:
            file.write("\na line\n")
        os.utime(path, (time.time() - OLD_SECONDS,) * 2)
    with _daemon(scratch / f"state-{name}", str(directory / "*.log") if count else None) as (ours, port):
        _until(port, "vigil_log_readable{", " 1.0", count)
        time.sleep(SETTLE_SECONDS)
        before = _cpu_seconds(ours.pid)
        time.sleep(QUIET_SECONDS)
        return 100 * (_cpu_seconds(ours.pid) - before) / QUIET_SECONDS


def _after(scratch: Path, megabytes: int) -> float:
    """Peak memory of a daemon that has read what was written while it was away."""
    log, state = scratch / f"backlog-{megabytes}.log", scratch / f"state-{megabytes}"
    log.touch()
    with _daemon(state, str(log)) as (_, port):
        _until(port, "vigil_log_readable{", " 1.0", 1)
        time.sleep(2)
    _write(log, megabytes * MEGABYTE)
    with _daemon(state, str(log)) as (ours, port):
        _until(port, "vigil_log_readable{", " 1.0", 1)
        _until(port, "vigil_log_lag_bytes{", " 0.0", 1)
        return _peak_megabytes(ours.pid)


def _write(log: Path, size_bytes: int) -> None:
    """A log of an ordinary day of about that size."""
    block = "".join(logs.lines(random.Random(7), 100_000)).encode()
    with log.open("wb") as file:
        while file.tell() < size_bytes:
            file.write(block)


@contextmanager
def _daemon(state: Path, pattern: str | None) -> Iterator[Daemon]:
    port = free_port()
    options = ("--listen", f"127.0.0.1:{port}", "--state-dir", str(state), *(("--log", pattern) if pattern else ()))
    ours = subprocess.Popen([sys.executable, "-m", "vllm_vigil", "run", *options], stderr=subprocess.DEVNULL)
    try:
        wait_for(port)
        yield ours, port
    finally:
        ours.terminate()
        ours.wait()


def _until(port: int, name: str, value: str, count: int) -> None:
    """Until as many samples of our own have that value."""
    while True:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:  # our own address
            lines = answer.read().decode().split("\n")
        if sum(line.startswith(name) and line.endswith(value) for line in lines) >= count:
            return
        time.sleep(0.5)


def _cpu_seconds(pid: int) -> float:
    """CPU time of all threads that live."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def _peak_megabytes(pid: int) -> float:
    """The most that was resident."""
    lines = Path(f"/proc/{pid}/status").read_text().split("\n")
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024 / 1e6
