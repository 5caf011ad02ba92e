"""The files beside a log into which a rotation may have turned it, and which names are such files and no logs."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple

from vllm_vigil.lines.settings import COMPRESSED

_NUMBER = re.compile(r"[.\-_]\d[\d.\-_:TZ]*(?:\.backup)?$")
"""vllm.log.1, vllm.log-20261121, vllm.log.2026-11-21; `.backup` is how logrotate saves a file that is in its way."""
NO_DESCRIPTOR = frozenset({errno.EMFILE, errno.ENFILE})
PASSING = NO_DESCRIPTOR | {errno.EIO, errno.ESTALE}
"""What says nothing about the file: it may well be there, and is looked for again."""
_DATE_INSIDE = re.compile(r"[.\-_]\d{8}[\d\-_:TZ]*(?=\.[A-Za-z]+$)")  # vllm-20261121.log


class File(NamedTuple):
    """A file that may be what a log was turned into; `named` says that its name alone makes it likely."""

    path: str
    key: tuple[int, int]  # device and inode
    size: int
    modified: int  # ns
    named: bool


def siblings(path: str) -> list[File]:
    """The path itself if something is there, then what stands beside it under a name of the same beginning.

    Where the path is a symlink, also beside what it leads to: there the kubelet rotates. Raises OSError when there is
    no descriptor left to look with.
    """
    target = os.path.realpath(path)
    beside = [*_beside(path), *(_beside(target) if target != path else ())]
    return [*_files(path, named=True), *beside]


def _beside(path: str) -> Iterator[File]:
    place = Path(path)
    beginning = place.name.removesuffix(place.suffix)
    try:
        with os.scandir(place.parent) as entries:
            paths = [entry.path for entry in entries if entry.name.startswith(beginning) and entry.name != place.name]
    except OSError as error:
        if error.errno in NO_DESCRIPTOR:
            raise  # they may well be there
        return  # without its directory there is no file either
    for found in paths:
        if not found.endswith(COMPRESSED):
            yield from _files(found, named=rotated(found, {path}))


def _files(path: str, *, named: bool) -> Iterator[File]:
    try:
        status = os.stat(path)  # noqa: PTH116  # as in the rest of this room
    except OSError:
        return  # moved away meanwhile
    yield File(path, (status.st_dev, status.st_ino), status.st_size, status.st_mtime_ns, named)


def rotated(path: str, paths: Collection[str]) -> bool:
    """Whether a path that a glob found holds no lines of its own: compressed, or an older file of another one found."""
    bases = {_NUMBER.sub("", path), _DATE_INSIDE.sub("", path)} - {path}
    return path.endswith(COMPRESSED) or any(base in paths for base in bases)


def key_at(path: str) -> tuple[int, int] | None:
    """Device and inode of what stands at a path, None if nothing can be seen there. Raises OSError if that may pass."""
    try:
        status = os.stat(path)  # noqa: PTH116  # as above
    except OSError as error:
        if error.errno in PASSING:
            raise
        return None
    return status.st_dev, status.st_ino
