"""A disk that stands still for a whole process, as one does for a minute beside a download of weights (slow_disk.c)."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SOURCE = Path(__file__).with_name("slow_disk.c")


class SlowDisk:
    """A library for a program's environment, and the switch."""

    def __init__(self, directory: Path) -> None:
        self._library = directory / "slow_disk.so"
        self._stands = directory / "the disk stands"
        options = ("gcc", "-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Werror", "-o", str(self._library))
        subprocess.run((*options, str(SOURCE), "-ldl"), check=True)

    @property
    def environment(self) -> dict[str, str]:
        """What makes a program's syncs wait."""
        return {"LD_PRELOAD": str(self._library), "DISK_STANDS": str(self._stands)}

    @contextmanager
    def stands(self) -> Iterator[None]:
        """No sync comes back meanwhile."""
        self._stands.touch()
        try:
            yield
        finally:
            self._stands.unlink()
