"""/proc and the cgroup file systems -> how much memory a process' cgroup uses and may use, and how often it was killed.

With cgroup v2 `memory.events` counts the processes of the cgroup and of those below it that any OOM killer ended. With
v1 `memory.oom_control` counts those of the cgroup alone (since Linux 4.13). The limit is the lowest on the way up.

From within a container the cgroups of others are not to be seen: then there is no answer, and no number.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from vllm_vigil.sources.processes import read_bytes

UNLIMITED = 1 << 60
"""v1 says "no limit" with the largest multiple of a page."""

_OOM = {1: "memory.oom_control", 2: "memory.events"}
_USED = {1: "memory.usage_in_bytes", 2: "memory.current"}
_LIMIT = {1: "memory.limit_in_bytes", 2: "memory.max"}


@dataclass(frozen=True, slots=True)
class Mount:
    """Where one hierarchy that accounts memory is mounted; `root` is what of it is to be seen there."""

    version: int
    root: PurePosixPath
    point: Path


@dataclass(frozen=True, slots=True)
class Cgroup:
    """One cgroup's directory. Reading it again works after the process has gone, as long as it is there itself."""

    version: int
    path: Path
    top: Path

    def oom_kills(self) -> int | None:
        """Processes ended by an OOM killer since the cgroup was made; None if it does not say."""
        for line in self._text(self.path, _OOM).splitlines():
            name, _, value = line.partition(" ")
            if name == "oom_kill":
                return int(value)
        return None

    def used_bytes(self) -> int | None:
        """Memory charged to it, page cache included."""
        text = self._text(self.path, _USED).strip()
        return int(text) if text.isdecimal() else None

    def limit_bytes(self) -> int | None:
        """What it may use, None if nothing limits it."""
        limits = [int(text) for each in self._upwards() if (text := self._text(each, _LIMIT).strip()).isdecimal()]
        lowest = min(limits, default=UNLIMITED)
        return lowest if lowest < UNLIMITED else None

    def _upwards(self) -> Iterator[Path]:
        yield self.path
        for parent in self.path.parents:
            if not parent.is_relative_to(self.top):
                return
            yield parent

    def _text(self, path: Path, names: dict[int, str]) -> str:
        return read_bytes(str(path / names[self.version])).decode("ascii", "replace")


class Cgroups:
    """Finds the cgroups of processes. The mounts are read once."""

    def __init__(self, proc: Path) -> None:
        self._proc = proc
        self._mounts: tuple[Mount, ...] | None = None

    def name(self, pid: int | str) -> str:
        """The path of the process' memory cgroup as the kernel gives it; "" if unknown or that of all processes."""
        found = self._where(pid)
        return "" if found is None or str(found[1]) == "/" else str(found[1])

    def of(self, pid: int | str) -> Cgroup | None:
        """The memory cgroup of a process, None if it cannot be seen from here."""
        found = self._where(pid)
        if self._mounts is None:
            self._mounts = tuple(mounts(self._proc))
        if found is None or ".." in found[1].parts:
            return None
        version, path = found
        for mount in self._mounts:
            if mount.version == version and path.is_relative_to(mount.root):
                here = mount.point / path.relative_to(mount.root)
                if (here / _OOM[version]).exists():
                    return Cgroup(version, here, mount.point)
        return None

    def _where(self, pid: int | str) -> tuple[int, PurePosixPath] | None:
        unified = None
        for line in read_bytes(f"{self._proc}/{pid}/cgroup").decode("utf-8", "replace").splitlines():
            hierarchy, controllers, path = (*line.split(":", 2), "", "")[:3]
            if "memory" in controllers.split(","):
                return 1, PurePosixPath(path)
            if hierarchy == "0":
                unified = 2, PurePosixPath(path)
        return unified


def mounts(proc: Path) -> Iterator[Mount]:
    """The hierarchies of `mountinfo` (proc_pid_mountinfo(5)) that account memory."""
    for line in read_bytes(f"{proc}/self/mountinfo", 1 << 20).decode("utf-8", "replace").splitlines():
        head, _, tail = line.partition(" - ")
        fields, kind = head.split(), tail.split()
        if len(fields) > 4 and len(kind) > 2:
            if kind[0] == "cgroup2":
                yield Mount(2, PurePosixPath(fields[3]), Path(fields[4]))
            elif kind[0] == "cgroup" and "memory" in kind[2].split(","):
                yield Mount(1, PurePosixPath(fields[3]), Path(fields[4]))
