"""One GPU, reading after reading: what is due of the table is asked, what the GPU cannot tell is never asked again.

In go NVML and a device handle, out come samples under our own names, as two columns. Rows that share an `Ask` share its
call; fields that are due go out in one call. Between its reads a row that is not asked every time keeps its last
samples. A switch of MIG mode changes what a GPU can tell: everything is then asked anew.

An error that concerns the whole GPU is let through; whoever catches it throws this object away.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from loguru import logger

from vllm_vigil.model import Labels, Sample, labels
from vllm_vigil.series.gpu import GPU_ROWS, OFTEN, Ask, Field, Gpm, GpuRow
from vllm_vigil.sources.nvml_activity import Activity
from vllm_vigil.sources.nvml_columns import Column, Key, Stitched
from vllm_vigil.sources.nvml_mig import MigDevices
from vllm_vigil.sources.nvml_tiers import ENDED, NEVER, NOT_NOW

LINK_COUNT_FIELD = 91
FIELD_VALUE = struct.Struct("=IIqqII8s")
"""nvmlFieldValue_t: field, scope, time, latency, type, error, value. Unpacked at once: ctypes takes 1 us a member."""

VALUES = tuple(struct.Struct(f"={each}") for each in ("d", "I", "Q", "Q", "q", "i", "H"))
"""How a field's value is to be read, by its type."""


@dataclass(slots=True)
class _Asked:
    """A call that is made for some rows, when next, and what it gave last."""

    ask: Ask
    rows: list[GpuRow]
    due: float = 0.0
    given: Column = field(default_factory=Column)


@dataclass(slots=True)
class _Batch:
    """The fields that are asked together: (number, scope), row, and the link's label."""

    every_seconds: float
    entries: list[tuple[tuple[int, int], GpuRow, Labels]]
    due: float = 0.0
    given: Column = field(default_factory=Column)


