"""/proc -> the table of processes: who is whose child, since when, how large, and what those of interest are called.

Promise: a pass stays cheap with thousands of processes. A process is read when it is new, a few times more (a child
is first seen under its parent's name, before it gives itself a title), on every pass while the caller watches it, and
else once in `ROUNDS` passes, so that a number that was given to another process does not go unnoticed. Command lines
are kept only where they speak of what we look for.

What disappears while it is read has ended, which is ordinary. Command lines hold secrets (`--api-key`): they stay in
the table and never get into a label, a fact or a log line.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

CHUNK = 4096
YOUNG_PASSES = 4
ROUNDS = 24
ANCESTORS_LIMIT = 64
HERTZ = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")

_TELLING = (b"vllm", b"VLLM", b"ray::", b"multiprocessing", b"docker-proxy")
_ENDED = (b"Z", b"X", b"x")
_PYTHON = re.compile(r"(?:python|pypy)[\d.]*t?")


@dataclass(frozen=True, slots=True)
class Process:
    """One process. `started_ticks` since boot tell it from another that has its number later.

    `comm` is the kernel's name of 15 characters; `argv` is () unless the command line speaks of vLLM, Ray,
    multiprocessing or docker-proxy. `resident_bytes` counts shared pages too, as `ps` does.
    """

    pid: int
    parent: int
    started_ticks: int
    resident_bytes: int
    comm: str
    argv: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """The first word of the command line, which is all of it where a process has given itself a title."""
        return self.argv[0] if self.argv else ""

    @property
    def program(self) -> str:
        """What runs: the name of the program, or of Python's script or module."""
        if not self.argv:
            return ""
        name = os.path.basename(self.argv[0])  # noqa: PTH119  # of text that need not be a path
        if not _PYTHON.fullmatch(name):
            return name
        words = iter(self.argv[1:])
        for word in words:
            if word == "-m":
                return next(words, "")
            if not word.startswith("-"):
                return os.path.basename(word)  # noqa: PTH119
            if word == "-c":
                return ""
        return ""

    @property
    def is_vllm(self) -> bool:
        """Whether it says itself that it is vLLM: by title, as a command, as a module, or a worker under Ray."""
        if self.title.startswith("VLLM::") or (self.title.startswith("ray::") and "RayWorker" in self.title):
            return True
        return self.program == "vllm" or self.program.startswith("vllm.")


Table = Mapping[int, Process]


class Processes:
    """The table of one /proc, brought up to date by each `look`. Used from one thread."""

    def __init__(self, root: Path) -> None:
        self._root = str(root)
        self._known: dict[int, Process] = {}
        self._passes: dict[int, int] = {}
        self._count = 0

    def look(self, watched: Collection[int] = ()) -> Table:
        """The processes that run now. Raises OSError if there is no such directory."""
        self._count += 1
        pids = {int(name) for name in os.listdir(self._root) if name.isdigit()}  # noqa: PTH208  # Path costs ten times this
        for gone in self._known.keys() - pids:
            self._forget(gone)
        for pid in pids:
            passes = self._passes.get(pid, 0)
            if passes < YOUNG_PASSES or pid in watched or (pid + self._count) % ROUNDS == 0:
                self._passes[pid] = passes + 1
                self._read(pid, young=passes < YOUNG_PASSES)
        return self._known

    def _forget(self, pid: int) -> None:
        self._known.pop(pid, None)
        self._passes.pop(pid, None)

    def _read(self, pid: int, *, young: bool) -> None:
        stat = parse_stat(pid, read_bytes(f"{self._root}/{pid}/stat"))
        if stat is None:
            self._forget(pid)
            return
        before = self._known.get(pid)
        same = before is not None and (before.started_ticks, before.comm) == (stat.started_ticks, stat.comm)
        if before is not None and same and not young:
            argv = before.argv
        else:
            argv = _argv(read_bytes(f"{self._root}/{pid}/cmdline"))
            if not same:
                self._passes[pid] = 1
        self._known[pid] = Process(pid, stat.parent, stat.started_ticks, stat.resident_bytes, stat.comm, argv)


def parse_stat(pid: int, text: bytes) -> Process | None:
    """A process by its `stat` (proc_pid_stat(5)), without its command line; None if it has ended.

    One that nobody has waited for yet (a zombie) has ended: it holds nothing any more.
    """
    head, found, tail = text.rpartition(b")")
    fields = tail.split()
    if not found or len(fields) < 22 or fields[0] in _ENDED:
        return None
    comm = head.partition(b"(")[2].decode("utf-8", "replace")
    return Process(pid, int(fields[1]), int(fields[19]), int(fields[21]) * PAGE_BYTES, comm)


def read_bytes(path: str, limit: int = CHUNK) -> bytes:
    """The beginning of a file; b"" if it is gone or not for us."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        text = os.read(file, limit)
        while limit > CHUNK and len(text) < limit and (more := os.read(file, limit - len(text))):
            text += more  # the kernel hands out a page or so at a time
    except OSError:  # ESRCH: the process ended after it was opened
        return b""
    else:
        return text
    finally:
        os.close(file)


def _argv(text: bytes) -> tuple[str, ...]:
    if not any(word in text for word in _TELLING):
        return ()
    return tuple(text.decode("utf-8", "replace").rstrip("\0").split("\0"))


def ancestry(table: Table, pid: int) -> list[Process]:
    """A process and its ancestors, from itself up, as far as they are visible."""
    found: list[Process] = []
    process = table.get(pid)
    while process is not None and process not in found and len(found) < ANCESTORS_LIMIT:
        found.append(process)
        process = table.get(process.parent)
    return found
