"""An incident freezes what there is at once; disk, chart and their troubles come after, and keep nobody waiting."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from loguru import logger

from standins.flights import INCIDENT
from vllm_vigil.clock import CrankedClock
from vllm_vigil.model import EngineHealth, EngineState, Point, Record, Series, Snapshot, labels
from vllm_vigil.recorder import bundle, flight
from vllm_vigil.recorder.flight import WAITING, Flight
from vllm_vigil.recorder.settings import RecorderSettings
from vllm_vigil.telemetry import Telemetry

HEALTH = EngineHealth("llama", "0", "tiny", EngineState.HEALTHY, 0.0)
OK = (sys.executable, "-c", "import sys; open(sys.argv[2], 'wb').write(b'PNG')")
FAILS = (sys.executable, "-c", "raise SystemExit(3)")
HANGS = (sys.executable, "-c", "import time; time.sleep(60)")


def made(
    tmp_path: Path, clock: CrankedClock, telemetry: Telemetry, *, enabled: bool = True, chart: bool = True
) -> Flight:
    """A recorder with a minute in its ring."""
    recorder = Flight(RecorderSettings(enabled=enabled, chart=chart), tmp_path, clock, telemetry)
    for _ in range(60):
        recorder.tick(Snapshot(), [HEALTH])
    recorder.hear(Record("vllm.log", "ERROR", "no memory", server="llama", process="EngineCore"))
    return recorder


def at_work(recorder: Flight, acts: Callable[[], Awaitable[None]]) -> None:
    """The acts, while it writes."""

    async def play() -> None:
        work = asyncio.ensure_future(recorder.run())
        await acts()
        work.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await work
        await recorder.close(5.0)

    asyncio.run(play())


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a thread, with a deadline."""
    for _ in range(3000):
        if condition():
            return
        await asyncio.sleep(0.01)
    pytest.fail("it did not come to that in 30 s")


def count(telemetry: Telemetry, outcome: str) -> float:
    """How many ended so."""
    return telemetry.registry.get_sample_value("vigil_recordings_total", {"outcome": outcome}) or 0.0


