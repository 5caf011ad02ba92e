"""The table of what the GPUs tell: one row per series (or label value of one), with the NVML read in the row.

A row reads in one of three ways. `Ask` is an NVML call, made once and shared by all rows that pick from its answer.
`Field` is one of NVML's numbered fields; all fields of a GPU that are due go out in one call. `Gpm` is a metric of
NVML's activity monitor (Hopper and later), worked out between two samples. What NVML does not support on a GPU is
remembered by `sources/nvml_board.py`, row by row, so that one value never takes another with it.

A read also says how often: what changes by itself at every reading, counters and rare states every 10 s, what only an
administrator changes every 60 s. So is what the driver has to ask of the GPU's own processor, which costs it up to 3 ms
of CPU (measured on an H100; most other calls take microseconds): energy, thermal margin and activity every 10 s,
violations and PCIe errors every 60 s; and what never changes, such as the highest clock, every 10 min. The help says
so, because it is the age that a number may have.

Every series carries `gpu` and `uuid`: after a GPU has fallen off the bus the indexes of the others move up, and a
counter that changes its board would look like a reset. Throttle reasons leave out "idle", which slows nothing down.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from vllm_vigil.model import Labels, labels
from vllm_vigil.series.spec import Kind, Spec

GPU = ("gpu", "uuid")
MIG = (*GPU, "gi")

ALWAYS, OFTEN, RARELY, SELDOM = 0.0, 10.0, 60.0, 600.0
"""Seconds between two reads of a row; ALWAYS is every reading."""

ALL_LINKS = 0xFFFFFFFF

Answer = float | Iterable[tuple[Labels, float]] | None
"""A number, or several with their labels; None says that this GPU does not tell."""


@dataclass(frozen=True, slots=True, eq=False)
class Ask:
    """One NVML call. `option` names the setting (`pcie_throughput`) without which it is not made."""

    call: Callable[[Any, Any], Any]
    every_seconds: float = ALWAYS
    option: str = ""


@dataclass(frozen=True, slots=True)
class Field:
    """One of NVML's numbered fields. `per_link` asks it for each NVLink, which becomes the label `link`."""

    id: int
    every_seconds: float = ALWAYS
    scope: int = 0
    per_link: bool = False


@dataclass(frozen=True, slots=True)
class Gpm:
    """One metric of NVML's activity monitor, which is read every 10 s: the mean of that time."""

    id: int


@dataclass(frozen=True, slots=True, eq=False)
class GpuRow:
    """One series, or one label value of one, and how NVML is asked for it.

    A field's or metric's number is taken `times` one and `per` the other: a product with 0.001 would not be exact.
    """

    spec: Spec
    read: Ask | Field | Gpm
    pick: Callable[[Any], Answer] = float
    labels: Labels = ()
    times: float = 1.0
    per: float = 1.0


# --- how a series is declared

_CADENCE = {ALWAYS: "", OFTEN: " Asked every 10 s.", RARELY: " Asked every 60 s.", SELDOM: " Asked every 10 min."}


def _spec(
    name: str, kind: Kind, unit: str, text: str, *extra: str, every: float = ALWAYS, of: tuple[str, ...] = GPU
) -> Spec:
    return Spec(name, kind, unit, text + _CADENCE[every], (*of, *extra))


def _gauge(name: str, unit: str, text: str, *extra: str, every: float = ALWAYS, of: tuple[str, ...] = GPU) -> Spec:
    return _spec(name, Kind.GAUGE, unit, text, *extra, every=every, of=of)


def _counter(name: str, unit: str, text: str, *extra: str, every: float = ALWAYS) -> Spec:
    return _spec(name, Kind.COUNTER, unit, text, *extra, every=every)


def _states(name: str, text: str, label: str, every: float = ALWAYS) -> Spec:
    return _spec(name, Kind.STATESET, "", text, label, every=every)


def _one_of(label: str, states: Iterable[str]) -> Callable[[float], list[tuple[Labels, float]]]:
    """A state set out of the number of its state; a number that has no name is no state."""
    named = [labels(**{label: state}) for state in states]

    def pick(now: float) -> list[tuple[Labels, float]]:
        if now >= len(named):
            return []
        return [(name, float(number == now)) for number, name in enumerate(named)]

    return pick


# --- what the GPU is


def _told(nvml: Any, call: Callable[[], Any]) -> Any:
    """An answer for a label: "" where the GPU has none, so that it does not cost the others."""
    try:
        return call()
    except (nvml.NVMLError_NotSupported, nvml.NVMLError_FunctionNotFound, nvml.NVMLError_NoPermission):
        return ""


def _identity(nvml: Any, gpu: Any) -> dict[str, str]:
    cuda = nvml.nvmlSystemGetCudaDriverVersion_v2()
    capability = _told(nvml, lambda: nvml.nvmlDeviceGetCudaComputeCapability(gpu))
    return {
        "name": nvml.nvmlDeviceGetName(gpu),
        "driver_version": nvml.nvmlSystemGetDriverVersion(),
        "cuda_version": f"{cuda // 1000}.{cuda % 1000 // 10}",
        "compute_capability": ".".join(map(str, capability)),
        "vbios_version": _told(nvml, lambda: nvml.nvmlDeviceGetVbiosVersion(gpu)),
        "pci_bus_id": _told(nvml, lambda: nvml.nvmlDeviceGetPciInfo(gpu).busId),
    }


def _identity_with_serial(nvml: Any, gpu: Any) -> dict[str, str]:
    return {**_identity(nvml, gpu), "serial": _told(nvml, lambda: nvml.nvmlDeviceGetSerial(gpu))}


def _info(identity: dict[str, str]) -> Answer:
    return ((labels(**identity), 1.0),)


_INFO = _spec(
    "gpu_info",
    Kind.INFO,
    "",
    "The GPU and its driver (nvmlDeviceGetName, nvmlSystemGetDriverVersion, nvmlDeviceGetVbiosVersion, "
    "nvmlDeviceGetPciInfo); always 1. The serial number only with `serial: true`.",
    *("name", "driver_version", "cuda_version", "compute_capability", "vbios_version", "pci_bus_id", "serial"),
    every=RARELY,
)

