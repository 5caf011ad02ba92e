"""How busy the engines are -> a machine file, as `scripts/record-gpu` writes it and `gpu.machine` reads it.

Each GPU is an H100 in what it tells (tests/data/nvml/h100x8.txt); load moves its power, clocks, heat, activity and
links. Two kinds of trouble: heat, which slows it down, and the loss of the GPU with XID 79.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

GIB = 2**30
TOTAL_BYTES, RESERVED_BYTES, CONTEXT_BYTES = 85_520_809_984, 638_582_784, 600 * 2**20
LINKS = 4
TOP_MEGAHERTZ, THROTTLED_MEGAHERTZ, IDLE_MEGAHERTZ = 1980, 1125, 345
IDLE_WATTS, BUSY_WATTS, SPINNING_WATTS = 74.0, 640.0, 132.0
AMBIENT, BUSY_DEGREES, MORE_DEGREES = 31.0, 36.0, 44.0
TOO_HOT, COOL_AGAIN, TOP_DEGREES = 85.0, 76.0, 96.0
HW_SLOWDOWN, HW_THERMAL = 0x8, 0x40

EVERY_GPU = (
    *("Name NVIDIA H100 80GB HBM3", "VbiosVersion 96.00.89.00.01", "CudaComputeCapability 9 0", "ComputeMode 0"),
    *("PersistenceMode 1", "AccountingMode 0", "DisplayMode 0", "DisplayActive 0", "EccMode 1 1", "MigMode 0 0"),
    *("GspFirmwareMode 1 1", "C2cModeInfo 0", "EncoderUtilization 0 167000", "DecoderUtilization 0 167000"),
    *("JpgUtilization 0 167000", "OfaUtilization 0 167000", "EncoderStats 0 0 0"),
    *("BAR1MemoryInfo 137438953472 136365211648 1073741824", "ConfComputeProtectedMemoryUsage 0 0 0"),
    *("TemperatureThreshold.0 90", "TemperatureThreshold.1 87", "TemperatureThreshold.2 95", "NumFans 0"),
    *("TemperatureThreshold.3 87", "EnforcedPowerLimit 700000", "PowerManagementLimit 700000"),
    *("PowerManagementDefaultLimit 700000", "PowerManagementLimitConstraints 200000 700000", "ClockInfo.2 2619"),
    *("ClockInfo.3 1545", "MaxClockInfo.0 1980", "MaxClockInfo.1 1980", "MaxClockInfo.2 2619", "MaxClockInfo.3 1545"),
    *("ApplicationsClock.0 1980", "ApplicationsClock.1 1980", "ApplicationsClock.2 2619"),
    *("DefaultApplicationsClock.0 1980", "DefaultApplicationsClock.1 1980", "DefaultApplicationsClock.2 2619"),
    *(f"ViolationStatus.{policy} 0" for policy in (2, 3, 4, 5, 10, 11)),
    *(f"Field.{field} 0" for field in (76, 271, 3, 5, 6, 9, 10, 11, 12, 20, 21, 22, 23, 230, 195, 196)),
    *("Field.274 100", "Field.193 -8", "Field.194 -2", "MemoryErrorCounter.0.7 0", "MemoryErrorCounter.1.7 0"),
    *("MemoryErrorCounter.2.7 0", "MemoryErrorCounter.3.7 0", "SramEccErrorStatus 0 0 0 0 0 0 0 0 0 0 0 0"),
    *("RemappedRows 0 0 0 0", "RowRemapperHistogram 2560 0 0 0 0", "CurrPcieLinkGeneration 5"),
    *("MaxPcieLinkGeneration 5", "GpuMaxPcieLinkGeneration 5", "CurrPcieLinkWidth 16", "MaxPcieLinkWidth 16"),
    *("PcieReplayCounter 0", *(f"Field.{field} 0" for field in range(173, 184)), f"Field.91 {LINKS}", "Field.90 26562"),
    *(f"NvLinkState.{link} 1" for link in range(LINKS)),
    *(f"Field.{field} 0" for field in (38, 45, 52, 59, 160)),
    *(f"Field.{field}.{link} 0" if link else f"Field.{field} 0" for field in (161, 162, 163) for link in range(LINKS)),
    *("GpuFabricInfo 3 0 0 0", "GpmSupport 1", "SupportedEventTypes 31"),
)
"""What stays as it is."""


@dataclass(slots=True)
class Gpu:
    """One GPU. `load` is that of its engine, `used_bytes` what is held of its memory; `hot` and `lost` are troubles."""

    index: int
    load: float = 0.0
    used_bytes: int = 0
    pid: int = 0
    hot: bool = False
    lost: bool = False
    spinning: bool = False
    degrees: float = AMBIENT
    joules: float = 2.0e8
    throttled_seconds: float = 0.0
    sent: float = 0.0
    is_throttled: bool = False
    ecc: int = 0

    @property
    def uuid(self) -> str:
        """A made-up UUID."""
        return f"GPU-d3300000-0000-0000-0000-{self.index + 1:012d}"

    @property
    def watts(self) -> float:
        """Power now; a kernel that spins on one word draws little."""
        if self.spinning:
            return SPINNING_WATTS
        share: float = self.load**0.5 * (0.62 if self.is_throttled else 1.0)
        return IDLE_WATTS + 42.0 * (self.used_bytes > 0) + (BUSY_WATTS - IDLE_WATTS - 42.0) * share

    @property
    def megahertz(self) -> int:
        """The SM clock now."""
        if self.is_throttled:
            return THROTTLED_MEGAHERTZ
        return TOP_MEGAHERTZ if self.load or self.spinning or self.used_bytes else IDLE_MEGAHERTZ

    def live(self, seconds: float) -> None:
        """Let so much time pass."""
        goal = AMBIENT + BUSY_DEGREES * self.watts / BUSY_WATTS + MORE_DEGREES * self.hot
        self.degrees += (min(goal, TOP_DEGREES) - self.degrees) * min(1.0, seconds / 12)
        self.is_throttled = self.degrees > (COOL_AGAIN if self.is_throttled else TOO_HOT)
        self.joules += self.watts * seconds
        self.throttled_seconds += seconds * self.is_throttled
        self.sent += seconds * self.load * 40e9

    def lines(self) -> Iterator[str]:
        """What changes."""
        watts, busy = round(self.watts * 1000), 1.0 if self.spinning else min(1.0, self.load * 2.2)
        moving = 0.0 if self.spinning else self.load
        yield f"UUID {self.uuid}"
        yield f"PciInfo 00000000:{0x1B + 16 * self.index:02X}:00.0"
        if self.lost:
            yield "* !15"
        used = RESERVED_BYTES + self.used_bytes
        yield f"MemoryInfo {TOTAL_BYTES} {RESERVED_BYTES} {TOTAL_BYTES - used} {self.used_bytes}"
        yield f"UtilizationRates {round(busy * 100)} {round(moving * 62)}"
        yield from (f"Temperature.0 {self.degrees:.0f}", f"MarginTemperature {87 - self.degrees:.0f}")
        yield from (f"Field.82 {self.degrees + 9:.0f}", f"PowerUsage {watts}", f"Field.185 {watts}")
        yield from (f"Field.186 {watts}", f"Field.186.1 {watts + 65000}", f"PerformanceState {0 if busy else 2}")
        yield f"TotalEnergyConsumption {self.joules * 1000:.0f}"
        yield from (f"ClockInfo.0 {self.megahertz}", f"ClockInfo.1 {self.megahertz}")
        reasons = HW_SLOWDOWN | HW_THERMAL if self.is_throttled else 0 if busy else 1
        nanoseconds = self.throttled_seconds * 1e9
        yield f"CurrentClocksThrottleReasons {reasons}"
        yield from (f"Field.269 {nanoseconds * 0.3:.0f}", f"Field.270 {nanoseconds:.0f}", "Field.74 1500000000")
        yield from (f"ViolationStatus.1 {nanoseconds:.0f}", "ViolationStatus.0 1500000000")
        yield f"Field.4 {self.ecc}"
        activity = (busy * 99, busy * 91, moving * 44, 6, moving * 52, 0, moving * 51, 0, moving * 70, 0, 3, 1)
        numbers = (1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13)
        yield from (f"Gpm.{number} {share:.1f}" for number, share in zip(numbers, activity, strict=True))
        yield from (f"Gpm.20 {40 + moving * 900:.0f}", f"Gpm.21 {30 + moving * 1400:.0f}")
        yield from (f"Gpm.60 {moving * 38000:.0f}", f"Gpm.61 {moving * 38000:.0f}")
        yield from (f"Field.{field}.4294967295 {self.sent / 1024:.0f}" for field in (138, 139, 140, 141))
        if self.pid and self.used_bytes:
            yield f"ComputeRunningProcesses {self.pid} {self.used_bytes}"


@dataclass(slots=True)
class Machine:
    """The host's GPUs, and the XID errors that it has reported so far, as (GPU, number)."""

    gpus: list[Gpu]
    events: list[tuple[int, int]] = field(default_factory=list)

    def live(self, seconds: float) -> None:
        """Let so much time pass."""
        for gpu in self.gpus:
            gpu.live(seconds)

    def text(self) -> str:
        """The machine file now."""
        lines = ["# Made up by vigil demo.", "driver 570.133.20", "cuda 12080", f"count {len(self.gpus)}"]
        lines += (f"gpu* {line}" for line in EVERY_GPU)
        lines += (f"gpu{gpu.index} {line}" for gpu in self.gpus for line in gpu.lines())
        lines += (f"event.{number} {gpu} 8 {xid}" for number, (gpu, xid) in enumerate(self.events, 1))
        return "\n".join((*lines, ""))
