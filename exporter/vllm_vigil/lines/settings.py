"""Where one server's log is found, as the configuration says it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

COMPRESSED = (".gz", ".bz2", ".xz", ".zst", ".lz4")
"""Ends of names that hold no lines as they are."""
KERNEL = "kernel"
"""What `journal` says for the kernel's own lines: Xid errors, OOM kills."""
STDIN = "stdin"
"""The name of standard input among the followed logs."""
UNIT = re.compile(r"[A-Za-z0-9@_.:\\-]+\.(?:service|scope|slice|socket|timer|mount)")


class Format(StrEnum):
    """How lines are wrapped by what collected them: not at all, by Docker's json-file, by Kubernetes; auto sees."""

    AUTO = "auto"
    PLAIN = "plain"
    DOCKER = "docker"
    CRI = "cri"


@dataclass(frozen=True, slots=True)
class LogSettings:
    """One log of one server: exactly one of `path`, `journal`, `docker`, `stdin`.

    `path` is a file, or a glob (`/var/log/vllm/*.log`) of which each file is followed by itself; `journal` a systemd
    unit or `kernel`; `docker` the name or id of a container on this host that logs to json-file.
    """

    path: str = ""
    journal: str = ""
    docker: str = ""
    stdin: bool = False
    format: Format = Format.AUTO
    docker_root: Path = Path("/var/lib/docker")

    @property
    def name(self) -> str:
        """What it is called before it is found: the path or glob itself, `journal:UNIT`, `docker:NAME`, `stdin`."""
        if self.stdin:
            return STDIN
        kind = "journal" if self.journal else "docker" if self.docker else ""
        return f"{kind}:{self.journal or self.docker}" if kind else self.path

    def problems(self) -> Iterator[tuple[str, str]]:
        """What is wrong with the values: field and message."""
        given = [name for name in ("path", "journal", "docker", "stdin") if getattr(self, name)]
        if len(given) > 1:
            yield given[1], f"a log is found in one place, and {' and '.join(given)} are given: make each its own entry"
        elif self.journal and self.journal != KERNEL and not UNIT.fullmatch(self.journal):
            yield "journal", f"{self.journal!r} is no unit: write it in full, such as vllm.service, or {KERNEL}"
        elif self.docker and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", self.docker):
            yield "docker", f"{self.docker!r} is neither the name nor the id of a container"
        elif not (self.journal or self.docker or self.stdin):
            yield from self._path_problems()

    def _path_problems(self) -> Iterator[tuple[str, str]]:
        if not self.path:
            yield "path", "is empty: name the file that the server writes, or a glob such as /var/log/vllm/*.log"
        elif not self.path.startswith("/"):
            yield "path", f"{self.path!r} is relative: write it in full, from /"
        elif "\0" in self.path:
            yield "path", f"{self.path!r} holds a NUL, which no file name can"
        elif self.path.endswith(COMPRESSED):
            yield "path", f"{self.path!r} is compressed and will not grow: use `vigil replay` to judge it once"