WHAT_IT_IS = (
    GpuRow(_INFO, Ask(_identity, RARELY, option="no_serial"), _info),
    GpuRow(_INFO, Ask(_identity_with_serial, RARELY, option="serial"), _info),
)

_MODE = _gauge(
    "gpu_mode_enabled",
    "",
    "Whether a mode is on now and after the next reset (nvmlDeviceGetEccMode, nvmlDeviceGetMigMode, "
    "nvmlDeviceGetPersistenceMode, nvmlDeviceGetAccountingMode, nvmlDeviceGetDisplayMode, nvmlDeviceGetDisplayActive, "
    "nvmlDeviceGetGspFirmwareMode, nvmlDeviceGetC2cModeInfoV).",
    *("mode", "at"),
    every=RARELY,
)


def _now_and_pending(mode: str, second: str = "pending") -> Callable[[Any], Answer]:
    return lambda pair: ((labels(mode=mode, at="current"), pair[0]), (labels(mode=mode, at=second), pair[1]))


def _mode(mode: str, call: Callable[[Any, Any], Any]) -> GpuRow:
    return GpuRow(_MODE, Ask(call, RARELY), labels=labels(mode=mode, at="current"))


MODES = (
    GpuRow(_MODE, Ask(lambda nvml, gpu: nvml.nvmlDeviceGetEccMode(gpu), RARELY), _now_and_pending("ecc")),
    GpuRow(_MODE, Ask(lambda nvml, gpu: nvml.nvmlDeviceGetMigMode(gpu), RARELY), _now_and_pending("mig")),
    GpuRow(
        _MODE, Ask(lambda nvml, gpu: nvml.nvmlDeviceGetGspFirmwareMode(gpu), RARELY), _now_and_pending("gsp", "default")
    ),
    _mode("persistence", lambda nvml, gpu: nvml.nvmlDeviceGetPersistenceMode(gpu)),
    _mode("accounting", lambda nvml, gpu: nvml.nvmlDeviceGetAccountingMode(gpu)),
    _mode("display_attached", lambda nvml, gpu: nvml.nvmlDeviceGetDisplayMode(gpu)),
    _mode("display_active", lambda nvml, gpu: nvml.nvmlDeviceGetDisplayActive(gpu)),
    _mode("c2c", lambda nvml, gpu: nvml.nvmlDeviceGetC2cModeInfoV1(gpu).isC2cEnabled),
    GpuRow(
        _states(
            "gpu_compute_mode",
            "Who may use the GPU for computing (nvmlDeviceGetComputeMode): 1 for the mode that it is in.",
            "mode",
            RARELY,
        ),
        Ask(lambda nvml, gpu: nvml.nvmlDeviceGetComputeMode(gpu), RARELY),
        _one_of("mode", ("default", "exclusive_thread", "prohibited", "exclusive_process")),
    ),
)

# --- how busy it is

_RATES = Ask(lambda nvml, gpu: nvml.nvmlDeviceGetUtilizationRates(gpu))
_ENGINE = _gauge(
    "gpu_engine_utilization_ratio",
    "ratio",
    "Share of time in which a video engine was busy, 0 to 1 (nvmlDeviceGetEncoderUtilization, "
    "nvmlDeviceGetDecoderUtilization, nvmlDeviceGetJpgUtilization, nvmlDeviceGetOfaUtilization).",
    "engine",
    every=OFTEN,
)
_ENCODER = Ask(lambda nvml, gpu: nvml.nvmlDeviceGetEncoderStats(gpu), OFTEN)


def _engine(engine: str, call: Callable[[Any, Any], Any]) -> GpuRow:
    return GpuRow(_ENGINE, Ask(call, OFTEN), lambda busy: busy[0] / 100, labels(engine=engine))


_ACTIVITY = _gauge(
    "gpu_activity_ratio",
    "ratio",
    "Share of what is possible that a part of the GPU did over 10 s, 0 to 1 (nvmlGpmMetricsGet; Hopper and later, not "
    "in MIG mode).",
    "part",
    every=OFTEN,
)
ACTIVITIES = (
    ("graphics", 1),
    ("sm", 2),
    ("sm_occupancy", 3),
    ("integer", 4),
    ("tensor", 5),
    ("tensor_dfma", 6),
    ("tensor_hmma", 7),
    ("tensor_imma", 9),
    ("dram", 10),
    ("fp64", 11),
    ("fp32", 12),
    ("fp16", 13),
)
"""Parts and the numbers of their GPM metrics (NVML_GPM_METRIC_*)."""

HOW_BUSY = (
    GpuRow(
        _gauge(
            "gpu_utilization_ratio",
            "ratio",
            "Share of time in which a kernel ran, 0 to 1 (nvmlDeviceGetUtilizationRates).",
        ),
        _RATES,
        lambda rates: rates.gpu / 100,
    ),
    GpuRow(
        _gauge(
            "gpu_memory_utilization_ratio",
            "ratio",
            "Share of time in which memory was read or written, 0 to 1 (nvmlDeviceGetUtilizationRates).",
        ),
        _RATES,
        lambda rates: rates.memory / 100,
    ),
    _engine("encoder", lambda nvml, gpu: nvml.nvmlDeviceGetEncoderUtilization(gpu)),
    _engine("decoder", lambda nvml, gpu: nvml.nvmlDeviceGetDecoderUtilization(gpu)),
    _engine("jpeg", lambda nvml, gpu: nvml.nvmlDeviceGetJpgUtilization(gpu)),
    _engine("ofa", lambda nvml, gpu: nvml.nvmlDeviceGetOfaUtilization(gpu)),
    GpuRow(
        _gauge("gpu_encoder_sessions", "", "Video encoding sessions (nvmlDeviceGetEncoderStats).", every=OFTEN),
        _ENCODER,
        lambda stats: float(stats[0]),
    ),
    GpuRow(
        _gauge(
            "gpu_encoder_frame_rate_hertz", "hertz", "Frames encoded a second (nvmlDeviceGetEncoderStats).", every=OFTEN
        ),
        _ENCODER,
        lambda stats: float(stats[1]),
    ),
    GpuRow(
        _gauge(
            "gpu_encoder_latency_seconds", "seconds", "Time to encode a frame (nvmlDeviceGetEncoderStats).", every=OFTEN
        ),
        _ENCODER,
        lambda stats: stats[2] / 1e6,
    ),
    *(GpuRow(_ACTIVITY, Gpm(number), labels=labels(part=part), per=100) for part, number in ACTIVITIES),
)

