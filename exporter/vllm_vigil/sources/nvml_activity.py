"""NVML's activity monitor (GPM, Hopper and later) of one GPU or one MIG instance -> shares of what was possible.

A metric is the change between two samples of the driver's counters, so the first reading gives nothing. The structure
for the answers is 23 KB and is made once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Self

from vllm_vigil.series.gpu import Gpm, GpuRow
from vllm_vigil.sources.nvml_tiers import ENDED, NOT_NOW

SHORTEST_SECONDS = 0.1


class Activity:
    """The last sample of a GPU, or with `instance` of one GPU instance of it."""

    def __init__(self, nvml: Any, handle: Any, rows: Sequence[GpuRow], instance: int | None = None) -> None:
        self._nvml = nvml
        self._handle = handle
        self._instance = instance
        self._rows = list(rows)
        self._spare: Any = None
        self._before: Any = None
        self._at = 0.0
        self._values: list[tuple[GpuRow, float]] = []
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

    def read(self, now: float) -> list[tuple[GpuRow, float]]:
        """What happened since the last reading; what was said then if that was just now."""
        if self._before and now - self._at < SHORTEST_SECONDS:
            return self._values
        try:
            self._values = self._measure()
        except self._nvml.NVMLError as error:
            if error.value in NOT_NOW | ENDED:
                raise
            self.end()
        self._at = now
        return self._values

    def end(self) -> None:
        """Free the samples."""
        for sample in (self._before, self._spare):
            if sample:
                self._nvml.nvmlGpmSampleFree(sample)
        self._before = self._spare = None
        self._values = []

    def _measure(self) -> list[tuple[GpuRow, float]]:
        sample, self._spare = self._spare or self._nvml.nvmlGpmSampleAlloc(), None
        before, self._before = self._before, sample
        if self._instance is None:
            self._nvml.nvmlGpmSampleGet(self._handle, sample)
        else:
            self._nvml.nvmlGpmMigSampleGet(self._handle, self._instance, sample)
        if before is None:
            return []
        self._spare = before
        request = self._asking(before, sample)
        self._nvml.nvmlGpmMetricsGet(request)
        found = zip(self._rows, request.metrics[: len(self._rows)], strict=True)
        return [
            (row, metric.value * row.times / row.per)
            for row, metric in found
            if metric.nvmlReturn == self._nvml.NVML_SUCCESS and math.isfinite(metric.value)
        ]

    def _asking(self, before: Any, after: Any) -> Any:
        if self._request is None:
            self._request = self._nvml.c_nvmlGpmMetricsGet_t()
            self._request.version = self._nvml.NVML_GPM_METRICS_GET_VERSION
            self._request.numMetrics = len(self._rows)
            for metric, row in zip(self._request.metrics, self._rows, strict=False):
                metric.metricId = row.read.id if isinstance(row.read, Gpm) else 0
        self._request.sample1, self._request.sample2 = before, after
        return self._request
