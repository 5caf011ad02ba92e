"""Judging a log, the whole process, beside GNU grep on the same file with a few of the same literals."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.figure import Figure

CRASH = Path(__file__).parents[1] / "tests" / "data" / "captures" / "server-0.32.0-engine-killed.log"
COPIES = 200
LITERALS = "CUDA out of memory|EngineDeadError|EngineCore encountered|died unexpectedly|NCCL error|Xid"


def measure(scratch: Path) -> Iterator[Figure]:
    """Megabytes a second of `vigil replay`, records, levels, patterns, bursts and incidents included."""
    ordinary = [line for line in CRASH.read_bytes().splitlines(keepends=True) if b"ERROR" not in line]
    log = scratch / "ordinary.log"
    log.write_bytes(b"".join(ordinary) * COPIES)
    megabytes = log.stat().st_size / 1e6
    ours = seconds([sys.executable, "-m", "vllm_vigil", "replay", str(log)])
    grep = seconds(["grep", "-cE", LITERALS, str(log)])
    yield Figure("replay of an ordinary log", "MB/s", megabytes / ours, megabytes / grep, "grep -cE, six literals")


def seconds(command: list[str]) -> float:
    """Wall time of a command, the best of three."""
    times = []
    for _ in range(3):
        began = time.perf_counter()
        subprocess.run(command, stdout=subprocess.DEVNULL, check=False)
        times.append(time.perf_counter() - began)
    return min(times)
