"""Killed at every point of a delivery, and at random: nothing is lost, and only what may have arrived comes twice."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

from standins.killed_sender import BEHIND

KILLS = int(os.environ.get("VIGIL_KILLS", "200"))


def test_no_incident_and_no_end_is_lost_however_often_it_is_killed(tmp_path: Path) -> None:
    """Every incident was told, every one that ended was told as over, last, and repeats keep their key."""
    command = [sys.executable, "-m", "standins.killed_sender", str(tmp_path), str(KILLS)]
    tests = Path(__file__).parents[1]
    told = subprocess.run(command, cwd=tests, capture_output=True, text=True, check=False, timeout=110)
    assert told.returncode == 0, told.stderr
    opened = int(told.stdout)
    heard: dict[str, list[str]] = defaultdict(list)
    for line in (tmp_path / "received").read_text().splitlines():
        key, kind = line.split()
        heard[key].append(kind)
    assert opened > KILLS / 10, "hardly anything happened between the kills"
    assert {f"i{number}" for number in range(opened)} == set(heard)
    for number in range(opened - BEHIND):
        kinds = heard[f"i{number}"]
        assert kinds[-1] == "success"
        assert kinds == sorted(kinds), "an end was overtaken by its beginning"
