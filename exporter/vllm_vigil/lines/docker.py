"""The name or id of a container -> the file in which Docker's json-file driver keeps its log."""

from __future__ import annotations

import json
import os
from pathlib import Path


class Containers:
    """What the containers below Docker's data directory are called; each one's file is read once while it stays."""

    def __init__(self) -> None:
        self._named: dict[str, tuple[int, str]] = {}  # config file -> when it was changed, the name

    def logs(self, root: Path, wanted: str) -> list[str]:
        """The log of the container of this name or id (a beginning of 12 characters will do), none if there is none."""
        return [
            f"{directory}/{Path(directory).name}-json.log"
            for directory in self._directories(root)
            if self._is(directory, wanted)
        ]

    @staticmethod
    def _directories(root: Path) -> list[str]:
        try:
            with os.scandir(root / "containers") as entries:
                return sorted(entry.path for entry in entries if entry.is_dir())
        except OSError:
            return []  # told as a log that does not exist

    def _is(self, directory: str, wanted: str) -> bool:
        id_ = Path(directory).name
        return id_ == wanted or (len(wanted) >= 12 and id_.startswith(wanted)) or self._name(directory) == wanted

    def _name(self, directory: str) -> str:
        path = Path(directory, "config.v2.json")
        try:
            changed = path.stat().st_mtime_ns
            known = self._named.get(directory)
            if known is None or known[0] != changed:
                name = str(json.loads(path.read_bytes()).get("Name", "")).removeprefix("/")
                known = self._named[directory] = (changed, name)
        except (OSError, ValueError, AttributeError):
            return ""  # being made, removed, or not ours to read
        return known[1]
