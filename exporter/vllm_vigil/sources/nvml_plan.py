"""The table of `series/gpu.py` -> what one GPU is asked, and when: calls, and fields that go out together.

On a real GPU a call takes from a microsecond to three milliseconds. What is not asked every time is therefore spread:
each call has a turn of its own within its ten or sixty seconds, and other GPUs have other turns for the same call, so
that no reading asks much more than the next one. The first reading asks everything.
"""

from __future__ import annotations

import functools
from collections import Counter
from dataclasses import dataclass
from typing import Any, Self

from vllm_vigil.model import Labels
from vllm_vigil.series.gpu import GPU_ROWS, Ask, Field, GpuRow, link_label
from vllm_vigil.sources.nvml_columns import Column, Sheet
from vllm_vigil.sources.nvml_fields import Fields

APART = 7
"""Turns between the same call on two GPUs: it has no factor in common with 10 or 60, so ten GPUs have ten turns."""

Entry = tuple[tuple[int, int], GpuRow, Labels]
"""A field (number, scope), its row, and the label of its link."""


@dataclass(slots=True)
class Turn:
    """When something is asked. The second time comes `early_seconds` sooner, so that not all keep falling together."""

    every_seconds: float
    early_seconds: float
    due: float = 0.0

    @classmethod
    def of(cls, every_seconds: float, number: int, gpu: int) -> Self:
        """That of the call of this number, among those that are asked as often."""
        return cls(every_seconds, (number + APART * gpu) % every_seconds if every_seconds else 0.0)

    def took_place(self, now: float) -> None:
        """It was asked and answered."""
        self.due = now + self.every_seconds - self.early_seconds
        self.early_seconds = 0.0


@dataclass(slots=True)
class Call:
    """A call that is made for some rows, what it gave last, and where that stands."""

    ask: Ask
    rows: tuple[GpuRow, ...]
    turn: Turn
    column: Column
    answer: Any = None


@dataclass(slots=True)
class Batch:
    """The fields that are asked together."""

    entries: tuple[Entry, ...]
    turn: Turn
    column: Column
    fields: Fields | None = None
    answer: Any = None


def calls_of(options: frozenset[str], gpu: int, sheet: Sheet) -> list[Call]:
    """All calls, with their places in the sheet."""
    numbers: Counter[float] = Counter()
    calls = []
    for ask, rows in _calls(options):
        numbers[ask.every_seconds] += 1
        turn = Turn.of(ask.every_seconds, numbers[ask.every_seconds], gpu)
        calls.append(Call(ask, rows, turn, sheet.column()))
    return calls


def batches_of(links: int, gpu: int, sheet: Sheet) -> list[Batch]:
    """All fields of a GPU with so many NVLinks, likewise."""
    return [Batch(entries, Turn.of(every, 0, gpu), sheet.column()) for every, entries in _fields(links)]


# --- the same for all GPUs


@functools.cache
def _calls(options: frozenset[str]) -> tuple[tuple[Ask, tuple[GpuRow, ...]], ...]:
    """The calls that are wanted, each with its rows."""
    calls: dict[Ask, list[GpuRow]] = {}
    for row in GPU_ROWS:
        if isinstance(row.read, Ask) and (not row.read.option or row.read.option in options):
            calls.setdefault(row.read, []).append(row)
    return tuple((ask, tuple(rows)) for ask, rows in calls.items())


@functools.cache
def _fields(links: int) -> tuple[tuple[float, tuple[Entry, ...]], ...]:
    """The fields, by how often they are asked."""
    fields: dict[float, list[Entry]] = {}
    for row in GPU_ROWS:
        read = row.read
        if not isinstance(read, Field):
            continue
        entries = fields.setdefault(read.every_seconds, [])
        if read.per_link:
            entries += [((read.id, link), row, link_label(link)) for link in range(links)]
        else:
            entries.append(((read.id, read.scope), row, ()))
    return tuple((every_seconds, tuple(entries)) for every_seconds, entries in fields.items())


@functools.cache
def around(row: GpuRow, extra: Labels) -> tuple[Labels, Labels, Labels]:
    """The labels of a sample but for those of the GPU, in order: before `gpu`, between it and `uuid`, and after."""
    pairs = sorted(pair for pair in (*row.labels, *extra) if pair[1])  # no value, no label
    before = tuple(pair for pair in pairs if pair[0] < "gpu")
    after = tuple(pair for pair in pairs if pair[0] > "uuid")
    return before, tuple(pairs[len(before) : len(pairs) - len(after)]), after