class Board:
    """What is remembered of one GPU. Used in the worker's thread only.

    `told` is what the log has heard of before, here or by an earlier object for the same GPU.
    """

    def __init__(
        self, nvml: Any, handle: Any, index: int, uuid: str, options: frozenset[str], told: set[tuple[str, GpuRow, int]]
    ) -> None:
        self.uuid = uuid
        self.index = index
        self._which = labels(gpu=str(index), uuid=uuid)
        self._nvml = nvml
        self._handle = handle
        self._options = options
        self._told = told
        self._mig_on: bool | None = None
        self._mig_due = 0.0
        self._asked: list[_Asked] = []
        self._batches: list[_Batch] = []
        self._activity: Activity | None = None
        self._mig: MigDevices | None = None
        self._mig_error = ""
        self._keys: dict[tuple[GpuRow, Labels], Key] = {}
        self._active = Column()
        self._instances = Column()
        self._all = Stitched()

    def read(self, now: float) -> Column:
        """Every sample that the GPU has now (monotonic seconds)."""
        self._follow_mig(now)
        for asked in list(self._asked):
            if now >= asked.due:
                self._ask(asked, now)
        for batch in self._batches:
            if now >= batch.due and batch.entries:
                self._ask_fields(batch, now)
        found = self._activity.read(now) if self._activity else ()
        self._active.take([(self._key(row), value) for row, value in found])
        self._instances.take([((each.name, each.labels), each.value) for each in self._read_mig(now)])
        calls, fields = [each.given for each in self._asked], [each.given for each in self._batches]
        return self._all.stitch((*calls, *fields, self._active, self._instances))

    def end(self) -> None:
        """Give back what the driver holds for us."""
        for part in (self._activity, self._mig):
            if part:
                part.end()
        self._activity = self._mig = None

    # --- what is asked

    def _read_mig(self, now: float) -> list[Sample]:
        """The instances; a container that may not see them still sees the GPU."""
        if self._mig is None:
            return []
        try:
            return self._mig.read(now)
        except self._nvml.NVMLError as error:
            self._raise_if_whole(error, fields=True)
            if str(error) != self._mig_error:
                logger.warning("GPU {} ({}): its MIG devices cannot be read: {}", self.index, self.uuid, error)
            self._mig_error = str(error)
            return []

    def _follow_mig(self, now: float) -> None:
        if now < self._mig_due:
            return
        self._mig_due = now + OFTEN
        try:
            on = bool(self._nvml.nvmlDeviceGetMigMode(self._handle)[0])
        except self._nvml.NVMLError as error:
            self._raise_if_whole(error)
            on = False
        if on is not self._mig_on:
            if self._mig_on is not None:
                logger.info("GPU {} ({}): MIG mode is {} now", self.index, self.uuid, "on" if on else "off")
            self._mig_on = on
            self._plan()

    def _plan(self) -> None:
        """Find out what the GPU has, and begin to ask everything."""
        self.end()
        gpm = [row for row in GPU_ROWS if isinstance(row.read, Gpm)]
        if not self._mig_on:
            self._activity = Activity.found(self._nvml, self._handle, gpm)
        else:
            self._mig = MigDevices(self._nvml, self._handle, self.index, self.uuid)
        asked: dict[Ask, _Asked] = {}
        batches: dict[float, _Batch] = {}
        links = [labels(link=str(link)) for link in range(self._link_count())]
        for row in GPU_ROWS:
            read = row.read
            if isinstance(read, Ask) and self._is_wanted(read):
                asked.setdefault(read, _Asked(read, [])).rows.append(row)
            elif isinstance(read, Field):
                batch = batches.setdefault(read.every_seconds, _Batch(read.every_seconds, []))
                batch.entries += _entries(row, read, links)
        self._asked = list(asked.values())
        self._batches = list(batches.values())

    def _is_wanted(self, ask: Ask) -> bool:
        if ask.option == "pcie_throughput" and self._activity:
            return False  # the activity monitor tells it at no cost
        return not ask.option or ask.option in self._options

    def _link_count(self) -> int:
        try:
            (count,) = self._nvml.nvmlDeviceGetFieldValues(self._handle, [LINK_COUNT_FIELD])
        except self._nvml.NVMLError as error:
            self._raise_if_whole(error)
            return 0
        *_, type_, code, value = FIELD_VALUE.unpack(bytes(count))
        return int(_number(type_, value)) if code == 0 else 0

    # --- asking

    def _ask(self, asked: _Asked, now: float) -> None:
        try:
            answer = asked.ask.call(self._nvml, self._handle)
        except self._nvml.NVMLError as error:
            self._raise_if_whole(error)
            asked.given.take(())
            self._tell(asked.rows[0], error)
            if error.value in NEVER:
                self._asked.remove(asked)
            return
        except AttributeError as error:
            if error.obj is not self._nvml:
                raise
            logger.debug("this nvidia-ml-py has no {}", error.name)
            self._asked.remove(asked)
            return
        asked.due = self._next(now, asked.due, asked.ask.every_seconds)
        asked.given.take([pair for row in asked.rows for pair in self._picked(row, answer)])

    def _ask_fields(self, batch: _Batch, now: float) -> None:
        try:
            answers = self._nvml.nvmlDeviceGetFieldValues(self._handle, [key for key, _, _ in batch.entries])
        except self._nvml.NVMLError as error:
            self._raise_if_whole(error)
            batch.given.take(())
            self._tell(batch.entries[0][1], error)
            if error.value in NEVER:
                batch.entries = []
            return
        batch.due = self._next(now, batch.due, batch.every_seconds)
        unsupported = []
        pairs: list[tuple[Key, float]] = []
        for entry, (*_, type_, code, value) in zip(batch.entries, FIELD_VALUE.iter_unpack(bytes(answers)), strict=True):
            if code == 0:
                _, row, link = entry
                pairs += self._picked(row, _number(type_, value) * row.times / row.per, link)
                continue
            failure = self._nvml.NVMLError(code)
            self._raise_if_whole(failure, fields=True)
            self._tell(entry[1], failure)
            if code in NEVER or code == self._nvml.NVML_ERROR_INVALID_ARGUMENT:  # fields newer than the driver
                unsupported.append(entry)
        batch.given.take(pairs)
        if unsupported:
            batch.entries = [entry for entry in batch.entries if entry not in unsupported]

    def _next(self, now: float, due: float, every_seconds: float) -> float:
        """When a row is due again: the first time earlier by its GPU's number, so that not all GPUs fall together."""
        spread = self.index % OFTEN if due == 0.0 and every_seconds else 0.0
        return now + every_seconds - spread

    def _raise_if_whole(self, error: Any, *, fields: bool = False) -> None:
        """Let an error pass that is not about one row. A field that is "not found" is only that field."""
        if error.value in ENDED or (error.value in NOT_NOW and not (fields and error.value == 6)):
            raise error

    def _picked(self, row: GpuRow, answer: Any, link: Labels = ()) -> Iterator[tuple[Key, float]]:
        picked = row.pick(answer)
        if isinstance(picked, int | float):
            yield self._key(row, link), float(picked)
        elif picked is not None:
            for extra, value in picked:
                yield self._key(row, extra), float(value)

    def _key(self, row: GpuRow, extra: Labels = ()) -> Key:
        """What a sample of the row is called."""
        key = self._keys.get((row, extra))
        if key is None:
            pairs = [pair for pair in (*self._which, *row.labels, *extra) if pair[1]]  # no value, no label
            key = self._keys[(row, extra)] = (row.spec.name, tuple(sorted(pairs)))
        return key

    def _tell(self, row: GpuRow, error: Any) -> None:
        if (self.uuid, row, error.value) not in self._told:
            self._told.add((self.uuid, row, error.value))
            logger.debug("{} gives no {} {}: {}", self.uuid, row.spec.name, dict(row.labels), error)


def _entries(row: GpuRow, read: Field, links: list[Labels]) -> Iterator[tuple[tuple[int, int], GpuRow, Labels]]:
    if not read.per_link:
        yield (read.id, read.scope), row, ()
        return
    for number, link in enumerate(links):
        yield (read.id, number), row, link


def _number(type_: int, value: bytes) -> float:
    read = VALUES[type_]
    (number,) = read.unpack(value[: read.size])
    return float(number)
