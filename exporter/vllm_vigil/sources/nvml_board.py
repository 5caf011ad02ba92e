"""One GPU, reading after reading: what is due of the table is asked, what the GPU cannot tell is never asked again.

In go NVML and a device handle, out come samples under our own names, as two columns. Rows that share an `Ask` share its
call; fields that are due go out in one call. Between its reads a row that is not asked every time keeps its last
samples, and slow rows, of one GPU and of several, are spread over time: on a real one some take milliseconds. A switch
of MIG mode changes what a GPU can tell: everything is then asked anew.

An error that concerns the whole GPU is let through; whoever catches it throws this object away.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from loguru import logger

from vllm_vigil.model import Labels, Sample
from vllm_vigil.series.gpu import GPU_ROWS, OFTEN, Gpm, GpuRow
from vllm_vigil.sources.gpu_processes import GpuProcesses, list_processes
from vllm_vigil.sources.nvml_activity import Activity
from vllm_vigil.sources.nvml_columns import Column, Key, Sheet
from vllm_vigil.sources.nvml_fields import Fields
from vllm_vigil.sources.nvml_mig import MigDevices
from vllm_vigil.sources.nvml_plan import Batch, Call, Entry, Turn, around, batches_of, calls_of
from vllm_vigil.sources.nvml_tiers import ENDED, NEVER, NOT_NOW

LINK_COUNT_FIELD = 91
PROCESSES_SECONDS = 5.0
ACTIVITY_NUMBER = 4
"""Its place among what is asked every 10 s: away from the calls and fields that cost as much (2 ms on an H100)."""

SOON_SECONDS, SOON_GROUPS = 2, 4
"""How long after the first sample of activity the second is taken, and over how many seconds from then, by GPU."""


class Board:
    """What is remembered of one GPU. Used in the worker's thread only.

    `told` is what the log has heard of before, here or by an earlier object for the same GPU. `sheet` has every sample
    that the GPU had at the last reading, `processes` are those that it listed last.
    """

    def __init__(
        self, nvml: Any, handle: Any, index: int, uuid: str, options: frozenset[str], told: set[tuple[str, GpuRow, int]]
    ) -> None:
        self.uuid = uuid
        self.index = index
        self.processes = GpuProcesses(str(index), uuid, None)
        self._gpu = ("gpu", str(index))
        self._uuid = ("uuid", uuid)
        self._nvml = nvml
        self._handle = handle
        self._options = options
        self._told = told
        self._mig_on: bool | None = None
        self._mig_turn = Turn.of(OFTEN, 0, index)
        self._activity_turn = Turn.of(OFTEN, ACTIVITY_NUMBER, index)
        self._processes_turn = Turn.of(PROCESSES_SECONDS, 0, index)
        self._calls: list[Call] = []
        self._batches: list[Batch] = []
        self._activity: Activity | None = None
        self._mig: MigDevices | None = None
        self._mig_error = ""
        self._keys: dict[tuple[GpuRow, Labels], Key] = {}
        self.sheet = Sheet()
        self._active = Column()
        self._active_rows: tuple[GpuRow, ...] = ()
        self._active_keys: tuple[Key, ...] = ()
        self._instances = Column()

    def read(self, now: float) -> None:
        """Bring `sheet` and `processes` up to now (monotonic seconds)."""
        self._follow_mig(now)
        for asked in [each for each in self._calls if each.turn.due <= now]:
            self._ask(asked, now)
        for batch in [each for each in self._batches if each.turn.due <= now]:
            self._ask_fields(batch, now)
        if self._activity and self._activity_turn.due <= now:
            is_first = self._activity.is_new
            self._take_activity(*self._activity.read(now))
            if is_first:  # it says nothing yet: the second comes soon, but not of all GPUs at once
                self._activity_turn.due = now + SOON_SECONDS + self.index % SOON_GROUPS
            else:
                self._activity_turn.took_place(now)
        if self._mig:
            samples = self._read_mig(self._mig, now)
            keys = [(each.name, each.labels) for each in samples]
            self.sheet.write(self._instances, keys, [each.value for each in samples])
        if self._processes_turn.due <= now:
            self.processes = list_processes(self._nvml, self._handle, str(self.index), self.uuid)
            self._processes_turn.took_place(now)
        self.sheet.mend()

    def end(self) -> None:
        """Give back what the driver holds for us."""
        for part in (self._activity, self._mig):
            if part:
                part.end()
        self._activity = self._mig = None

    # --- what is asked

    def _read_mig(self, mig: MigDevices, now: float) -> list[Sample]:
        """The instances; a container that may not see them still sees the GPU."""
        try:
            return mig.read(now)
        except self._nvml.NVMLError as error:
            self._raise_if_whole(error.value, of_field=True)
            if str(error) != self._mig_error:
                logger.warning("GPU {} ({}): its MIG devices cannot be read: {}", self.index, self.uuid, error)
            self._mig_error = str(error)
            return []

    def _follow_mig(self, now: float) -> None:
        if now < self._mig_turn.due:
            return
        self._mig_turn.took_place(now)
        try:
            on = bool(self._nvml.nvmlDeviceGetMigMode(self._handle)[0])
        except self._nvml.NVMLError as error:
            self._raise_if_whole(error.value)
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
        self._activity_turn.due = 0.0
        self.sheet = Sheet()
        self._calls = calls_of(
            self._options - ({"pcie_throughput"} if self._activity else set()), self.index, self.sheet
        )
        self._batches = batches_of(self._link_count(), self.index, self.sheet)
        self._active, self._instances = self.sheet.column(), self.sheet.column()

    def _link_count(self) -> int:
        try:
            (code,), (count,) = Fields(self._nvml, self._handle, [(LINK_COUNT_FIELD, 0)]).ask()
        except self._nvml.NVMLError as error:
            self._raise_if_whole(error.value)
            return 0
        return int(count) if code == 0 else 0

    # --- asking

    def _ask(self, asked: Call, now: float) -> None:
        try:
            answer = asked.ask.call(self._nvml, self._handle)
        except self._nvml.NVMLError as error:
            self._raise_if_whole(error.value)
            self._forget(asked, asked.rows[0], error.value)
            if error.value in NEVER:
                self._calls.remove(asked)
            return
        except AttributeError as error:
            if error.obj is not self._nvml:
                raise
            logger.debug("this nvidia-ml-py has no {}", error.name)
            self._calls.remove(asked)
            return
        asked.turn.took_place(now)
        if answer != asked.answer:
            asked.answer = answer
            self._write(asked.column, [(row, answer, ()) for row in asked.rows])

    def _ask_fields(self, batch: Batch, now: float) -> None:
        if not batch.entries:
            return
        if batch.fields is None:
            batch.fields = self._fields(batch.entries)
        try:
            codes, answers = batch.fields.ask()
        except self._nvml.NVMLError as error:
            self._raise_if_whole(error.value)
            self._forget(batch, batch.entries[0][1], error.value)
            if error.value in NEVER:
                batch.entries = ()
            return
        batch.turn.took_place(now)
        if (codes, answers) != batch.answer:
            batch.answer = (codes, answers)
            self._take(batch, codes, answers)

    def _fields(self, entries: Iterable[Entry]) -> Fields:
        return Fields(self._nvml, self._handle, [wanted for wanted, _, _ in entries])

    def _take(self, batch: Batch, codes: tuple[int, ...], answers: tuple[float, ...]) -> None:
        """New numbers, or errors of some fields, which then are left out, and if they are for ever not asked again."""
        good, entries = [], []
        for entry, code, answer in zip(batch.entries, codes, answers, strict=True):
            _, row, link = entry
            if code == 0:
                good.append((row, float(answer) * row.times / row.per, link))
            else:
                self._raise_if_whole(code, of_field=True)
                self._tell(row, code)
            if code not in NEVER and code != self._nvml.NVML_ERROR_INVALID_ARGUMENT:  # fields newer than the driver
                entries.append(entry)
        self._write(batch.column, good)
        if len(entries) < len(batch.entries):
            batch.entries, batch.fields = tuple(entries), self._fields(entries)

    def _take_activity(self, rows: tuple[GpuRow, ...], shares: tuple[float, ...]) -> None:
        if rows is not self._active_rows:
            self._active_rows, self._active_keys = rows, tuple([self._key(row) for row in rows])
        self.sheet.write(self._active, self._active_keys, shares)

    def _write(self, column: Column, answers: Iterable[tuple[GpuRow, Any, Labels]]) -> None:
        """What the rows make of their answers; the labels are those that a link adds."""
        keys: list[Key] = []
        values: list[float] = []
        for row, answer, link in answers:
            picked = row.pick(answer)
            if isinstance(picked, (int, float)):
                picked = ((link, picked),)
            for extra, value in picked or ():
                keys.append(self._key(row, extra))
                values.append(float(value))
        self.sheet.write(column, keys, values)

    def _forget(self, asked: Call | Batch, row: GpuRow, code: int) -> None:
        """There was no answer now."""
        asked.answer = None
        self.sheet.write(asked.column, (), ())
        self._tell(row, code)

    def _raise_if_whole(self, code: int, *, of_field: bool = False) -> None:
        """Raise an error that is not about one row. A field that is "not found" is only that field."""
        if code in ENDED or (code in NOT_NOW and not (of_field and code == 6)):
            raise self._nvml.NVMLError(code)

    def _key(self, row: GpuRow, extra: Labels = ()) -> Key:
        """What a sample of the row is called."""
        key = self._keys.get((row, extra))
        if key is None:
            before, between, after = around(row, extra)
            pairs = (*before, self._gpu, *between, self._uuid, *after)
            key = self._keys[(row, extra)] = (row.spec.name, pairs)
        return key

    def _tell(self, row: GpuRow, code: int) -> None:
        if (self.uuid, row, code) not in self._told:
            self._told.add((self.uuid, row, code))
            error = self._nvml.NVMLError(code)
            logger.debug("{} gives no {} {}: {}", self.uuid, row.spec.name, dict(row.labels), error)
