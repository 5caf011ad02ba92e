"""A stand-in NVML library of our own C (nvml.c), and the machine file that says what it answers.

In this process `load()` puts it under the name that pynvml asks for; another process finds it through
`LD_LIBRARY_PATH=<directory>`. pynvml keeps the library that it loaded first for the life of the process, so there is
one library a process: tests share it and change the file. Machines are recorded in tests/data/nvml.
"""

from __future__ import annotations

import atexit
import ctypes
import functools
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path

SOURCE = Path(__file__).with_name("nvml.c")
MACHINES = Path(__file__).parents[1] / "data" / "nvml"
NAME = "libnvidia-ml.so.1"

MOVING = frozenset(
    (
        *("UtilizationRates", "MemoryInfo", "Temperature.0", "MarginTemperature", "PowerUsage"),
        *("TotalEnergyConsumption", "ClockInfo.0", "ClockInfo.1", "PcieReplayCounter"),
        *(f"Field.{field}" for field in (74, 82, 185, 186)),
        *(f"Field.{field}.4294967295" for field in (138, 139, 140, 141)),
    )
)
"""Facts whose numbers are others every second on a GPU at work, as are all activities."""


class StandInNvml:
    """The library in a directory of its own. `set` replaces what the machine is like."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.state = directory / "machine.txt"

    def build(self, without: Iterable[str] = ()) -> None:
        """Compile the library, as an older one if it is to be without some functions."""
        self.set()
        hidden = self.directory / "exports.map"
        hidden.write_text(f"{{ global: nvml*; local: {''.join(f'{name}; ' for name in without)} *; }};\n")
        new = self.directory / f"{NAME}.new"
        subprocess.run(
            (
                *("gcc", "-shared", "-fPIC", "-O2", "-pthread", "-Wall", "-Wextra", "-Werror"),
                *("-Wno-format-truncation", f"-Wl,-soname,{NAME}", f"-Wl,--version-script={hidden}"),
                *(f'-DSTATE="{self.state}"', "-o", str(new), str(SOURCE)),
            ),
            check=True,
        )
        new.replace(self.directory / NAME)

    def load(self) -> None:
        """Make it the NVML of this process."""
        ctypes.CDLL(str(self.directory / NAME), mode=ctypes.RTLD_GLOBAL)

    def set(self, changes: str = "", machine: str = "plain") -> None:
        """Be this recorded machine, with these lines of change (nvml.c lists what they can say)."""
        recorded = (MACHINES / f"{machine}.txt").read_text()
        changed = "\n".join(line.strip() for line in changes.splitlines())
        new = self.state.with_suffix(".new")
        new.write_text(f"{recorded}{changed}\n")
        new.replace(self.state)


def at_work(machine: str) -> str:
    """Lines of change for this machine, with which its numbers move as those of GPUs at work do."""
    lines = (line.split(" ", 2) for line in (MACHINES / f"{machine}.txt").read_text().splitlines())
    facts = [words for words in lines if len(words) == 3 and words[0].startswith("gpu")]
    moving = [words for words in facts if words[1] in MOVING or words[1].startswith("Gpm.")]
    return "\n".join(f"{gpu} {fact} ~{numbers}" for gpu, fact, numbers in moving)


@functools.cache
def library_of_this_process() -> StandInNvml:
    """The one that pynvml has found here, built when the first test asks."""
    directory = Path(tempfile.mkdtemp(prefix="nvml-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    library = StandInNvml(directory)
    library.build()
    library.load()
    return library
