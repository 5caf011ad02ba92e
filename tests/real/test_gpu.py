"""A real GPU says through the sidecar what it says to nvidia-smi, can be recorded and played back, and costs little.

    scripts/test --real-gpu        on a machine with an NVIDIA driver

Nothing is changed on the machine. GPUs in MIG mode tell less and are left to the played machines of tests/sources.
"""

from __future__ import annotations

import asyncio
import csv
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from vllm_vigil.clock import CrankedClock, RealClock
from vllm_vigil.model import Reading
from vllm_vigil.sources.nvml import Nvml
from vllm_vigil.sources.settings import GpuSettings

pytestmark = pytest.mark.real_gpu

RECORD = Path(__file__).parents[2] / "scripts" / "record-gpu"
MIB = 2.0**20
SAME: Mapping[str, tuple[str, dict[str, str], float, float]] = {
    "memory.total": ("gpu_memory_total_bytes", {}, MIB, MIB),
    "memory.used": ("gpu_memory_used_bytes", {}, MIB, 64 * MIB),
    "memory.reserved": ("gpu_memory_reserved_bytes", {}, MIB, MIB),
    "temperature.gpu": ("gpu_temperature_celsius", {"sensor": "gpu"}, 1.0, 3.0),
    "power.draw": ("gpu_power_watts", {}, 1.0, 40.0),
    "enforced.power.limit": ("gpu_power_limit_watts", {}, 1.0, 0.01),
    "clocks.max.sm": ("gpu_clock_max_hertz", {"clock": "sm"}, 1e6, 0.0),
    "clocks.max.memory": ("gpu_clock_max_hertz", {"clock": "memory"}, 1e6, 0.0),
    "clocks.current.memory": ("gpu_clock_hertz", {"clock": "memory"}, 1e6, 0.0),
    "pcie.link.width.current": ("gpu_pcie_link_width_lanes", {}, 1.0, 0.0),
}
"""What nvidia-smi calls it; the series, and labels that pick of it; its unit in ours; how far the two may lie apart."""

CPU_SECONDS_A_GPU = 0.003
"""Of every second, on average: a driver's calls are waits for the GPU's firmware in which the core spins."""


def read(settings: GpuSettings) -> Reading:
    """The second of two readings, a second apart: the activity monitor tells nothing at the first."""

    async def both() -> Reading:
        clock = RealClock()
        source = Nvml(settings, clock)
        await source.read()
        await clock.sleep(1.0)
        reading = await source.read()
        await source.close()
        return reading

    return asyncio.run(both())


def cpu_seconds(seconds: int) -> float:
    """What a reading costs, on average over so many, a second apart by the source's clock; the first is left out."""

    async def all_of_them() -> float:
        clock = CrankedClock()
        source = Nvml(GpuSettings(), clock)
        await source.read()
        begun = time.process_time()
        for _ in range(seconds):
            await clock.crank(1.0)
            await source.read()
        spent = time.process_time() - begun
        await source.close()
        return spent / seconds

    return asyncio.run(all_of_them())


def smi(*names: str) -> list[dict[str, str]]:
    """What nvidia-smi says of each GPU under these names, without units."""
    query = ("nvidia-smi", f"--query-gpu={','.join(names)}", "--format=csv,noheader,nounits")
    said = subprocess.run(query, capture_output=True, text=True, check=True).stdout
    return [dict(zip(names, map(str.strip, row), strict=True)) for row in csv.reader(said.splitlines())]


def of(reading: Reading, series: str, labels: Mapping[str, str]) -> list[float]:
    """The values with these labels, in the order of the GPUs."""
    return [
        each.value for each in reading.samples if each.name == series and labels.items() <= dict(each.labels).items()
    ]


def names(reading: Reading) -> set[tuple[str, tuple[tuple[str, str], ...]]]:
    """What is told, without the board's own names."""
    own = {"uuid", "serial"}
    return {(each.name, tuple(pair for pair in each.labels if pair[0] not in own)) for each in reading.samples}


@pytest.mark.parametrize("asked", SAME)
def test_it_says_what_nvidia_smi_says(asked: str) -> None:
    """Every GPU, in our units; what nvidia-smi has not, we have not."""
    series, labels, unit, apart = SAME[asked]
    theirs = [float(each[asked]) * unit for each in smi(asked) if each[asked].replace(".", "").isdecimal()]
    assert of(read(GpuSettings()), series, labels) == pytest.approx(theirs, abs=apart, rel=1e-9)


def test_it_names_the_gpus_as_nvidia_smi_does() -> None:
    """Index, UUID, name, driver and VBIOS."""
    theirs = smi("index", "uuid", "name", "driver_version", "vbios_version")
    infos = [dict(each.labels) for each in read(GpuSettings()).samples if each.name == "gpu_info"]
    ours = [(each["gpu"], each["uuid"], each["name"], each["driver_version"], each["vbios_version"]) for each in infos]
    assert ours == [tuple(each.values()) for each in theirs]


def test_a_recording_of_it_plays_the_same_series(tmp_path: Path) -> None:
    """scripts/record-gpu leaves nothing out that the sidecar reads, and nothing that names the board."""
    done = subprocess.run((sys.executable, RECORD), capture_output=True, text=True, check=True)
    (tmp_path / "machine.txt").write_text(done.stdout)
    assert names(read(GpuSettings(machine=tmp_path / "machine.txt"))) == names(read(GpuSettings()))
    assert [each["uuid"] for each in smi("uuid") if each["uuid"] in done.stdout] == []


def test_reading_it_once_a_second_costs_little() -> None:
    """Two minutes of readings, with the rows that are asked every 10 and 60 s."""
    assert cpu_seconds(120) < CPU_SECONDS_A_GPU * len(smi("index"))