# --- memory


def _memory(nvml: Any, gpu: Any) -> Any:
    """The second kind of answer, which tells what the driver reserves; drivers before 510 know only the first."""
    try:
        return nvml.nvmlDeviceGetMemoryInfo(gpu, version=nvml.nvmlMemory_v2)
    except (nvml.NVMLError_FunctionNotFound, nvml.NVMLError_NotSupported):
        return nvml.nvmlDeviceGetMemoryInfo(gpu)


_MEMORY = Ask(_memory)
_BAR1 = Ask(lambda nvml, gpu: nvml.nvmlDeviceGetBAR1MemoryInfo(gpu), OFTEN)


def _protected(part: str) -> Callable[[Any], float]:
    return lambda memory: float(getattr(memory, part))


_PROTECTED = Ask(lambda nvml, gpu: nvml.nvmlDeviceGetConfComputeProtectedMemoryUsage(gpu), RARELY)

MEMORY = (
    GpuRow(
        _gauge(
            "gpu_memory_used_bytes",
            "bytes",
            "Memory in use by processes (nvmlDeviceGetMemoryInfo_v2). What the driver reserves is not in it, unless "
            "gpu_memory_reserved_bytes is absent: drivers before 510 know only nvmlDeviceGetMemoryInfo, which adds it.",
        ),
        _MEMORY,
        lambda memory: float(memory.used),
    ),
    GpuRow(
        _gauge(
            "gpu_memory_reserved_bytes",
            "bytes",
            "Memory that driver and firmware keep for themselves (nvmlDeviceGetMemoryInfo_v2 only).",
        ),
        _MEMORY,
        lambda memory: getattr(memory, "reserved", None),
    ),
    GpuRow(
        _gauge("gpu_memory_free_bytes", "bytes", "Memory not in use (nvmlDeviceGetMemoryInfo_v2)."),
        _MEMORY,
        lambda memory: float(memory.free),
    ),
    GpuRow(
        _gauge(
            "gpu_memory_total_bytes", "bytes", "Memory: used, reserved and free together (nvmlDeviceGetMemoryInfo_v2)."
        ),
        _MEMORY,
        lambda memory: float(memory.total),
    ),
    GpuRow(
        _gauge("gpu_bar1_memory_used_bytes", "bytes", "BAR1 window in use (nvmlDeviceGetBAR1MemoryInfo).", every=OFTEN),
        _BAR1,
        lambda memory: float(memory.bar1Used),
    ),
    GpuRow(
        _gauge("gpu_bar1_memory_free_bytes", "bytes", "BAR1 window free (nvmlDeviceGetBAR1MemoryInfo).", every=OFTEN),
        _BAR1,
        lambda memory: float(memory.bar1Free),
    ),
    GpuRow(
        _gauge(
            "gpu_bar1_memory_total_bytes",
            "bytes",
            "BAR1 window, through which the host reaches GPU memory (nvmlDeviceGetBAR1MemoryInfo).",
            every=OFTEN,
        ),
        _BAR1,
        lambda memory: float(memory.bar1Total),
    ),
    *(
        GpuRow(
            _gauge(
                f"gpu_protected_memory_{part}_bytes",
                "bytes",
                f"Memory protected by confidential computing: {part} (nvmlDeviceGetConfComputeProtectedMemoryUsage).",
                every=RARELY,
            ),
            _PROTECTED,
            _protected(part),
        )
        for part in ("used", "free", "total")
    ),
)

# --- heat

_TEMPERATURE = _gauge(
    "gpu_temperature_celsius",
    "celsius",
    "Temperature by sensor: gpu (nvmlDeviceGetTemperature), memory (field 82, NVML_FI_DEV_MEMORY_TEMP).",
    "sensor",
)
_THRESHOLD = _gauge(
    "gpu_temperature_threshold_celsius",
    "celsius",
    "Temperature at which something happens: slowdown, shutdown, or the most that gpu or memory should have "
    "(nvmlDeviceGetTemperatureThreshold).",
    "threshold",
    every=SELDOM,
)
_MARGIN = _gauge(
    "gpu_temperature_margin_celsius",
    "celsius",
    "Degrees left until the GPU slows down to stay cool (nvmlDeviceGetMarginTemperature; Ada, Hopper and later).",
    every=OFTEN,
)
_MARGIN_THRESHOLD = _gauge(
    "gpu_temperature_margin_threshold_celsius",
    "celsius",
    "Margin at which something happens (nvmlDeviceGetFieldValues, fields 193 to 196); below 0 is above the limit.",
    "threshold",
    every=RARELY,
)


def _threshold(threshold: str, number: int) -> GpuRow:
    ask = Ask(lambda nvml, gpu: nvml.nvmlDeviceGetTemperatureThreshold(gpu, number), SELDOM)
    return GpuRow(_THRESHOLD, ask, labels=labels(threshold=threshold))


def _margin_threshold(threshold: str, field: int) -> GpuRow:
    return GpuRow(_MARGIN_THRESHOLD, Field(field, RARELY), labels=labels(threshold=threshold))


def _fans(nvml: Any, gpu: Any) -> list[float]:
    return [nvml.nvmlDeviceGetFanSpeed_v2(gpu, fan) / 100 for fan in range(nvml.nvmlDeviceGetNumFans(gpu))]


