"""XID errors are heard as they happen, through the real pynvml and a thread of our own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator

import pytest

from standins.nvml import MACHINES, StandInNvml, library_of_this_process
from vllm_vigil.clock import CrankedClock
from vllm_vigil.model import Reading, labels
from vllm_vigil.sources.nvml import Nvml
from vllm_vigil.sources.nvml_events import NvmlEvents
from vllm_vigil.sources.settings import GpuSettings
from vllm_vigil.units import Seconds

Scene = Callable[[Nvml, NvmlEvents, CrankedClock], Awaitable[None]]


@pytest.fixture
def machine() -> Iterator[StandInNvml]:
    """A machine with one good GPU on which nothing has happened."""
    library = library_of_this_process()
    library.set()
    yield library
    library.set()


def play(scene: Scene, timeout: float = 20.0) -> None:
    """Run a scene with both sources."""

    async def whole() -> None:
        clock = CrankedClock()
        source = Nvml(GpuSettings(timeout=Seconds(timeout)), clock)
        await scene(source, source.events(), clock)
        await source.close()

    asyncio.run(whole())


async def heard(events: NvmlEvents, series: str, xid: str, value: float, gpu: str = "0") -> Reading:
    """Read until the series has this value."""
    deadline = time.monotonic() + 60
    wanted = (series, labels(gpu=gpu, uuid=f"GPU-standin-{gpu}", xid=xid), value)
    while True:
        reading = await events.read()
        if wanted in {(sample.name, sample.labels, sample.value) for sample in reading.samples}:
            return reading
        assert time.monotonic() < deadline, reading
        await asyncio.sleep(0.01)


def test_an_xid_is_counted_and_its_time_kept(machine: StandInNvml) -> None:
    """The counter is born with the first event and grows with the next; the other GPU has none."""

    async def scene(source: Nvml, events: NvmlEvents, clock: CrankedClock) -> None:
        machine.set("count 2")
        await source.read()
        quiet = await events.read()
        assert ((), None) == (quiet.samples, quiet.error)
        machine.set("count 2\nevent.1 1 8 31")
        await heard(events, "gpu_xid_errors_total", "31", 1.0, gpu="1")
        at = clock.wall()
        await heard(events, "gpu_xid_last_seen_timestamp_seconds", "31", at, gpu="1")
        await clock.crank(60.0)
        machine.set("count 2\nevent.1 1 8 31\nevent.2 1 8 31\nevent.3 1 8 43")
        await heard(events, "gpu_xid_errors_total", "31", 2.0, gpu="1")
        await heard(events, "gpu_xid_errors_total", "43", 1.0, gpu="1")
        await heard(events, "gpu_xid_last_seen_timestamp_seconds", "31", at + 60.0, gpu="1")

    play(scene)


def test_the_first_reading_waits_until_nvml_was_begun(machine: StandInNvml) -> None:
    """Nobody is told at every start that NVML is not running, when it is about to."""

    async def scene(source: Nvml, events: NvmlEvents, _: CrankedClock) -> None:
        machine.set("count 2")
        early = asyncio.create_task(events.read())
        assert (await source.read()).error is None
        assert (await early).error is None

    play(scene)


def test_who_reads_is_woken_by_an_xid_and_when_the_watch_begins_or_ends(machine: StandInNvml) -> None:
    """So that nobody has to ask every second whether there is something."""

    async def scene(source: Nvml, events: NvmlEvents, _: CrankedClock) -> None:
        machine.set("count 2")
        early = asyncio.create_task(events.read())
        await asyncio.sleep(0)
        for change, told in (("", "begins"), ("event.1 0 8 31", "hears"), ("wait !999", "ends")):
            machine.set(f"count 2\n{change}")
            if told == "begins":
                await source.read()
            assert await asyncio.wait_for(events.news.wait(1.0), 20.0), told
        assert (await early).error is None
        assert {"31"} == {dict(each.labels)["xid"] for each in (await events.read()).samples}
        assert "the driver ended the watch" in str((await events.read()).error)

    play(scene)


def test_an_xid_is_heard_while_a_reading_hangs(machine: StandInNvml) -> None:
    """The GPU that fails is the one on which the next call does not return."""

    async def scene(source: Nvml, events: NvmlEvents, _: CrankedClock) -> None:
        while (await source.read()).error is not None:  # half a second can be short for the first one
            await asyncio.sleep(0.01)
        machine.set("hang 1\nevent.1 0 8 79")
        assert "the driver did not answer within 0.5s" == (await source.read()).error
        await heard(events, "gpu_xid_errors_total", "79", 1.0)
        machine.set()
        deadline = time.monotonic() + 60
        while (await source.read()).error is not None:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.01)

    play(scene, timeout=0.5)


def test_counts_outlive_a_new_start_of_nvml_and_the_watch_goes_on(machine: StandInNvml) -> None:
    """NVML ends, is silent, and is begun anew; the counter goes on from where it was."""

    async def scene(source: Nvml, events: NvmlEvents, clock: CrankedClock) -> None:
        await source.read()
        machine.set("event.1 0 8 13")
        await heard(events, "gpu_xid_errors_total", "13", 1.0)
        machine.set("event.1 0 8 13\ncount !1\ninit !9")
        await source.read()
        silent = await events.read()
        assert "NVML is not running" == silent.error
        assert {1.0, clock.wall()} == {sample.value for sample in silent.samples}
        machine.set("event.1 0 8 13")
        await clock.crank(60.0)
        assert (await source.read()).error is None
        machine.set("event.1 0 8 13\nevent.2 0 8 13")
        await heard(events, "gpu_xid_errors_total", "13", 2.0)

    play(scene)


def test_an_xid_that_comes_with_the_end_of_nvml_is_told_in_a_good_reading(machine: StandInNvml) -> None:
    """It would be lost otherwise: a reading with an error gives no series."""

    async def scene(source: Nvml, events: NvmlEvents, _: CrankedClock) -> None:
        await source.read()
        machine.set("event.1 0 8 79")
        deadline = time.monotonic() + 60
        while source._watch.heard.empty():
            assert time.monotonic() < deadline
            await asyncio.sleep(0.01)
        machine.set("event.1 0 8 79\ncount !1\ninit !9")
        await source.read()
        reading = await events.read()
        assert (None, 2) == (reading.error, len(reading.samples))
        assert "NVML is not running" == (await events.read()).error

    play(scene)


def test_a_watch_that_the_driver_ends_is_begun_anew(machine: StandInNvml) -> None:
    """The wait fails for all GPUs when one is lost; with the next start of NVML it works again."""

    async def scene(source: Nvml, events: NvmlEvents, clock: CrankedClock) -> None:
        await source.read()
        machine.set("wait !15")
        deadline = time.monotonic() + 60
        while (await events.read()).error is None:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.01)
        assert "the driver ended the watch for XID errors: GPU is lost" == (await events.read()).error
        machine.set()
        await clock.crank(60.0)
        assert (await source.read()).error is None
        assert (await events.read()).error is None

    play(scene)


def test_a_gpu_that_falls_off_the_bus_leaves_its_xid_and_the_other_gpu(machine: StandInNvml) -> None:
    """XID 79, and from then on no call on it: what remains on the page is the golden, byte for byte."""

    async def scene(source: Nvml, events: NvmlEvents, clock: CrankedClock) -> None:
        machine.set(machine="rtx3090x2")
        await source.read()
        machine.set("event.1 1 8 79\ngpu1 * !15", machine="rtx3090x2")
        reading = await source.read()
        assert "GPU 1 (GPU-00000000-0000-0000-0000-000000000002)" == reading.facts["lost"]
        deadline = time.monotonic() + 60
        while not (xids := await events.read()).samples:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.01)
        lines = [f"{sample.name}{dict(sample.labels)} {sample.value}" for sample in (*reading.samples, *xids.samples)]
        assert (MACHINES / "fault-xid-79.samples").read_text().splitlines() == lines
        assert clock.wall() == xids.samples[1].value

    play(scene)


def test_a_watch_that_the_driver_ends_again_and_again_is_begun_ever_less(machine: StandInNvml) -> None:
    """NVML is not restarted at every reading for it."""

    async def scene(source: Nvml, events: NvmlEvents, clock: CrankedClock) -> None:
        machine.set("wait !999")
        starts = 0
        watch = None
        for _ in range(60):
            assert (await source.read()).error is None
            if source._watch._wait is not watch:
                watch, starts = source._watch._wait, starts + 1
            deadline = time.monotonic() + 60
            while (await events.read()).error is None:
                assert time.monotonic() < deadline
                await asyncio.sleep(0.005)
            await clock.crank(1.0)
        assert 3 <= starts <= 8

    play(scene)


def test_gpus_without_events_are_said(machine: StandInNvml) -> None:
    """As under WSL or on a virtual GPU: everything else is read."""
    machine.set("gpu0 SupportedEventTypes !3")

    async def scene(source: Nvml, events: NvmlEvents, _: CrankedClock) -> None:
        assert (await source.read()).error is None
        assert "no GPU here reports XID errors to NVML" == (await events.read()).error

    play(scene)
