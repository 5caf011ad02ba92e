"""Where one server's log is found, as the configuration says it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

COMPRESSED = (".gz", ".bz2", ".xz", ".zst", ".lz4")
"""Ends of names that hold no lines as they are."""


@dataclass(frozen=True, slots=True)
class LogSettings:
    """One log of one server: a file, or a glob (`/var/log/vllm/*.log`) of which each file is followed by itself."""

    path: str = ""

    def problems(self) -> Iterator[tuple[str, str]]:
        """What is wrong with the values: field and message."""
        if not self.path:
            yield "path", "is empty: name the file that the server writes, or a glob such as /var/log/vllm/*.log"
        elif not self.path.startswith("/"):
            yield "path", f"{self.path!r} is relative: write it in full, from /"
        elif "\0" in self.path:
            yield "path", f"{self.path!r} holds a NUL, which no file name can"
        elif self.path.endswith(COMPRESSED):
            yield "path", f"{self.path!r} is compressed and will not grow: use `vigil replay` to judge it once"