HEAT = (
    GpuRow(
        _TEMPERATURE,
        Ask(lambda nvml, gpu: nvml.nvmlDeviceGetTemperature(gpu, nvml.NVML_TEMPERATURE_GPU)),
        labels=labels(sensor="gpu"),
    ),
    GpuRow(_TEMPERATURE, Field(82), labels=labels(sensor="memory")),
    GpuRow(_MARGIN, Ask(lambda nvml, gpu: nvml.nvmlDeviceGetMarginTemperature(gpu), OFTEN)),
    _threshold("shutdown", 0),
    _threshold("slowdown", 1),
    _threshold("memory_max", 2),
    _threshold("gpu_max", 3),
    _margin_threshold("shutdown", 193),
    _margin_threshold("slowdown", 194),
    _margin_threshold("memory_max", 195),
    _margin_threshold("gpu_max", 196),
    GpuRow(
        _gauge(
            "gpu_fan_speed_ratio",
            "ratio",
            "Speed that each fan is told to have, 0 to 1 (nvmlDeviceGetFanSpeed_v2); none on passive boards.",
            "fan",
            every=OFTEN,
        ),
        Ask(_fans, OFTEN),
        lambda speeds: [(labels(fan=str(fan)), speed) for fan, speed in enumerate(speeds)],
    ),
)

# --- power and energy

_LIMITS = Ask(lambda nvml, gpu: nvml.nvmlDeviceGetPowerManagementLimitConstraints(gpu), RARELY)
_SCOPE_POWER = _gauge(
    "gpu_scope_power_watts",
    "watts",
    "Power drawn now by the memory, or by the whole module with its CPU (nvmlDeviceGetFieldValues, field 186).",
    "scope",
)

POWER = (
    GpuRow(
        _gauge(
            "gpu_power_watts",
            "watts",
            "Power drawn (nvmlDeviceGetPowerUsage): a mean over a second on Ampere and later, else of the moment.",
        ),
        Ask(lambda nvml, gpu: nvml.nvmlDeviceGetPowerUsage(gpu)),
        lambda milliwatts: milliwatts / 1000,
    ),
    GpuRow(
        _gauge("gpu_power_average_watts", "watts", "Power, mean of a second (nvmlDeviceGetFieldValues, field 185)."),
        Field(185),
        per=1000,
    ),
    GpuRow(
        _gauge("gpu_power_instant_watts", "watts", "Power of the moment (nvmlDeviceGetFieldValues, field 186)."),
        Field(186),
        per=1000,
    ),
    GpuRow(_SCOPE_POWER, Field(186, scope=1), labels=labels(scope="module"), per=1000),
    GpuRow(_SCOPE_POWER, Field(186, scope=2), labels=labels(scope="memory"), per=1000),
    GpuRow(
        _gauge("gpu_power_limit_watts", "watts", "Power limit in force (nvmlDeviceGetEnforcedPowerLimit)."),
        Ask(lambda nvml, gpu: nvml.nvmlDeviceGetEnforcedPowerLimit(gpu)),
        lambda milliwatts: milliwatts / 1000,
    ),
    GpuRow(
        _gauge(
            "gpu_power_limit_set_watts",
            "watts",
            "Power limit that was set (nvmlDeviceGetPowerManagementLimit); the one in force may be lower.",
            every=RARELY,
        ),
        Ask(lambda nvml, gpu: nvml.nvmlDeviceGetPowerManagementLimit(gpu), RARELY),
        lambda milliwatts: milliwatts / 1000,
    ),
    GpuRow(
        _gauge(
            "gpu_power_limit_default_watts",
            "watts",
            "Power limit that the board starts with (nvmlDeviceGetPowerManagementDefaultLimit).",
            every=RARELY,
        ),
        Ask(lambda nvml, gpu: nvml.nvmlDeviceGetPowerManagementDefaultLimit(gpu), RARELY),
        lambda milliwatts: milliwatts / 1000,
    ),
    GpuRow(
        _gauge(
            "gpu_power_limit_min_watts",
            "watts",
            "Lowest power limit that can be set (nvmlDeviceGetPowerManagementLimitConstraints).",
            every=RARELY,
        ),
        _LIMITS,
        lambda limits: limits[0] / 1000,
    ),
    GpuRow(
        _gauge(
            "gpu_power_limit_max_watts",
            "watts",
            "Highest power limit that can be set (nvmlDeviceGetPowerManagementLimitConstraints).",
            every=RARELY,
        ),
        _LIMITS,
        lambda limits: limits[1] / 1000,
    ),
    GpuRow(
        _gauge(
            "gpu_edpp_multiplier_ratio",
            "ratio",
            "Peak power allowed, of the normal peak (nvmlDeviceGetFieldValues, field 274).",
            every=RARELY,
        ),
        Field(274, RARELY),
        per=100,
    ),
    GpuRow(
        _counter(
            "gpu_energy_joules_total",
            "joules",
            "Energy used since the driver was loaded (nvmlDeviceGetTotalEnergyConsumption).",
            every=OFTEN,
        ),
        Ask(lambda nvml, gpu: nvml.nvmlDeviceGetTotalEnergyConsumption(gpu), OFTEN),
        lambda millijoules: millijoules / 1000,
    ),
)

# --- clocks, and what holds them down


def _numbered(call: str, number: int) -> Callable[[Any, Any], Any]:
    """An NVML call with a number after the GPU."""
    return lambda nvml, gpu: getattr(nvml, call)(gpu, number)


CLOCKS = (("graphics", 0), ("sm", 1), ("memory", 2), ("video", 3))
"""Clock domains and their numbers (NVML_CLOCK_*)."""


def _clocks(name: str, text: str, call: str, every: float = ALWAYS) -> Iterator[GpuRow]:
    spec = _gauge(name, "hertz", f"{text}, by domain ({call}).", "clock", every=every)
    for clock, number in CLOCKS:
        ask = Ask(_numbered(call, number), every)
        yield GpuRow(spec, ask, lambda megahertz: megahertz * 1e6, labels(clock=clock))


THROTTLE_REASONS = (
    ("applications_clocks", 0x2),
    ("sw_power_cap", 0x4),
    ("hw_slowdown", 0x8),
    ("sync_boost", 0x10),
    ("sw_thermal_slowdown", 0x20),
    ("hw_thermal_slowdown", 0x40),
    ("hw_power_brake", 0x80),
    ("display_clocks", 0x100),
)
"""Reasons and their bits (nvmlClocksEventReason*, nvmlClocksThrottleReason* in drivers before 535)."""


