"""The table of what the GPUs tell: one row per series, with the NVML read in the row.

A row's `read` is called with pynvml and a device handle, off the loop's thread. It gives one number, or pairs of
labels and number, or lets an `NVMLError` pass, which `sources/nvml.py` judges. A series of which the GPU may know one
label value and not another has a row for each, so that the one does not take the other with it.

Every series carries `gpu` and `uuid`: after a GPU has fallen off the bus the indexes of the others move up, and a
counter that changes its board would look like a reset. Throttle reasons leave out "idle", which slows nothing down.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from vllm_vigil.model import Labels, labels
from vllm_vigil.series.spec import Kind, Spec

GPU = ("gpu", "uuid")
Answer = float | Iterable[tuple[Labels, float]]


@dataclass(frozen=True, slots=True)
class GpuRow:
    """One series, or one label value of one, and how NVML is asked for it."""

    spec: Spec
    read: Callable[[Any, Any], Answer]
    labels: Labels = ()


def _gauge(name: str, unit: str, text: str, *extra: str) -> Spec:
    return Spec(name, Kind.GAUGE, unit, text, (*GPU, *extra))


def _info(nvml: Any, gpu: Any) -> Iterator[tuple[Labels, float]]:
    cuda = nvml.nvmlSystemGetCudaDriverVersion_v2()
    yield (
        labels(
            name=nvml.nvmlDeviceGetName(gpu),
            driver_version=nvml.nvmlSystemGetDriverVersion(),
            cuda_version=f"{cuda // 1000}.{cuda % 1000 // 10}",
            pci_bus_id=nvml.nvmlDeviceGetPciInfo(gpu).busId,
        ),
        1.0,
    )


def _memory(nvml: Any, gpu: Any) -> Any:
    return nvml.nvmlDeviceGetMemoryInfo(gpu, version=nvml.nvmlMemory_v2)


def _memory_temperature(nvml: Any, gpu: Any) -> float:
    (field,) = nvml.nvmlDeviceGetFieldValues(gpu, [nvml.NVML_FI_DEV_MEMORY_TEMP])
    if field.nvmlReturn != nvml.NVML_SUCCESS:
        raise nvml.NVMLError(field.nvmlReturn)
    return float(field.value.uiVal)


THROTTLE_REASONS = (
    ("applications_clocks", "nvmlClocksThrottleReasonApplicationsClocksSetting"),
    ("sw_power_cap", "nvmlClocksThrottleReasonSwPowerCap"),
    ("hw_slowdown", "nvmlClocksThrottleReasonHwSlowdown"),
    ("sync_boost", "nvmlClocksThrottleReasonSyncBoost"),
    ("sw_thermal_slowdown", "nvmlClocksThrottleReasonSwThermalSlowdown"),
    ("hw_thermal_slowdown", "nvmlClocksThrottleReasonHwThermalSlowdown"),
    ("hw_power_brake", "nvmlClocksThrottleReasonHwPowerBrakeSlowdown"),
    ("display_clocks", "nvmlClocksThrottleReasonDisplayClockSetting"),
)


def _throttle(nvml: Any, gpu: Any) -> Iterator[tuple[Labels, float]]:
    active = nvml.nvmlDeviceGetCurrentClocksThrottleReasons(gpu)  # the name that drivers of every age export
    for reason, constant in THROTTLE_REASONS:
        yield labels(reason=reason), float(bool(active & getattr(nvml, constant)))


_TEMPERATURE = _gauge(
    "gpu_temperature_celsius",
    "celsius",
    "Temperature by sensor: gpu (nvmlDeviceGetTemperature), memory (field NVML_FI_DEV_MEMORY_TEMP).",
    "sensor",
)
_CLOCK = _gauge("gpu_clock_hertz", "hertz", "Clock now, by domain (nvmlDeviceGetClockInfo).", "clock")

GPU_ROWS: tuple[GpuRow, ...] = (
    GpuRow(
        Spec(
            "gpu_info",
            Kind.INFO,
            "",
            "The GPU and its driver (nvmlDeviceGetName, nvmlSystemGetDriverVersion); always 1.",
            (*GPU, "name", "driver_version", "cuda_version", "pci_bus_id"),
        ),
        _info,
    ),
    GpuRow(
        _gauge(
            "gpu_utilization_ratio",
            "ratio",
            "Share of time in which a kernel ran, 0 to 1 (nvmlDeviceGetUtilizationRates).",
        ),
        lambda nvml, gpu: nvml.nvmlDeviceGetUtilizationRates(gpu).gpu / 100,
    ),
    GpuRow(
        _gauge(
            "gpu_memory_utilization_ratio",
            "ratio",
            "Share of time in which memory was read or written, 0 to 1 (nvmlDeviceGetUtilizationRates).",
        ),
        lambda nvml, gpu: nvml.nvmlDeviceGetUtilizationRates(gpu).memory / 100,
    ),
    GpuRow(
        _gauge(
            "gpu_memory_used_bytes",
            "bytes",
            "Memory in use by processes, without what the driver reserves (nvmlDeviceGetMemoryInfo_v2).",
        ),
        lambda nvml, gpu: float(_memory(nvml, gpu).used),
    ),
    GpuRow(
        _gauge(
            "gpu_memory_reserved_bytes",
            "bytes",
            "Memory that the driver keeps for itself (nvmlDeviceGetMemoryInfo_v2).",
        ),
        lambda nvml, gpu: float(_memory(nvml, gpu).reserved),
    ),
    GpuRow(
        _gauge("gpu_memory_free_bytes", "bytes", "Memory not in use (nvmlDeviceGetMemoryInfo_v2)."),
        lambda nvml, gpu: float(_memory(nvml, gpu).free),
    ),
    GpuRow(
        _gauge(
            "gpu_memory_total_bytes", "bytes", "Memory: used, reserved and free together (nvmlDeviceGetMemoryInfo_v2)."
        ),
        lambda nvml, gpu: float(_memory(nvml, gpu).total),
    ),
    GpuRow(
        _TEMPERATURE,
        lambda nvml, gpu: float(nvml.nvmlDeviceGetTemperature(gpu, nvml.NVML_TEMPERATURE_GPU)),
        labels(sensor="gpu"),
    ),
    GpuRow(_TEMPERATURE, _memory_temperature, labels(sensor="memory")),
    GpuRow(
        _gauge("gpu_power_watts", "watts", "Power drawn (nvmlDeviceGetPowerUsage)."),
        lambda nvml, gpu: nvml.nvmlDeviceGetPowerUsage(gpu) / 1000,
    ),
    GpuRow(
        _gauge("gpu_power_limit_watts", "watts", "Power limit in force (nvmlDeviceGetEnforcedPowerLimit)."),
        lambda nvml, gpu: nvml.nvmlDeviceGetEnforcedPowerLimit(gpu) / 1000,
    ),
    GpuRow(
        Spec(
            "gpu_energy_joules_total",
            Kind.COUNTER,
            "joules",
            "Energy used since the driver was loaded (nvmlDeviceGetTotalEnergyConsumption).",
            GPU,
        ),
        lambda nvml, gpu: nvml.nvmlDeviceGetTotalEnergyConsumption(gpu) / 1000,
    ),
    GpuRow(
        _CLOCK,
        lambda nvml, gpu: nvml.nvmlDeviceGetClockInfo(gpu, nvml.NVML_CLOCK_SM) * 1e6,
        labels(clock="sm"),
    ),
    GpuRow(
        _CLOCK,
        lambda nvml, gpu: nvml.nvmlDeviceGetClockInfo(gpu, nvml.NVML_CLOCK_MEM) * 1e6,
        labels(clock="memory"),
    ),
    GpuRow(
        _CLOCK,
        lambda nvml, gpu: nvml.nvmlDeviceGetClockInfo(gpu, nvml.NVML_CLOCK_GRAPHICS) * 1e6,
        labels(clock="graphics"),
    ),
    GpuRow(
        _CLOCK,
        lambda nvml, gpu: nvml.nvmlDeviceGetClockInfo(gpu, nvml.NVML_CLOCK_VIDEO) * 1e6,
        labels(clock="video"),
    ),
    GpuRow(
        Spec(
            "gpu_throttle_active",
            Kind.STATESET,
            "",
            "Whether this holds the clocks down now (nvmlDeviceGetCurrentClocksThrottleReasons).",
            (*GPU, "reason"),
        ),
        _throttle,
    ),
    GpuRow(
        _gauge("gpu_pcie_link_generation", "", "PCIe generation now (nvmlDeviceGetCurrPcieLinkGeneration)."),
        lambda nvml, gpu: float(nvml.nvmlDeviceGetCurrPcieLinkGeneration(gpu)),
    ),
    GpuRow(
        _gauge(
            "gpu_pcie_link_generation_max",
            "",
            "PCIe generation that GPU and board can reach (nvmlDeviceGetMaxPcieLinkGeneration).",
        ),
        lambda nvml, gpu: float(nvml.nvmlDeviceGetMaxPcieLinkGeneration(gpu)),
    ),
    GpuRow(
        _gauge("gpu_pcie_link_width_lanes", "lanes", "PCIe lanes in use (nvmlDeviceGetCurrPcieLinkWidth)."),
        lambda nvml, gpu: float(nvml.nvmlDeviceGetCurrPcieLinkWidth(gpu)),
    ),
    GpuRow(
        _gauge(
            "gpu_pcie_link_width_max_lanes",
            "lanes",
            "PCIe lanes that GPU and board can use (nvmlDeviceGetMaxPcieLinkWidth).",
        ),
        lambda nvml, gpu: float(nvml.nvmlDeviceGetMaxPcieLinkWidth(gpu)),
    ),
    GpuRow(
        Spec(
            "gpu_pcie_replays_total",
            Kind.COUNTER,
            "replays",
            "PCIe packets sent again after an error (nvmlDeviceGetPcieReplayCounter).",
            GPU,
        ),
        lambda nvml, gpu: float(nvml.nvmlDeviceGetPcieReplayCounter(gpu)),
    ),
)
