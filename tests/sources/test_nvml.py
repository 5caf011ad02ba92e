"""The GPUs become a Reading through the real pynvml, on a stand-in library of our own C."""

from __future__ import annotations

import asyncio
import itertools
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from loguru import logger

from standins.nvml import NAME, StandInNvml, library_of_this_process
from vllm_vigil.clock import CrankedClock, RealClock
from vllm_vigil.model import Reading, labels
from vllm_vigil.series.gpu import GPU_SPECS
from vllm_vigil.series.normalise import normalise
from vllm_vigil.sources.nvml import BACKOFF_LIMIT_SECONDS, Nvml
from vllm_vigil.sources.settings import GpuSettings
from vllm_vigil.units import Seconds

FIRST = {"gpu": "0", "uuid": "GPU-standin-0"}
SECOND = {"gpu": "1", "uuid": "GPU-standin-1"}
NOT_ON_THE_PLAIN_MACHINE = {"gpu_repair_pending", "gpu_xid_errors_total", "gpu_xid_last_seen_timestamp_seconds"}
ROWS = sorted({spec.name for spec in GPU_SPECS if not spec.name.startswith("gpu_mig_")} - NOT_ON_THE_PLAIN_MACHINE)


@pytest.fixture
def machine() -> Iterator[StandInNvml]:
    """A machine with one good GPU, until the test says otherwise; no call hangs on after it."""
    library = library_of_this_process()
    library.set()
    yield library
    library.set()


@pytest.fixture
def said() -> Iterator[list[str]]:
    """What is logged at INFO and above."""
    lines: list[str] = []
    sink = logger.add(lambda message: lines.append(message.record["message"]), level="INFO")
    yield lines
    logger.remove(sink)


def play(scene: Callable[[Nvml, CrankedClock], Awaitable[None]], timeout: float = 20.0) -> None:
    """Run a scene with a source whose clock the test cranks."""

    async def whole() -> None:
        clock = CrankedClock()
        source = Nvml(GpuSettings(timeout=Seconds(timeout)), clock)
        await scene(source, clock)
        await source.close()

    asyncio.run(whole())


def value(reading: Reading, series: str, /, **pairs: str) -> float | None:
    """The one sample of this name and these labels, None if there is none."""
    wanted = labels(**pairs)
    found = [sample.value for sample in reading.samples if (sample.name, sample.labels) == (series, wanted)]
    assert len(found) < 2
    return found[0] if found else None


def gpus_in(reading: Reading) -> set[str]:
    """Indexes of the GPUs that have samples."""
    return {dict(sample.labels)["gpu"] for sample in reading.samples}


# --- good answers


def test_two_gpus_give_every_row_each(machine: StandInNvml) -> None:
    """Every row of the table has its samples for both, and all of them become series."""
    machine.set("count 2")

    async def scene(source: Nvml, clock: CrankedClock) -> None:
        await source.read()
        await clock.crank(3.0)
        reading = await source.read()  # by then activity is known
        assert (None, "nvml", "") == (reading.error, reading.source, reading.server)
        assert {"gpus": "2"} == reading.facts
        for index in ("0", "1"):
            assert ROWS == sorted({s.name for s in reading.samples if dict(s.labels)["gpu"] == index})
        result = normalise([reading])
        assert {} == result.dropped
        assert ROWS == sorted(result.snapshot.series)

    play(scene)


def test_numbers_come_out_in_base_units(machine: StandInNvml) -> None:
    """Milliwatts, millijoules, megahertz and percent become watts, joules, hertz and ratios."""
    machine.set("gpu0 UtilizationRates 37 20")

    async def scene(source: Nvml, _: CrankedClock) -> None:
        reading = await source.read()
        expected = {
            ("gpu_utilization_ratio", ()): 0.37,
            ("gpu_memory_utilization_ratio", ()): 0.2,
            ("gpu_memory_used_bytes", ()): 30.0 * 2**30,
            ("gpu_memory_reserved_bytes", ()): 1.0 * 2**30,
            ("gpu_memory_free_bytes", ()): 49.0 * 2**30,
            ("gpu_memory_total_bytes", ()): 80.0 * 2**30,
            ("gpu_temperature_celsius", (("sensor", "gpu"),)): 55.0,
            ("gpu_temperature_celsius", (("sensor", "memory"),)): 70.0,
            ("gpu_power_watts", ()): 300.5,
            ("gpu_power_limit_watts", ()): 700.0,
            ("gpu_energy_joules_total", ()): 5000.25,
            ("gpu_clock_hertz", (("clock", "graphics"),)): 1.0e9,
            ("gpu_clock_hertz", (("clock", "sm"),)): 1.1e9,
            ("gpu_clock_hertz", (("clock", "memory"),)): 1.2e9,
            ("gpu_clock_hertz", (("clock", "video"),)): 1.3e9,
            ("gpu_pcie_link_generation", ()): 4.0,
            ("gpu_pcie_link_generation_max", ()): 5.0,
            ("gpu_pcie_link_width_lanes", ()): 16.0,
        }
        assert expected == {key: value(reading, key[0], **FIRST, **dict(key[1])) for key in expected}

    play(scene)