_REASONS = [(labels(reason=reason), bit) for reason, bit in THROTTLE_REASONS]


def _reasons(active: int) -> Answer:
    return [(reason, float(bool(active & bit))) for reason, bit in _REASONS]


_THROTTLED = _counter(
    "gpu_throttle_seconds_total",
    "seconds",
    "Time for which a reason has held the clocks down since the driver was loaded (nvmlDeviceGetFieldValues, fields "
    "74, 76, 269 to 271).",
    "reason",
    every=OFTEN,
)
_VIOLATED = _counter(
    "gpu_violation_seconds_total",
    "seconds",
    "Time for which a policy has kept the GPU below the clocks that it could have (nvmlDeviceGetViolationStatus).",
    "policy",
    every=RARELY,
)
POLICIES = (
    ("power", 0),
    ("thermal", 1),
    ("sync_boost", 2),
    ("board_limit", 3),
    ("low_utilization", 4),
    ("reliability", 5),
    ("application_clocks", 10),
    ("base_clocks", 11),
)
"""Policies and their numbers (NVML_PERF_POLICY_*)."""


def _violation(policy: str, number: int) -> GpuRow:
    ask = Ask(lambda nvml, gpu: nvml.nvmlDeviceGetViolationStatus(gpu, number).violationTime, RARELY)
    return GpuRow(_VIOLATED, ask, lambda nanoseconds: nanoseconds / 1e9, labels(policy=policy))


SPEED = (
    *_clocks("gpu_clock_hertz", "Clock now", "nvmlDeviceGetClockInfo"),
    *_clocks("gpu_clock_max_hertz", "Highest clock", "nvmlDeviceGetMaxClockInfo", SELDOM),
    *_clocks(
        "gpu_clock_application_hertz", "Clock that programs are to have", "nvmlDeviceGetApplicationsClock", RARELY
    ),
    *_clocks(
        "gpu_clock_application_default_hertz",
        "Clock that programs have unless another was set",
        "nvmlDeviceGetDefaultApplicationsClock",
        SELDOM,
    ),
    GpuRow(
        _gauge(
            "gpu_performance_state",
            "",
            "Performance state: 0 (P0, the fastest) to 15 (nvmlDeviceGetPerformanceState).",
        ),
        Ask(lambda nvml, gpu: nvml.nvmlDeviceGetPerformanceState(gpu)),
        lambda state: float(state) if state <= 15 else None,  # 32 is "unknown"
    ),
    GpuRow(
        _states(
            "gpu_throttle_active",
            "Whether this holds the clocks down now (nvmlDeviceGetCurrentClocksThrottleReasons).",
            "reason",
        ),
        Ask(lambda nvml, gpu: nvml.nvmlDeviceGetCurrentClocksThrottleReasons(gpu)),  # drivers of every age export it
        _reasons,
    ),
    *(
        GpuRow(_THROTTLED, Field(field, OFTEN), labels=labels(reason=reason), per=1e9)
        for reason, field in (
            ("sw_power_cap", 74),
            ("sync_boost", 76),
            ("sw_thermal_slowdown", 269),
            ("hw_thermal_slowdown", 270),
            ("hw_power_brake", 271),
        )
    ),
    *(_violation(policy, number) for policy, number in POLICIES),
)

# --- faults

_ECC = _counter(
    "gpu_ecc_errors_total",
    "",
    "ECC errors since the driver was loaded (volatile) or in the board's life (aggregate), of all its memories "
    "(nvmlDeviceGetFieldValues, fields 3 to 6, as nvmlDeviceGetTotalEccErrors).",
    *("error", "lifetime"),
    every=OFTEN,
)
_ECC_AT = _counter(
    "gpu_ecc_errors_by_location_total",
    "",
    "The same by the memory in which they were found (nvmlDeviceGetFieldValues, fields 7 to 28; for sram "
    "nvmlDeviceGetMemoryErrorCounter).",
    *("error", "lifetime", "location"),
    every=OFTEN,
)
_ECC_SRAM = _counter(
    "gpu_ecc_sram_uncorrected_errors_total",
    "",
    "Uncorrected SRAM errors by how they were found (nvmlDeviceGetSramEccErrorStatus).",
    *("check", "lifetime"),
    every=OFTEN,
)
_ECC_SRAM_UNIT = _counter(
    "gpu_ecc_sram_uncorrected_errors_by_unit_total",
    "",
    "Uncorrected SRAM errors in the board's life by the unit that holds it (nvmlDeviceGetSramEccErrorStatus).",
    "unit",
    every=OFTEN,
)

_ECC_FIELDS = (
    ("l1", 7, 8, 18, 19),
    ("l2", 9, 10, 20, 21),
    ("device_memory", 11, 12, 22, 23),
    ("register_file", 13, 14, 24, 25),
    ("texture", 15, 16, 26, 27),
    ("cbu", None, 17, None, 28),
)
"""Location, and the fields of its corrected and uncorrected errors: volatile, then aggregate."""


def _ecc(spec: Spec, field: int, error: str, lifetime: str, **where: str) -> GpuRow:
    return GpuRow(spec, Field(field, OFTEN), labels=labels(error=error, lifetime=lifetime, **where))


def _ecc_sram(error: str, lifetime: str, numbers: tuple[int, int]) -> GpuRow:
    ask = Ask(
        lambda nvml, gpu: nvml.nvmlDeviceGetMemoryErrorCounter(gpu, *numbers, nvml.NVML_MEMORY_LOCATION_SRAM), OFTEN
    )
    return GpuRow(_ECC_AT, ask, labels=labels(error=error, lifetime=lifetime, location="sram"))


def _sram(nvml: Any, gpu: Any) -> Any:
    status = nvml.c_nvmlEccSramErrorStatus_v1_t()
    nvml.nvmlDeviceGetSramEccErrorStatus(gpu, ctypes.byref(status))  # it would pass the structure by value
    return status


