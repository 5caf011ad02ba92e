"""Files beside a path -> those left unread there, those that came and went between two looks, one still written to."""

from __future__ import annotations

import errno
import re
from collections.abc import Collection, Sequence

from loguru import logger

from vllm_vigil.lines.generation import Generation
from vllm_vigil.lines.mark import Mark
from vllm_vigil.lines.news import Key
from vllm_vigil.lines.settings import Format
from vllm_vigil.lines.siblings import PASSING, File, key_at, siblings

_INDEX = re.compile(r"\.(\d{1,4})$")

NO_PERMISSION = frozenset({errno.EACCES, errno.EPERM})


def find(name: str, mark: Mark, taken: Collection[Key], form: Format) -> Generation | None:
    """The marked file, ready to be read on: the same inode if it still has the content, else one with the same.

    `taken` are the files that are open already. Raises OSError when a file of ours cannot be read.
    """
    files = [file for file in siblings(name) if file.size >= mark.offset and file.key not in taken]
    for file in sorted(files, key=lambda file: file.key != mark.key):
        likely = file.key == mark.key or (mark.telling and file.named)
        generation = _open_marked(file, mark, form, here=file.path == name) if likely else None
        if generation is not None:
            return generation
    return None


def copy_of(name: str, generation: Generation, taken: Collection[Key], form: Format, now: float) -> Generation | None:
    """A copy of a file whose content was replaced, looked at, to be read on where that was left. Raises OSError."""
    mark = generation.mark_read()
    copy = find(name, mark, taken, form) if mark.telling else None
    if copy:
        copy.take_over(generation)
        copy.complete, copy.grown_at = True, now
        copy.look(now)
        logger.info("log {!r} was truncated at byte {}; the rest is read from its copy", name, mark.offset)
    return copy


def _open_marked(file: File, mark: Mark, form: Format, *, here: bool) -> Generation | None:
    try:
        generation = Generation.open(file.path, mark.restarts, form)
    except OSError as error:
        if file.key == mark.key and (error.errno in PASSING or (here and error.errno in NO_PERMISSION)):
            raise  # it is there, and will be read on from its mark when it can be opened
        return None  # no file of ours, or moved meanwhile
    try:
        if mark.fits(generation.descriptor):
            generation.go_to(mark)
            return generation
    except OSError:
        generation.close()
        raise
    generation.close()
    return None


def passed(
    name: str, since: int, taken: Collection[Key], known: Sequence[Mark], form: Format
) -> tuple[Generation, ...]:
    """Rotated files that were written after a moment (ns) and never stood at the path when we looked, oldest first.

    What has a `known` beginning is a copy of what was read, and no file of its own.
    """
    if not since:
        return ()  # never looked
    files = [file for file in _rotated(name, taken) if file.modified > since]
    found = [_open_unknown(file.path, known, form) for file in files]
    if any(found):
        logger.info("log {!r} was rotated more than once between two looks; what stood there between is read", name)
    return tuple(generation for generation in found if generation)


def forsaking(name: str, taken: Collection[Key], form: Format) -> tuple[Generation, ...]:
    """The file that was rotated away last, if the one at the path is empty: its writer may not have come along yet."""
    if any(file.path == name and file.size for file in siblings(name)):
        return ()
    last = [_open_unknown(file.path, (), form) for file in _rotated(name, taken)[-1:]]
    return tuple(generation for generation in last if generation)


def _rotated(name: str, taken: Collection[Key]) -> list[File]:
    """Rotated files of the path that hold anything and are not open, oldest first."""
    here = key_at(name)
    files = [file for file in siblings(name) if file.named and file.size and file.key not in taken and file.key != here]
    return sorted(files, key=_age)


def _age(file: File) -> tuple[int, int]:
    """Older first; of two changed at once the one with the higher number."""
    index = _INDEX.search(file.path)
    return file.modified, -int(index[1]) if index else 0


def _open_unknown(path: str, known: Sequence[Mark], form: Format) -> Generation | None:
    try:
        generation = Generation.open(path, form=form)
    except OSError:
        return None  # moved again meanwhile, or not ours to read
    try:
        copied = any(mark.head_bytes and mark.begins(generation.descriptor) for mark in known)
    except OSError:
        copied = True
    if not copied:
        return generation
    generation.close()
    return None