def test_an_incident_leaves_a_bundle_and_a_chart(
    tmp_path: Path, clock: CrankedClock, telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its path is known once it is written and not before, and the chart to whoever waits for it."""
    monkeypatch.setattr(flight, "DRAWING", OK)
    recorder = made(tmp_path, clock, telemetry)

    async def acts() -> None:
        assert recorder.path(INCIDENT.key) is None
        recorder.freeze(INCIDENT)
        assert recorder.path(INCIDENT.key) is None
        waiting = asyncio.ensure_future(recorder.chart(INCIDENT.key, 1e9))
        await until(waiting.done)
        assert await waiting == tmp_path / "bundles" / INCIDENT.key / "chart.png"
        assert recorder.path(INCIDENT.key) == tmp_path / "bundles" / INCIDENT.key
        assert await recorder.chart(INCIDENT.key, 0.0) is not None
        assert await recorder.chart("vigil-other", 0.0) is None

    at_work(recorder, acts)
    document = bundle.read(tmp_path / "bundles", INCIDENT.key)
    assert document is not None
    assert len(document["times"]) == 60
    assert document["records"]["llama EngineCore"][0][1] == "ERROR no memory"
    assert count(telemetry, "written") == 1


@pytest.mark.parametrize("program", [FAILS, HANGS])
def test_a_chart_that_fails_or_hangs_costs_the_chart(
    tmp_path: Path, clock: CrankedClock, telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch, program: tuple[str, ...]
) -> None:
    """The bundle is there, and whoever waits goes on without."""
    monkeypatch.setattr(flight, "DRAWING", program)
    monkeypatch.setattr(flight, "DRAW_SECONDS", 0.5)
    recorder = made(tmp_path, clock, telemetry)

    async def acts() -> None:
        recorder.freeze(INCIDENT)
        waiting = asyncio.ensure_future(recorder.chart(INCIDENT.key, 1e9))
        await until(waiting.done)
        assert await waiting is None

    at_work(recorder, acts)
    assert bundle.read(tmp_path / "bundles", INCIDENT.key) is not None


def test_a_page_does_not_wait_longer_than_it_said(tmp_path: Path, clock: CrankedClock, telemetry: Telemetry) -> None:
    """While nothing is written at all."""
    recorder = made(tmp_path, clock, telemetry)

    async def acts() -> None:
        recorder.freeze(INCIDENT)
        assert await recorder.chart(INCIDENT.key, 0.01) is None

    asyncio.run(acts())


def test_a_disk_that_takes_nothing_is_said_once_and_harms_nobody(
    tmp_path: Path, clock: CrankedClock, telemetry: Telemetry
) -> None:
    """Three incidents, one error; the next good one ends it."""
    recorder = made(tmp_path, clock, telemetry, chart=False)
    said: list[object] = []
    sink = logger.add(said.append, level="ERROR")
    directory = tmp_path / "bundles"
    directory.write_text("a file where the directory should be")

    async def acts() -> None:
        for number in range(3):
            recorder.freeze(replace(INCIDENT, key=f"vigil-{number}"))
            await until(lambda number=number: count(telemetry, "failed") == number + 1)  # type: ignore[misc]
            assert recorder.path(f"vigil-{number}") is None
        directory.unlink()
        recorder.freeze(replace(INCIDENT, key="vigil-9"))
        await until(lambda: count(telemetry, "written") == 1)

    at_work(recorder, acts)
    logger.remove(sink)
    assert len(said) == 1
    assert [each.name for each in directory.iterdir()] == ["vigil-9"]


def test_a_storm_keeps_the_first_ones(tmp_path: Path, clock: CrankedClock, telemetry: Telemetry) -> None:
    """Freezing copies memory: there are never more copies than a few."""
    recorder = made(tmp_path, clock, telemetry, chart=False)

    async def acts() -> None:
        for number in range(50):
            recorder.freeze(replace(INCIDENT, key=f"vigil-{number}"))
        assert count(telemetry, "skipped") == 50 - WAITING
        await until(lambda: count(telemetry, "written") == WAITING)

    at_work(recorder, acts)


def test_what_waits_at_the_end_is_written(tmp_path: Path, clock: CrankedClock, telemetry: Telemetry) -> None:
    """A stop just after the crash of what is watched is no reason to lose it; and a restart knows it."""
    recorder = made(tmp_path, clock, telemetry, chart=False)

    async def stop() -> None:
        recorder.freeze(INCIDENT)
        await recorder.close(5.0)

    asyncio.run(stop())
    again = made(tmp_path, clock, telemetry, chart=False)

    async def look() -> None:
        await until(lambda: again.path(INCIDENT.key) is not None)

    at_work(again, look)


def test_off_is_off(tmp_path: Path, clock: CrankedClock, telemetry: Telemetry) -> None:
    """Nothing is recorded, and nothing written."""
    recorder = made(tmp_path, clock, telemetry, enabled=False)
    recorder.freeze(INCIDENT)
    assert (len(recorder.ring), recorder.tail.copy(""), recorder.path(INCIDENT.key)) == (0, {}, None)


def test_without_the_library_there_is_no_chart_and_no_error(
    tmp_path: Path, clock: CrankedClock, telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The extra is an extra."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    assert not made(tmp_path, clock, telemetry).draws


def test_the_bundle_knows_the_server_s_gpus_also_after_its_processes_are_gone(
    tmp_path: Path, clock: CrankedClock, telemetry: Telemetry
) -> None:
    """A crash takes the processes away before the log is read."""
    recorder = made(tmp_path, clock, telemetry, chart=False)
    held = [("0", "llama"), ("1", "llama"), ("2", "other"), ("3", "")]
    points = tuple(Point(labels(gpu=gpu, uuid=f"GPU-{gpu}", server=server), 7e10) for gpu, server in held)
    for shown in (points, points[2:]):
        recorder.tick(Snapshot({"gpu_process_memory_bytes": Series("gpu_process_memory_bytes", shown)}), [HEALTH])

    async def acts() -> None:
        recorder.freeze(INCIDENT)
        await until(lambda: count(telemetry, "written") == 1)

    at_work(recorder, acts)
    document = bundle.read(tmp_path / "bundles", INCIDENT.key)
    assert document is not None
    assert document["gpus"] == ["0", "1"]