_SRAM = Ask(_sram, OFTEN)
_REMAPPED = Ask(lambda nvml, gpu: nvml.nvmlDeviceGetRemappedRows(gpu), OFTEN)
_RETIRED = _gauge(
    "gpu_retired_pages",
    "",
    "Pages taken out of use, by cause (nvmlDeviceGetFieldValues, fields 29 and 30); boards before Ampere.",
    "cause",
    every=OFTEN,
)

FAULTS = (
    _ecc(_ECC, 3, "corrected", "volatile"),
    _ecc(_ECC, 4, "uncorrected", "volatile"),
    _ecc(_ECC, 5, "corrected", "aggregate"),
    _ecc(_ECC, 6, "uncorrected", "aggregate"),
    *(
        _ecc(_ECC_AT, field, error, lifetime, location=location)
        for location, *fields in _ECC_FIELDS
        for field, (error, lifetime) in zip(
            fields,
            (
                ("corrected", "volatile"),
                ("uncorrected", "volatile"),
                ("corrected", "aggregate"),
                ("uncorrected", "aggregate"),
            ),
            strict=True,
        )
        if field is not None
    ),
    _ecc_sram("corrected", "volatile", (0, 0)),
    _ecc_sram("uncorrected", "volatile", (1, 0)),
    _ecc_sram("corrected", "aggregate", (0, 1)),
    _ecc_sram("uncorrected", "aggregate", (1, 1)),
    GpuRow(
        _ECC_SRAM,
        _SRAM,
        lambda sram: (
            (labels(check="parity", lifetime="volatile"), sram.volatileUncParity),
            (labels(check="secded", lifetime="volatile"), sram.volatileUncSecDed),
            (labels(check="parity", lifetime="aggregate"), sram.aggregateUncParity),
            (labels(check="secded", lifetime="aggregate"), sram.aggregateUncSecDed),
        ),
    ),
    GpuRow(
        _ECC_SRAM_UNIT,
        _SRAM,
        lambda sram: (
            (labels(unit="l2"), sram.aggregateUncBucketL2),
            (labels(unit="sm"), sram.aggregateUncBucketSm),
            (labels(unit="pcie"), sram.aggregateUncBucketPcie),
            (labels(unit="mcu"), sram.aggregateUncBucketMcu),
            (labels(unit="other"), sram.aggregateUncBucketOther),
        ),
    ),
    GpuRow(
        _gauge(
            "gpu_ecc_sram_threshold_exceeded",
            "",
            "Whether SRAM has had so many errors that the board should be replaced (nvmlDeviceGetSramEccErrorStatus).",
            every=OFTEN,
        ),
        _SRAM,
        lambda sram: float(sram.bThresholdExceeded),
    ),
    GpuRow(_RETIRED, Field(29, OFTEN), labels=labels(cause="corrected")),
    GpuRow(_RETIRED, Field(30, OFTEN), labels=labels(cause="uncorrected")),
    GpuRow(
        _gauge(
            "gpu_retired_pages_pending",
            "",
            "Whether pages wait for a reset to be taken out of use (nvmlDeviceGetFieldValues, field 31).",
            every=OFTEN,
        ),
        Field(31, OFTEN),
    ),
    GpuRow(
        _gauge(
            "gpu_remapped_rows",
            "",
            "Memory rows replaced by spare ones, by the errors that led to it (nvmlDeviceGetRemappedRows); Ampere and "
            "later.",
            "error",
            every=OFTEN,
        ),
        _REMAPPED,
        lambda rows: ((labels(error="corrected"), rows[0]), (labels(error="uncorrected"), rows[1])),
    ),
    GpuRow(
        _gauge(
            "gpu_row_remap_pending",
            "",
            "Whether rows wait for a reset to be replaced (nvmlDeviceGetRemappedRows).",
            every=OFTEN,
        ),
        _REMAPPED,
        lambda rows: float(rows[2]),
    ),
    GpuRow(
        _gauge(
            "gpu_row_remap_failed",
            "",
            "Whether a row could not be replaced: the board should be (nvmlDeviceGetRemappedRows).",
            every=OFTEN,
        ),
        _REMAPPED,
        lambda rows: float(rows[3]),
    ),
    GpuRow(
        _gauge(
            "gpu_row_remap_banks",
            "",
            "Memory banks by how many spare rows they have left, from max to none (nvmlDeviceGetRowRemapperHistogram).",
            "spare",
            every=OFTEN,
        ),
        Ask(lambda nvml, gpu: nvml.nvmlDeviceGetRowRemapperHistogram(gpu), OFTEN),
        lambda banks: [
            (labels(spare=name), getattr(banks, name)) for name in ("max", "high", "partial", "low", "none")
        ],
    ),
    GpuRow(
        _gauge(
            "gpu_repair_pending",
            "",
            "Whether a unit waits for a reset to be repaired (nvmlDeviceGetRepairStatus); Blackwell and later.",
            "unit",
            every=OFTEN,
        ),
        Ask(lambda nvml, gpu: nvml.nvmlDeviceGetRepairStatus(gpu), OFTEN),
        lambda pending: ((labels(unit="channel"), pending[0]), (labels(unit="tpc"), pending[1])),
    ),
    GpuRow(
        _states(
            "gpu_recovery_action",
            "What the driver wants done to get the GPU well (nvmlDeviceGetFieldValues, field 230): 1 for the action.",
            "action",
        ),
        Field(230),
        pick=_one_of(
            "action",
            (
                "none",
                "gpu_reset",
                "node_reboot",
                "drain_p2p",
                "drain_and_reset",
                "recover_imex_domain",
                "bus_reset",
                "system_reboot",
            ),
        ),
    ),
)

XID_ERRORS = _counter(
    "gpu_xid_errors_total",
    "",
    "XID errors since the sidecar began to watch, by number (nvmlDeviceRegisterEvents, nvmlEventSetWait_v2). A series "
    "is born with its first event: alert on gpu_xid_last_seen_timestamp_seconds.",
    "xid",
)
XID_LAST_SEEN = _gauge(
    "gpu_xid_last_seen_timestamp_seconds",
    "seconds",
    "When an XID error was last heard of, in seconds since the epoch (nvmlDeviceRegisterEvents, nvmlEventSetWait_v2).",
    "xid",
)

# --- PCIe

