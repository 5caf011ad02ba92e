"""Every recorded machine and fault gives its exposition, byte for byte, through the real pynvml.

Goldens stand beside the recordings in tests/data/nvml. After a wanted change, and a look at what it changes:
PYTHONPATH=tests .venv/bin/python tests/sources/test_nvml_machines.py
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from standins.nvml import MACHINES, StandInNvml, library_of_this_process
from vllm_vigil.clock import CrankedClock
from vllm_vigil.model import Reading
from vllm_vigil.series.catalogue import SPECS
from vllm_vigil.series.normalise import normalise
from vllm_vigil.sources.nvml import Nvml
from vllm_vigil.sources.settings import GpuSettings
from vllm_vigil.units import Seconds

RECORDED = sorted(path.stem for path in MACHINES.glob("*.txt"))

FAULTS = {
    "lost": ("rtx3090x2", "gpu1 * !15"),
    "throttle": (
        "a10g",
        (
            "gpu0 CurrentClocksThrottleReasons 104\ngpu0 Field.270 45500000000\n"
            "gpu0 Temperature.0 96\ngpu0 ClockInfo.1 435"
        ),
    ),
    "function-missing": ("a10g", "gpu0 TotalEnergyConsumption !13\ngpu0 FieldValues !13"),
    "row-remap-failed": ("h200", "gpu0 RemappedRows 3 2 1 1\ngpu0 RowRemapperHistogram 3069 1 1 0 1\ngpu0 Field.230 4"),
    "mig-hidden": ("a100x8-mig", "count 1\ngpu0 MigDevices !4"),
}
"""Fault: machine, and what is different on it."""

OLD = (  # what drivers of the branch 450 do not have yet
    *("nvmlDeviceGetMemoryInfo_v2", "nvmlDeviceGetJpgUtilization", "nvmlDeviceGetOfaUtilization"),
    *(
        "nvmlDeviceGetGspFirmwareMode",
        "nvmlDeviceGetNumFans",
        "nvmlDeviceGetFanSpeed_v2",
        "nvmlDeviceGetMarginTemperature",
    ),
    *("nvmlDeviceGetC2cModeInfoV", "nvmlDeviceGetGpuMaxPcieLinkGeneration", "nvmlDeviceGetGpuFabricInfoV"),
    *("nvmlDeviceGetSramEccErrorStatus", "nvmlDeviceGetRowRemapperHistogram", "nvmlDeviceGetRepairStatus"),
    *("nvmlDeviceGetConfComputeProtectedMemoryUsage", "nvmlDeviceGetComputeRunningProcesses_v3"),
    *("nvmlDeviceGetGraphicsRunningProcesses_v3", "nvmlGpmQueryDeviceSupport", "nvmlEventSetWait_v2"),
)


def exposition(reading: Reading) -> str:
    """The series of a reading in the text format, in the order of the catalogue."""
    lines = []
    for series in normalise([reading]).snapshot.series.values():
        spec = SPECS[series.name]
        lines.append(f"# TYPE {series.name} {spec.kind}")
        for point in series.points:
            pairs = ",".join(f'{name}="{value}"' for name, value in point.labels)
            lines.append(f"{series.name}{{{pairs}}} {point.value!r}")
    return "\n".join((*lines, ""))


def second_reading(settings: GpuSettings | None = None) -> Reading:
    """What this process' machine says once activity is known."""

    async def whole() -> Reading:
        clock = CrankedClock()
        source = Nvml(settings or GpuSettings(), clock)
        await source.read()
        await clock.crank(10.0)
        reading = await source.read()
        await source.close()
        return reading

    return asyncio.run(whole())


def of_machine(machine: str, changes: str = "", settings: GpuSettings | None = None) -> str:
    """The exposition of a recorded machine with these changes."""
    library = library_of_this_process()
    library.set(changes, machine)
    text = exposition(second_reading(settings))
    library.set()
    return text


def of_old_driver(directory: Path, machine: str = "a10g") -> str:
    """The exposition in a process whose library lacks what old drivers lack."""
    library = StandInNvml(directory)
    library.build(without=OLD)
    library.set(machine=machine)
    program = "from test_nvml_machines import *; print(exposition(second_reading()), end='')"
    paths = os.pathsep.join(str(path) for path in (Path(__file__).parent, Path(__file__).parents[1]))
    environment = os.environ | {"LD_LIBRARY_PATH": str(directory), "PYTHONPATH": paths}
    done = subprocess.run((sys.executable, "-c", program), env=environment, capture_output=True, text=True, check=True)
    return done.stdout


def golden(name: str) -> str:
    """What was found right."""
    return (MACHINES / f"{name}.metrics").read_text()


