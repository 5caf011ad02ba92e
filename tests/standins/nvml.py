"""A stand-in NVML library of our own C (nvml.c), and the file that says what its machine is like.

In this process `load()` puts it under the name that pynvml asks for; another process finds it through
`LD_LIBRARY_PATH=<directory>`. pynvml keeps the library that it loaded first for the life of the process, so there is
one library a process: tests share it and change the file.
"""

from __future__ import annotations

import ctypes
import subprocess
from pathlib import Path

SOURCE = Path(__file__).with_name("nvml.c")
NAME = "libnvidia-ml.so.1"


class StandInNvml:
    """The library in a directory of its own. `set` replaces what the machine is like."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._state = directory / "machine.txt"

    def build(self) -> None:
        """Compile the library."""
        self.set()
        subprocess.run(
            (
                *("gcc", "-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", f"-Wl,-soname,{NAME}"),
                *(f'-DSTATE="{self._state}"', "-o", str(self.directory / NAME), str(SOURCE)),
            ),
            check=True,
        )

    def load(self) -> None:
        """Make it the NVML of this process."""
        ctypes.CDLL(str(self.directory / NAME), mode=ctypes.RTLD_GLOBAL)

    def set(self, text: str = "") -> None:
        """Lines of `key value` as nvml.c lists them; what is not named is as it was at first (one good GPU)."""
        new = self._state.with_suffix(".new")
        new.write_text("\n".join(line.strip() for line in text.splitlines()) + "\n")
        new.replace(self._state)
