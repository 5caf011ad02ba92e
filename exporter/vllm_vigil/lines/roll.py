"""How it stands with every followed path -> who is to be looked at, so that a read costs what happened and no more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from vllm_vigil.lines.news import Key, News
from vllm_vigil.lines.source import Source


@dataclass(frozen=True, slots=True)
class Followed:
    """How it stands with one path, after a read; `lag_bytes` wait there, None where there is nothing to read."""

    file: str
    server: str
    readable: bool
    lag_bytes: int | None


class Roll:
    """Is told of every path that something was done at, and of no other."""

    def __init__(self) -> None:
        self.open_files = 0
        self._open: dict[str, int] = {}
        self._followed: dict[str, Followed] = {}
        self._files: dict[str, Mapping[Key, str]] = {}
        self._names: dict[Key, set[str]] = {}  # file -> the paths under which it is followed
        self._listened: dict[Key, str] | None = {}  # None: to be put together anew
        self._restless: set[str] = set()
        self._moved: set[str] = set()

    @property
    def followed(self) -> tuple[Followed, ...]:
        """Every path."""
        return tuple(self._followed.values())

    @property
    def listened(self) -> Mapping[Key, str]:
        """Every file that is to be listened to, with a path that leads to it."""
        if self._listened is None:
            self._listened = {key: path for files in self._files.values() for key, path in files.items()}
        return self._listened

    def due(self, news: News) -> list[str]:
        """The paths to look at: those that news came of, and those that have something to do without any."""
        if news.everything:
            return list(self._followed)
        told = {name for key in news.files for name in self._names.get(key, ())}
        return sorted(told | self._restless)

    def moved(self, holding: set[str]) -> set[str]:
        """The paths whose position may have changed since the last call; those that hold something may change again."""
        moved, self._moved = self._moved | holding, set(holding)
        return moved & self._followed.keys()

    def is_open(self, key: Key) -> bool:
        """Whether the file is followed already, under whatever path."""
        return key in self._names

    def note(self, source: Source, *, readable: bool) -> None:
        """Something was done at a path."""
        name, files = source.name, source.files
        self._followed[name] = Followed(name, source.server, readable, source.lag_bytes)
        self._moved.add(name)
        (self._restless.discard if source.resting else self._restless.add)(name)
        self.open_files += source.open_files - self._open.get(name, 0)
        self._open[name] = source.open_files
        if files != self._files.get(name, {}):
            self._hold(name, files)

    def strike(self, name: str) -> None:
        """The path is no longer followed."""
        self._hold(name, {})
        self.open_files -= self._open.pop(name)
        del self._followed[name], self._files[name]
        self._restless.discard(name)

    def _hold(self, name: str, files: Mapping[Key, str]) -> None:
        for key in self._files.pop(name, ()):
            self._names[key].discard(name)
            if not self._names[key]:
                del self._names[key]
        for key in files:
            self._names.setdefault(key, set()).add(name)
        self._files[name] = files
        self._listened = None