def test_the_info_names_the_gpu_and_its_driver(machine: StandInNvml) -> None:
    """Name, versions and PCI address are labels, as text."""

    async def scene(source: Nvml, _: CrankedClock) -> None:
        info = {
            "name": "NVIDIA Stand-in",
            "driver_version": "570.1.standin",
            "cuda_version": "12.8",
            "compute_capability": "9.0",
            "vbios_version": "96.00.00.00.01",
            "pci_bus_id": "00000000:01:00.0",
        }
        assert 1.0 == value(await source.read(), "gpu_info", **FIRST, **info)

    machine.set("cuda 12080")
    play(scene)


def test_each_throttle_reason_is_its_own_flag(machine: StandInNvml) -> None:
    """A GPU that is hot and over its power cap says both; idleness is no throttling."""
    machine.set(f"gpu0 CurrentClocksThrottleReasons {0x1 | 0x4 | 0x40}")

    async def scene(source: Nvml, _: CrankedClock) -> None:
        samples = [sample for sample in (await source.read()).samples if sample.name == "gpu_throttle_active"]
        assert len(samples) == 8
        assert {"sw_power_cap", "hw_thermal_slowdown"} == {dict(s.labels)["reason"] for s in samples if s.value}

    play(scene)


# --- never


@pytest.mark.parametrize("code", [3, 13], ids=["not supported", "function not found"])
def test_what_a_gpu_cannot_tell_is_absent_and_not_asked_again(machine: StandInNvml, code: int) -> None:
    """The row is gone for that GPU and stays gone; its neighbour row and the other GPU keep it."""
    machine.set(f"count 2\ngpu0 Field.82 !{code}")

    async def scene(source: Nvml, _: CrankedClock) -> None:
        first = await source.read()
        machine.set("count 2")
        again = await source.read()
        for reading in (first, again):
            assert reading.error is None
            assert value(reading, "gpu_temperature_celsius", **FIRST, sensor="memory") is None
            assert 55.0 == value(reading, "gpu_temperature_celsius", **FIRST, sensor="gpu")
            assert 70.0 == value(reading, "gpu_temperature_celsius", **SECOND, sensor="memory")

    play(scene)


def test_a_call_that_fails_now_is_asked_again(machine: StandInNvml) -> None:
    """An unknown error costs the row this reading and no more."""
    machine.set("gpu0 PowerUsage !999")

    async def scene(source: Nvml, _: CrankedClock) -> None:
        reading = await source.read()
        assert (None, None) == (reading.error, value(reading, "gpu_power_watts", **FIRST))
        assert 700.0 == value(reading, "gpu_power_limit_watts", **FIRST)
        machine.set()
        assert 300.5 == value(await source.read(), "gpu_power_watts", **FIRST)

    play(scene)


def test_a_field_that_fails_now_is_asked_again(machine: StandInNvml) -> None:
    """Also when it then says what it said before: what is the same is skipped, but not what was gone."""
    machine.set("gpu0 Field.185 300500")

    async def scene(source: Nvml, clock: CrankedClock) -> None:
        for code, watts in (("", 300.5), ("!999", None), ("", 300.5)):
            machine.set(f"gpu0 Field.185 {code or 300500}")
            assert watts == value(await source.read(), "gpu_power_average_watts", **FIRST)
            await clock.crank(1.0)

    play(scene)


def test_numbers_that_move_are_followed(machine: StandInNvml) -> None:
    """Of calls and fields, GPU by GPU."""
    machine.set("count 2\ngpu* PowerUsage ~1000\ngpu* Field.185 ~1000")

    async def scene(source: Nvml, clock: CrankedClock) -> None:
        seen = []
        await source.read()
        for _ in range(3):
            await clock.crank(1.0)
            reading = await source.read()
            seen.append([value(reading, f"gpu_power{kind}_watts", **SECOND) for kind in ("", "_average")])
        for one, two in itertools.pairwise(seen):
            assert all(before != after for before, after in zip(one, two, strict=True))

    play(scene)


