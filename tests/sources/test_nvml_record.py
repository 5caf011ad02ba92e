"""`scripts/record-gpu` makes of a machine the file that plays it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from standins.nvml import MACHINES, NAME, StandInNvml

SCRIPT = Path(__file__).parents[2] / "scripts" / "record-gpu"


def record(library: StandInNvml) -> subprocess.CompletedProcess[str]:
    """Run the script on this library's machine."""
    environment = os.environ | {"LD_LIBRARY_PATH": str(library.directory)}
    command = (sys.executable, str(SCRIPT), "--note", "A test.")
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def facts(text: str, *left_out: str) -> dict[str, str]:
    """Lines of a machine file by their key, without comments and keys that hold one of these words."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    found = {}
    for line in lines:
        words = line.split()
        key = " ".join(words[:2]) if line.startswith("gpu") else words[0]
        if not any(word in key for word in left_out):
            found[key.replace("Field.138.0", "Field.138")] = line.removeprefix(key).strip()
    return found


@pytest.mark.parametrize("machine", ["a10g", "rtx3090x2", "a100x8-mig", "h100x8", "h200", "gb10"])
def test_a_recording_of_a_played_machine_is_that_machine(tmp_path: Path, machine: str) -> None:
    """What goes in comes out, the measured activity too, but for what is made up: process ids."""
    library = StandInNvml(tmp_path)
    library.build()
    library.set(machine=machine)
    done = record(library)
    assert (0, "") == (done.returncode, done.stderr)
    made_up = ("ComputeRunningProcesses", "Serial")
    expected = facts((MACHINES / f"{machine}.txt").read_text(), *made_up)
    assert expected == {key: value for key, value in facts(done.stdout, *made_up).items() if key in expected}


def test_serial_numbers_and_uuids_are_masked(tmp_path: Path) -> None:
    """Nothing in the file leads to the board."""
    library = StandInNvml(tmp_path)
    library.build()
    library.set("gpu0 Serial 1654321098765\ngpu0 UUID GPU-0a1b2c3d-1111-2222-3333-444455556666", "a10g")
    done = record(library)
    assert "gpu0 UUID GPU-00000000-0000-0000-0000-000000000001" in done.stdout
    assert "gpu0 Serial 0000000000000" in done.stdout
    assert not {"1654321098765", "0a1b2c3d", "20111"} & set(done.stdout.replace("-", " ").split())


def test_without_a_driver_it_says_so(tmp_path: Path) -> None:
    """One line, exit 1."""
    (tmp_path / NAME).write_bytes(b"")
    done = record(StandInNvml(tmp_path))
    assert (1, "") == (done.returncode, done.stdout)
    assert done.stderr.startswith("record-gpu: NVML cannot be used here: ")
