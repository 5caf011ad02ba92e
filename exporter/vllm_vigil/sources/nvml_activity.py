"""NVML's activity monitor (GPM, Hopper and later) of one GPU or one MIG instance -> shares of what was possible.

A metric is the change between two samples of the driver's counters, so the first reading gives nothing. The structure
for the answers is made once, and what stands in it is unpacked in one go: ctypes takes a microsecond a member.
"""

from __future__ import annotations

import functools
import math
import struct
from collections.abc import Sequence
from itertools import compress
from operator import mul, truediv
from typing import Any, Self

from vllm_vigil.series.gpu import Gpm, GpuRow
from vllm_vigil.sources.nvml_tiers import ENDED, NOT_NOW

SHORTEST_SECONDS = 0.1

METRIC = "4xId24x"
"""nvmlGpmMetric_t: its number, an error code, the value, three texts."""

Shares = tuple[tuple[GpuRow, ...], tuple[float, ...]]
"""Rows, the same object as long as the same metrics come, and a number for each."""


class Activity:
    """The last sample of a GPU, or with `instance` of one GPU instance of it."""

    def __init__(self, nvml: Any, handle: Any, rows: Sequence[GpuRow], instance: int | None = None) -> None:
        self._nvml = nvml
        self._handle = handle
        self._instance = instance
        self._rows = tuple(rows)
        self._times = [row.times for row in rows]
        self._per = [row.per for row in rows]
        self._answers = struct.Struct("=" + METRIC * len(rows))
        self._spare: Any = None
        self._before: Any = None
        self._at = 0.0
        self._shares: Shares = ((), ())
        self._request: Any = None

    @classmethod
    def found(cls, nvml: Any, handle: Any, rows: Sequence[GpuRow], instance: int | None = None) -> Self | None:
        """The monitor, or None where GPU or driver have none."""
        try:
            support = nvml.nvmlGpmQueryDeviceSupport(handle)
        except nvml.NVMLError as error:
            if error.value in NOT_NOW | ENDED:
                raise
            return None
        return cls(nvml, handle, rows, instance) if support.isSupportedDevice else None

    @property
    def is_new(self) -> bool:
        """Whether there is no sample yet, with which the next one could be compared."""
        return self._before is None

    def read(self, now: float) -> Shares:
        """What happened since the last reading; what was said then if that was just now."""
        if self._before and now - self._at < SHORTEST_SECONDS:
            return self._shares
        try:
            self._shares = self._measure()
        except self._nvml.NVMLError as error:
            if error.value in NOT_NOW | ENDED:
                raise
            self.end()
        self._at = now
        return self._shares

    def end(self) -> None:
        """Free the samples."""
        for sample in (self._before, self._spare):
            if sample:
                self._nvml.nvmlGpmSampleFree(sample)
        self._before = self._spare = None
        self._shares = ((), ())

    def _measure(self) -> Shares:
        sample, self._spare = self._spare or self._nvml.nvmlGpmSampleAlloc(), None
        before, self._before = self._before, sample
        if self._instance is None:
            self._nvml.nvmlGpmSampleGet(self._handle, sample)
        else:
            self._nvml.nvmlGpmMigSampleGet(self._handle, self._instance, sample)
        if before is None:
            return (), ()
        self._spare = before
        request = self._asking(before, sample)
        self._nvml.nvmlGpmMetricsGet(request)
        answers = self._answers.unpack_from(request, self._nvml.c_nvmlGpmMetricsGet_t.metrics.offset)
        codes, values = answers[::2], tuple(map(truediv, map(mul, answers[1::2], self._times), self._per))
        if not any(codes) and math.isfinite(sum(values)):
            return self._rows, values
        good = [code == 0 and math.isfinite(value) for code, value in zip(codes, values, strict=True)]
        return tuple(compress(self._rows, good)), tuple(compress(values, good))

    def _asking(self, before: Any, after: Any) -> Any:
        if self._request is None:
            blank = _request(self._nvml, self._rows)
            self._request = type(blank).from_buffer_copy(blank)
        self._request.sample1, self._request.sample2 = before, after
        return self._request


@functools.lru_cache(maxsize=4)
def _request(nvml: Any, rows: tuple[GpuRow, ...]) -> Any:
    """A question for these metrics, to be copied."""
    request = nvml.c_nvmlGpmMetricsGet_t()
    request.version = nvml.NVML_GPM_METRICS_GET_VERSION
    request.numMetrics = len(rows)
    for metric, row in zip(request.metrics, rows, strict=False):
        metric.metricId = row.read.id if isinstance(row.read, Gpm) else 0
    return request