def test_activity_comes_after_two_seconds_and_then_every_10_seconds(machine: StandInNvml) -> None:
    """One sample says nothing, and two that are not far apart say it sooner; from then on the driver is spared."""
    machine.set("gpu* Gpm.1 ~10\ngpu* GpmSupport 1")

    async def scene(source: Nvml, clock: CrankedClock) -> None:
        seen = []
        for _ in range(22):
            reading = await source.read()
            seen.append(value(reading, "gpu_activity_ratio", **FIRST, part="graphics"))
            await clock.crank(1.0)
        assert ([None, None], False) == (seen[:2], None in seen[2:])
        assert [2, 8, 18] == [at for at in range(1, 22) if seen[at] != seen[at - 1]]

    play(scene)


# --- not now


@pytest.mark.parametrize("code", [15, 10, 16], ids=["lost", "timeout", "needs reset"])
def test_a_gpu_that_is_lost_takes_only_its_own_series_and_comes_back(
    machine: StandInNvml, said: list[str], code: int
) -> None:
    """The others go on, the facts name it, the log says it once, and it returns without a restart."""
    machine.set("count 2")

    async def scene(source: Nvml, clock: CrankedClock) -> None:
        assert {"0", "1"} == gpus_in(await source.read())
        machine.set(f"count 2\ngpu1 * !{code}")
        for _ in range(40):
            reading = await source.read()
            assert (None, {"0"}) == (reading.error, gpus_in(reading))
            assert {"gpus": "1", "lost": "GPU 1 (GPU-standin-1)"} == reading.facts
            await clock.crank(1.0)
        machine.set("count 2")
        reading = await source.read()
        assert ({"0", "1"}, {"gpus": "2"}) == (gpus_in(reading), reading.facts)

    play(scene)
    assert 2 == len(said)
    assert said[0].startswith("GPU 1 (GPU-standin-1) is not read: ")
    assert "GPU 1 (GPU-standin-1) is read again" == said[1]


def test_a_gpu_that_fails_half_way_gives_nothing(machine: StandInNvml) -> None:
    """A GPU lost in the middle of a sweep leaves no half of its series."""
    machine.set("count 2\ngpu1 PcieReplayCounter !15")

    async def scene(source: Nvml, _: CrankedClock) -> None:
        assert {"0"} == gpus_in(await source.read())

    play(scene)


def test_a_gpu_that_the_driver_shows_no_more_is_lost_and_the_others_keep_their_uuid(machine: StandInNvml) -> None:
    """Indexes move up when a GPU falls off the bus: the uuid says who is who."""
    machine.set("count 2")

    async def scene(source: Nvml, _: CrankedClock) -> None:
        await source.read()
        machine.set("count 1\ngpu0 UUID GPU-standin-1")
        reading = await source.read()
        assert {"gpus": "1", "lost": "GPU 0 (GPU-standin-0)"} == reading.facts
        assert 300.5 == value(reading, "gpu_power_watts", gpu="0", uuid="GPU-standin-1")

    play(scene)


def test_a_gpu_that_was_added_is_noticed(machine: StandInNvml) -> None:
    """The count is asked at every sweep."""

    async def scene(source: Nvml, _: CrankedClock) -> None:
        assert {"gpus": "1"} == (await source.read()).facts
        machine.set("count 3")
        assert {"gpus": "3"} == (await source.read()).facts

    play(scene)


def test_a_reading_fails_when_no_gpu_is_left(machine: StandInNvml) -> None:
    """With all GPUs lost the source is down, with the reason of each, in the same words every time."""

    async def scene(source: Nvml, clock: CrankedClock) -> None:
        await source.read()
        machine.set("gpu0 * !15")
        errors = set()
        for _ in range(5):
            reading = await source.read()
            errors.add(reading.error)
            assert {"gpus": "0", "lost": "GPU 0 (GPU-standin-0)"} == reading.facts
            await clock.crank(1.0)
        assert {"no GPU answers: GPU 0 (GPU-standin-0): GPU is lost"} == errors
        machine.set()
        await clock.crank(BACKOFF_LIMIT_SECONDS)
        assert (await source.read()).error is None

    play(scene)