_PCIE_ERRORS = _counter(
    "gpu_pcie_errors_total",
    "",
    "PCIe errors by kind (nvmlDeviceGetFieldValues, fields 173 to 183); Hopper and later.",
    "error",
    every=RARELY,
)
_PCIE_TRAFFIC = _gauge(
    "gpu_pcie_throughput_bytes_per_second",
    "bytes_per_second",
    "PCIe traffic out of (tx) and into (rx) the GPU: mean of 10 s from nvmlGpmMetricsGet on Hopper and later; "
    "elsewhere with `pcie_throughput: true` from nvmlDeviceGetPcieThroughput, which blocks for 20 ms a direction.",
    "direction",
)

PCIE = (
    GpuRow(
        _gauge(
            "gpu_pcie_link_generation", "", "PCIe generation now (nvmlDeviceGetCurrPcieLinkGeneration).", every=OFTEN
        ),
        Ask(lambda nvml, gpu: nvml.nvmlDeviceGetCurrPcieLinkGeneration(gpu), OFTEN),
    ),
    GpuRow(
        _gauge(
            "gpu_pcie_link_generation_max",
            "",
            "PCIe generation that GPU and board can reach (nvmlDeviceGetMaxPcieLinkGeneration).",
            every=RARELY,
        ),
        Ask(lambda nvml, gpu: nvml.nvmlDeviceGetMaxPcieLinkGeneration(gpu), RARELY),
    ),
    GpuRow(
        _gauge(
            "gpu_pcie_link_generation_gpu_max",
            "",
            "PCIe generation that the GPU alone could reach (nvmlDeviceGetGpuMaxPcieLinkGeneration).",
            every=RARELY,
        ),
        Ask(lambda nvml, gpu: nvml.nvmlDeviceGetGpuMaxPcieLinkGeneration(gpu), RARELY),
    ),
    GpuRow(
        _gauge(
            "gpu_pcie_link_width_lanes", "lanes", "PCIe lanes in use (nvmlDeviceGetCurrPcieLinkWidth).", every=OFTEN
        ),
        Ask(lambda nvml, gpu: nvml.nvmlDeviceGetCurrPcieLinkWidth(gpu), OFTEN),
    ),
    GpuRow(
        _gauge(
            "gpu_pcie_link_width_max_lanes",
            "lanes",
            "PCIe lanes that GPU and board can use (nvmlDeviceGetMaxPcieLinkWidth).",
            every=RARELY,
        ),
        Ask(lambda nvml, gpu: nvml.nvmlDeviceGetMaxPcieLinkWidth(gpu), RARELY),
    ),
    GpuRow(
        _counter(
            "gpu_pcie_replays_total",
            "replays",
            "PCIe packets sent again after an error (nvmlDeviceGetPcieReplayCounter).",
            every=OFTEN,
        ),
        Ask(lambda nvml, gpu: nvml.nvmlDeviceGetPcieReplayCounter(gpu), OFTEN),
    ),
    *(
        GpuRow(_PCIE_ERRORS, Field(field, RARELY), labels=labels(error=error))
        for error, field in (
            ("correctable", 173),
            ("naks_received", 174),
            ("receiver", 175),
            ("bad_tlp", 176),
            ("naks_sent", 177),
            ("bad_dllp", 178),
            ("non_fatal", 179),
            ("fatal", 180),
            ("unsupported_request", 181),
            ("lcrc", 182),
            ("lane", 183),
        )
    ),
    GpuRow(_PCIE_TRAFFIC, Gpm(20), labels=labels(direction="tx"), times=2.0**20),
    GpuRow(_PCIE_TRAFFIC, Gpm(21), labels=labels(direction="rx"), times=2.0**20),
    *(
        GpuRow(
            _PCIE_TRAFFIC,
            Ask(_numbered("nvmlDeviceGetPcieThroughput", number), option="pcie_throughput"),
            lambda kibibytes: kibibytes * 1024.0,
            labels(direction=direction),
        )
        for direction, number in (("tx", 0), ("rx", 1))
    ),
)

# --- NVLink


@functools.cache
def link_label(link: int) -> Labels:
    """How a link is called."""
    return labels(link=str(link))


def _links(nvml: Any, gpu: Any) -> list[tuple[Labels, float]]:
    """The state of every link; a link that the GPU does not have ends the list."""
    states: list[tuple[Labels, float]] = []
    for link in range(nvml.NVML_NVLINK_MAX_LINKS):
        try:
            states.append((link_label(link), float(nvml.nvmlDeviceGetNvLinkState(gpu, link))))
        except (nvml.NVMLError_NotSupported, nvml.NVMLError_InvalidArgument):
            break
    if not states:
        raise nvml.NVMLError(nvml.NVML_ERROR_NOT_SUPPORTED)
    return states


_LINK_BYTES = _counter(
    "gpu_nvlink_bytes_total",
    "bytes",
    "Bytes sent (tx) and received (rx) over all NVLinks, without (data) and with the protocol's own (raw) "
    "(nvmlDeviceGetFieldValues, fields 138 to 141).",
    *("direction", "kind"),
)
_LINK_TRAFFIC = _gauge(
    "gpu_nvlink_throughput_bytes_per_second",
    "bytes_per_second",
    "NVLink traffic, mean of 10 s (nvmlGpmMetricsGet; Hopper and later, not in MIG mode).",
    "direction",
    every=OFTEN,
)
_LINK_ERRORS = _counter(
    "gpu_nvlink_errors_total",
    "",
    "Errors of all NVLinks by kind (nvmlDeviceGetFieldValues, fields 38, 45, 52, 59, 160).",
    "error",
    every=OFTEN,
)
_ERRORS_OF_LINK = _counter(
    "gpu_nvlink_errors_by_link_total",
    "",
    "Errors of each NVLink by kind (nvmlDeviceGetFieldValues, fields 161 to 163, 208, 214, 219; Hopper and later).",
    *("error", "link"),
    every=OFTEN,
)
FABRIC_STATES = ("not_supported", "not_started", "in_progress", "completed")


