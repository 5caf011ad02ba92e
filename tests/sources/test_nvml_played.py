"""A played machine file gives what the same machine gives through the real pynvml and a library in C, byte for byte."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from standins.nvml import MACHINES
from standins.program import until
from vllm_vigil.clock import CrankedClock
from vllm_vigil.model import Reading
from vllm_vigil.series.catalogue import SPECS
from vllm_vigil.series.normalise import normalise
from vllm_vigil.sources.nvml import Nvml
from vllm_vigil.sources.settings import GpuSettings

PLAYED = sorted(path.stem for path in MACHINES.glob("*.txt") if "mig" not in path.stem and path.stem != "peer-series")


def exposition(reading: Reading) -> str:
    """The series of a reading in the text format."""
    lines = []
    for series in normalise([reading]).snapshot.series.values():
        lines.append(f"# TYPE {series.name} {SPECS[series.name].kind}")
        for point in series.points:
            pairs = ",".join(f'{name}="{value}"' for name, value in point.labels)
            lines.append(f"{series.name}{{{pairs}}} {point.value!r}")
    return "\n".join((*lines, ""))


def add(machine: Path, lines: str) -> None:
    """Add lines to a machine file."""
    if lines:
        machine.write_text(machine.read_text() + lines)


def readings(machine: Path, *changes: str) -> list[Reading]:
    """What is read of a machine, each time after these lines have been added to its file."""

    async def all_of_them() -> list[Reading]:
        clock = CrankedClock()
        source = Nvml(GpuSettings(machine=machine), clock)
        found = []
        for change in changes:
            add(machine, change)
            found.append(await source.read())
            await clock.crank(10.0)
        await source.close()
        return found

    return asyncio.run(all_of_them())


@pytest.mark.parametrize("machine", PLAYED)
def test_it_plays_what_was_recorded(machine: str) -> None:
    """Every series of every recorded machine without MIG instances, against the golden of the library in C."""
    assert (MACHINES / f"{machine}.metrics").read_text() == exposition(readings(MACHINES / f"{machine}.txt", "", "")[1])


def test_a_gpu_that_is_lost_loses_its_series_alone(tmp_path: Path) -> None:
    """Through the same tiers as with a driver."""
    machine = tmp_path / "machine.txt"
    machine.write_text((MACHINES / "rtx3090x2.txt").read_text())
    before, after = readings(machine, "", "gpu1 * !15\n")
    assert ("2", None) == (before.facts["gpus"], before.facts.get("lost"))
    assert "1" == after.facts["gpus"]
    assert after.facts["lost"].startswith("GPU 1 ")


def test_without_its_file_there_is_no_driver(tmp_path: Path) -> None:
    """An error in the words of the tiers, and no series."""
    (reading,) = readings(tmp_path / "nowhere.txt", "")
    assert "libnvidia-ml.so.1 not found" in str(reading.error)


def test_an_event_in_the_file_is_an_xid(tmp_path: Path) -> None:
    """It is heard through the watch, counted once, and those that stood there before are not."""
    machine = tmp_path / "machine.txt"
    machine.write_text((MACHINES / "rtx3090x2.txt").read_text() + "event.1 0 8 13\n")

    async def heard() -> list[tuple[str, float]]:
        source = Nvml(GpuSettings(machine=machine), CrankedClock())
        events = source.events()
        await source.read()
        add(machine, "event.2 1 8 79\n")
        until(60, "the watch has heard of it", lambda: not source._watch.heard.empty())
        reading = await events.read()
        await source.close()
        return [(dict(sample.labels)["xid"], sample.value) for sample in reading.samples if "total" in sample.name]

    assert [("79", 1.0)] == asyncio.run(heard())


def test_nothing_of_it_reaches_a_driver() -> None:
    """A call that is not played is missing, as in an older library."""
    nvml = Nvml(GpuSettings(machine=Path("machine.txt")), CrankedClock())._driver._nvml
    with pytest.raises(AttributeError, match="nvmlUnitGetCount"):
        nvml.nvmlUnitGetCount()