def test_a_driver_without_gpus_is_said(machine: StandInNvml) -> None:
    """A count of 0 is no good reading."""
    machine.set("count 0")

    async def scene(source: Nvml, _: CrankedClock) -> None:
        assert "no GPU answers: the driver shows none" == (await source.read()).error

    play(scene)


# --- not here


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (9, "driver is not loaded"),
        (4, "no permission"),
        (18, "differ in version"),
        (999, "NVML cannot be started: Unknown Error"),
    ],
)
def test_a_driver_that_cannot_be_used_is_tried_again_with_a_backoff(
    machine: StandInNvml, code: int, reason: str
) -> None:
    """The reason is told at every reading; the driver is bothered ever less, and found within 30 s of its return."""
    machine.set(f"init !{code}")

    async def scene(source: Nvml, clock: CrankedClock) -> None:
        for _ in range(90):
            assert reason in ((await source.read()).error or "")
            await clock.crank(1.0)
        machine.set()
        waited = 0
        while (await source.read()).error is not None:
            await clock.crank(1.0)
            waited += 1
        assert 0 < waited <= BACKOFF_LIMIT_SECONDS

    play(scene)


def test_while_the_driver_is_left_alone_no_thread_is_asked(machine: StandInNvml) -> None:
    """Most hosts without a GPU never have one: to say so again is no work, and nothing to wait for."""
    machine.set("init !9")

    async def scene(source: Nvml, clock: CrankedClock) -> None:
        first = await source.read()
        machine.set()
        with pytest.raises(StopIteration) as ended:
            source.read().send(None)
        assert (first.error, first.at) == (ended.value.value.error, clock.monotonic())
        await clock.crank(BACKOFF_LIMIT_SECONDS)
        assert (await source.read()).error is None

    play(scene)


def test_a_driver_that_goes_away_under_us_is_begun_anew(machine: StandInNvml) -> None:
    """NVML that says it was never started is started again, without a restart of ours."""

    async def scene(source: Nvml, clock: CrankedClock) -> None:
        await source.read()
        machine.set("count !1")
        assert "NVML failed: Uninitialized" == (await source.read()).error
        machine.set()
        await clock.crank(1.0)
        assert (await source.read()).error is None

    play(scene)


def test_a_host_without_the_library_says_so(tmp_path: Path) -> None:
    """What most people see first who have no GPU is a sentence that tells them."""
    (tmp_path / NAME).write_bytes(b"")  # found first, and no library: as if there were none
    program = (
        "import asyncio; from vllm_vigil.clock import RealClock; "
        "from vllm_vigil.sources.nvml import Nvml; from vllm_vigil.sources.settings import GpuSettings; "
        "print(asyncio.run(Nvml(GpuSettings(), RealClock()).read()).error)"
    )
    done = subprocess.run(
        (sys.executable, "-c", program),
        env=os.environ | {"LD_LIBRARY_PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    expected = "libnvidia-ml.so.1 not found: no NVIDIA driver on this host, or not passed into this container"
    assert expected == done.stdout.strip()


# --- calls that do not return


def test_a_call_that_never_returns_fails_readings_and_the_source_comes_back_with_it(machine: StandInNvml) -> None:
    """The first reading meets the deadline, the next do not even ask, and release is recovery."""

    async def scene(source: Nvml, _: CrankedClock) -> None:
        await source.read()
        machine.set("hang 1")
        assert "the driver did not answer within 1s" == (await source.read()).error
        waiting = await source.read()
        assert "still waiting for a call of the driver that has not returned" == waiting.error
        machine.set()
        deadline = time.monotonic() + 60
        while (reading := await source.read()).error is not None:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.01)
        assert {"0"} == gpus_in(reading)

    play(scene, timeout=1.0)


def test_a_stuck_call_does_not_hold_up_the_end(machine: StandInNvml) -> None:
    """Closing while a call hangs returns at once."""
    machine.set("hang 1")

    async def whole() -> None:
        source = Nvml(GpuSettings(timeout=Seconds(0.1)), RealClock())
        await source.read()
        before = time.monotonic()
        await source.close()
        assert time.monotonic() - before < 30

    asyncio.run(whole())


# --- settings


def test_settings_that_cannot_work_are_named() -> None:
    """Each problem names its field; the defaults have none."""
    assert [] == list(GpuSettings().problems())
    bad = GpuSettings(interval=Seconds(2.0), timeout=Seconds(0.0), stale_after=Seconds(1.0))
    assert ["timeout", "stale_after"] == [field for field, _ in bad.problems()]