def _fabric(nvml: Any, gpu: Any) -> Any:
    info = nvml.c_nvmlGpuFabricInfo_v2_t()
    nvml.nvmlDeviceGetGpuFabricInfoV(gpu, ctypes.byref(info))  # as above
    return info


_FABRIC = Ask(_fabric, RARELY)
_fabric_state = _one_of("state", FABRIC_STATES)

NVLINK = (
    GpuRow(
        _gauge(
            "gpu_nvlink_active",
            "",
            "Whether the NVLink is up (nvmlDeviceGetNvLinkState).",
            "link",
            every=OFTEN,
        ),
        Ask(_links, OFTEN),
        lambda states: states,
    ),
    *(
        GpuRow(_LINK_BYTES, Field(field, scope=ALL_LINKS), labels=labels(direction=direction, kind=kind), times=1024)
        for direction, kind, field in (
            ("tx", "data", 138),
            ("rx", "data", 139),
            ("tx", "raw", 140),
            ("rx", "raw", 141),
        )
    ),
    GpuRow(_LINK_TRAFFIC, Gpm(61), labels=labels(direction="tx"), times=2.0**20),
    GpuRow(_LINK_TRAFFIC, Gpm(60), labels=labels(direction="rx"), times=2.0**20),
    *(
        GpuRow(_LINK_ERRORS, Field(field, OFTEN), labels=labels(error=error))
        for error, field in (("crc_flit", 38), ("crc_data", 45), ("replay", 52), ("recovery", 59), ("ecc_data", 160))
    ),
    *(
        GpuRow(_ERRORS_OF_LINK, Field(field, OFTEN, per_link=True), labels=labels(error=error))
        for error, field in (
            ("replay", 161),
            ("recovery", 162),
            ("crc", 163),
            ("receive", 208),
            ("recovery_failed", 214),
            ("effective", 219),
        )
    ),
    GpuRow(
        _gauge(
            "gpu_nvlink_speed_bytes_per_second",
            "bytes_per_second",
            "Speed of one NVLink (nvmlDeviceGetFieldValues, field 90).",
            every=RARELY,
        ),
        Field(90, RARELY),
        times=1e6,
    ),
    GpuRow(
        _states(
            "gpu_fabric_state",
            "How far the GPU has joined its NVLink fabric (nvmlDeviceGetGpuFabricInfoV): 1 for the state.",
            "state",
            RARELY,
        ),
        _FABRIC,
        lambda info: _fabric_state(info.state),
    ),
    GpuRow(
        _gauge(
            "gpu_fabric_clique",
            "",
            "Number of the fabric clique whose GPUs reach each other (nvmlDeviceGetGpuFabricInfoV).",
            every=RARELY,
        ),
        _FABRIC,
        lambda info: float(info.cliqueId) if info.state == len(FABRIC_STATES) - 1 else None,
    ),
)

GPU_ROWS: tuple[GpuRow, ...] = (
    *WHAT_IT_IS,
    *MODES,
    *HOW_BUSY,
    *MEMORY,
    *HEAT,
    *POWER,
    *SPEED,
    *FAULTS,
    *PCIE,
    *NVLINK,
)

# --- MIG: an instance has memory and activity of its own; everything else is told of the board

MIG_INFO = _spec(
    "gpu_mig_info",
    Kind.INFO,
    "",
    "A MIG device: its GPU instance, compute instance and profile (nvmlDeviceGetMigDeviceHandleByIndex, "
    "nvmlDeviceGetGpuInstanceId, nvmlDeviceGetComputeInstanceId, nvmlDeviceGetName); always 1.",
    *("mig", "mig_uuid", "gi", "ci", "profile"),
    every=OFTEN,
)
MIG_MEMORY = tuple(
    _gauge(
        f"gpu_mig_memory_{part}_bytes",
        "bytes",
        f"Memory of a GPU instance, which its compute instances share: {part} (nvmlDeviceGetMemoryInfo_v2).",
        every=OFTEN,
        of=MIG,
    )
    for part in ("used", "reserved", "free", "total")
)
MIG_ACTIVITY = _gauge(
    "gpu_mig_activity_ratio",
    "ratio",
    "Share of what is possible that a part of a GPU instance did, 0 to 1 (nvmlGpmMigSampleGet; Hopper and later).",
    "part",
    every=OFTEN,
    of=MIG,
)
MIG_ACTIVITIES = tuple(each for each in ACTIVITIES if each[0] in {"graphics", "sm", "sm_occupancy", "tensor", "dram"})
MIG_PCIE = _gauge(
    "gpu_mig_pcie_throughput_bytes_per_second",
    "bytes_per_second",
    "PCIe traffic of a GPU instance (nvmlGpmMigSampleGet; Hopper and later).",
    "direction",
    every=OFTEN,
    of=MIG,
)
MIG_SPECS = (MIG_INFO, *MIG_MEMORY, MIG_ACTIVITY, MIG_PCIE)

GPU_SPECS: tuple[Spec, ...] = (*dict.fromkeys(row.spec for row in GPU_ROWS), XID_ERRORS, XID_LAST_SEEN, *MIG_SPECS)
"""Every series of this table once, in the order in which they are served."""

LEFT_OUT = {
    "nvmlDeviceGetAccountingBufferSize": "a constant of the driver",
    "nvmlDeviceGetCount": "count(gpu_info) is the same",
    "nvmlDeviceGetFanSpeedRPM": "gpu_fan_speed_ratio tells it in a base unit",
    "nvmlDeviceGetInforomVersion": "a version of firmware that nobody alerts on; nvidia-smi -q shows it",
    "nvmlDeviceGetPciInfo as numbers": "the label `pci_bus_id` of gpu_info is the address, and `name` the board",
    "nvmlDeviceGetPlatformInfo": "where the GPU stands in its rack: an inventory knows it",
    "nvmlDeviceGetSupportedClocksEventReasons": "a reason that is not supported stays 0 in gpu_throttle_active",
    "nvmlClocksEventReasonGpuIdle": "an idle GPU is not slowed down; gpu_utilization_ratio shows it",
    "nvmlDeviceGetSerial as a number": "the label `serial` of gpu_info is the text, behind a setting",
}
"""What NVML or other exporters tell and this table does not, and why."""