@pytest.mark.parametrize("machine", RECORDED)
def test_a_recorded_machine_gives_its_exposition(machine: str) -> None:
    """Every series of every GPU, byte for byte."""
    assert golden(machine) == of_machine(machine)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_takes_from_the_exposition_what_it_breaks_and_nothing_else(fault: str) -> None:
    """A lost GPU, a throttled one, a missing function, rows that cannot be remapped, instances that may not be seen."""
    assert golden(f"fault-{fault}") == of_machine(*FAULTS[fault])


def test_an_old_driver_gives_what_it_knows(tmp_path: Path) -> None:
    """Functions that are not in the library cost their rows; memory is told in the first NVML's semantics."""
    text = of_old_driver(tmp_path)
    assert golden("fault-driver-too-old") == text
    assert "gpu_memory_used_bytes" in text
    assert "gpu_memory_reserved_bytes" not in text


def test_a_machine_whose_calls_hang_gives_nothing() -> None:
    """No number is made up for it."""
    library = library_of_this_process()
    library.set("hang 1", "a10g")
    reading = second_reading(GpuSettings(timeout=Seconds(0.2)))
    library.set()
    assert ("", "still waiting for a call of the driver that has not returned") == (exposition(reading), reading.error)


def test_what_is_asked_for_is_added() -> None:
    """The serial number and the dear kind of PCIe traffic are behind settings."""
    plain, asked = of_machine("a10g"), of_machine("a10g", settings=GpuSettings(serial=True, pcie_throughput=True))
    assert ('serial="' in plain, 'serial="0000000000000"' in asked) == (False, True)
    assert "gpu_pcie_throughput_bytes_per_second" not in plain
    assert 'direction="tx",gpu="0",uuid="GPU-00000000-0000-0000-0000-000000000001"} 12582912.0' in asked


def test_mig_that_is_switched_on_under_us_is_seen_within_ten_seconds() -> None:
    """What a GPU in MIG mode cannot tell goes, its instances come; and the other way round."""
    library = library_of_this_process()
    off, on = "count 1\ngpu0 MigMode 0 0\ngpu0 UtilizationRates 50 10", "count 1"

    async def whole() -> None:
        clock = CrankedClock()
        source = Nvml(GpuSettings(), clock)
        for changes, expected in ((off, False), (on, True), (off, False)):
            library.set(changes, "a100x8-mig")
            await clock.crank(10.0)
            names = {sample.name for sample in (await source.read()).samples}
            assert (expected, not expected) == ("gpu_mig_info" in names, "gpu_utilization_ratio" in names)
        await source.close()

    asyncio.run(whole())
    library.set()


EXCHANGE = """
import asyncio, sys
from pathlib import Path
from vllm_vigil.clock import CrankedClock
from vllm_vigil.sources.nvml import Nvml
from vllm_vigil.sources.settings import GpuSettings

async def main(new, library):
    clock = CrankedClock()
    source = Nvml(GpuSettings(), clock)
    print((await source.read()).error)
    new.replace(library)
    await clock.crank(60.0)
    reading = await source.read()
    print(reading.error, reading.facts)
    await source.close()

asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2])))
"""


def test_a_driver_that_is_upgraded_under_us_is_found_without_a_restart(tmp_path: Path) -> None:
    """The library on the disk is exchanged; the one in memory, which no longer fits the kernel, is let go."""
    (tmp_path / "old").mkdir()
    (tmp_path / "new").mkdir()
    old, new = StandInNvml(tmp_path / "old"), StandInNvml(tmp_path / "new")
    old.build()
    old.set("init !18")
    new.build()
    libraries = [str(each.directory / "libnvidia-ml.so.1") for each in (new, old)]
    environment = os.environ | {"LD_LIBRARY_PATH": str(old.directory)}
    done = subprocess.run(
        (sys.executable, "-c", EXCHANGE, *libraries), env=environment, capture_output=True, text=True, check=True
    )
    first, second = done.stdout.splitlines()
    assert "differ in version" in first
    assert "None {'gpus': '1'}" == second


def write_goldens() -> None:
    """Take what comes out now for right; look at the difference before you commit it."""
    import tempfile  # noqa: PLC0415  # not for the tests

    for machine in RECORDED:
        (MACHINES / f"{machine}.metrics").write_text(of_machine(machine))
    for fault, (machine, changes) in FAULTS.items():
        (MACHINES / f"fault-{fault}.metrics").write_text(of_machine(machine, changes))
    with tempfile.TemporaryDirectory() as directory:
        (MACHINES / "fault-driver-too-old.metrics").write_text(of_old_driver(Path(directory)))


if __name__ == "__main__":
    write_goldens()
