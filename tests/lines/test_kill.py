"""`kill -9` of a real reader at every point between looking and committing: each line is dealt with exactly once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from vllm_vigil.state.store import Store

POINTS = ("begun", "read", "asked", "half stored", "stored", "committed")

PROGRAM = """
import os, sys
from pathlib import Path
from vllm_vigil.clock import RealClock
from vllm_vigil.lines.reader import Reader
from vllm_vigil.lines.settings import LogSettings
from vllm_vigil.state.store import Store
from vllm_vigil.telemetry import Telemetry

directory, point, turn = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
clock = RealClock()
store = Store.open(directory / "state")
reader = Reader({"llama": (LogSettings(str(directory / "vllm.log")),)}, store.positions(), Telemetry(clock), clock)
turns = 0
def reach(name):
    if (name, turns) == (point, turn):
        os.kill(os.getpid(), 9)
while True:
    turns += 1
    reach("begun")
    batch = reader.read(700)
    reach("read")
    positions = reader.positions()
    reach("asked")
    with store.transaction():
        for name, body in positions.items():
            store.save_position(name, body)
        reach("half stored")
        done = (store.memory("lines") or "") + "".join(line.data.decode() + ";" for line in batch.lines)
        store.remember("lines", done)
        reach("stored")
    reach("committed")
    if not batch.more and not batch.lines:
        break
"""


def run(directory: Path, point: str, turn: int) -> int:
    """One life of the reader, which ends by itself or is killed at the point of a turn."""
    command = [sys.executable, "-c", PROGRAM, str(directory), point, str(turn)]
    return subprocess.run(command, timeout=60, check=False, stderr=subprocess.DEVNULL, env=os.environ).returncode


@pytest.mark.parametrize("point", POINTS)
def test_a_reader_killed_at_any_point_deals_with_each_line_once(tmp_path: Path, point: str) -> None:
    """Killed twice, the second time after a rotation; position and what was made of the lines change together."""
    log = tmp_path / "vllm.log"
    log.touch()
    assert run(tmp_path, "never", 0) == 0
    lines = [f"line {number:04d} of a log that is long enough to tell it from others" for number in range(40)]
    log.write_text("".join(f"{line}\n" for line in lines[:30]))
    assert run(tmp_path, point, 2) == -9
    log.rename(tmp_path / "vllm.log.1")
    log.write_text("".join(f"{line}\n" for line in lines[30:]))
    assert run(tmp_path, point, 1) == -9
    assert run(tmp_path, "never", 0) == 0
    store = Store.open(tmp_path / "state")
    assert lines == (store.memory("lines") or "").split(";")[:-1]
    store.close()
