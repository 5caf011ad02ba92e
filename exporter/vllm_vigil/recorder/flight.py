"""The recorder at work: a tick and a record go in, an incident freezes what there is, a bundle and a chart come out.

Promise: neither tick nor page waits for a disk. Freezing copies arrays in memory; writing is done by one worker, the
chart by a short-lived process of its own beside the daemon, with a deadline. A disk that is full costs the bundle and
is said once. Nothing here is needed for a page to go out.
"""

from __future__ import annotations

import asyncio
import importlib.util
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from loguru import logger

from vllm_vigil.clock import Clock, Waker
from vllm_vigil.model import EngineHealth, Incident, Point, Record, Snapshot
from vllm_vigil.recorder import bundle
from vllm_vigil.recorder.bundle import CHART, DOCUMENT, Frozen
from vllm_vigil.recorder.ring import Ring
from vllm_vigil.recorder.settings import RecorderSettings
from vllm_vigil.recorder.tail import Tail
from vllm_vigil.recorder.tracks import Taker
from vllm_vigil.telemetry import Telemetry
from vllm_vigil.worker import Worker

WRITE_SECONDS = 60.0
DRAW_SECONDS = 30.0  # on a machine that is busy with the crash; no page waits for so long (see `chart`)
WAITING = 5
"""Bundles that wait to be written; in a storm the first ones say it all."""
PAUSE_SECONDS = 3600.0
T = TypeVar("T")
DRAWING = (sys.executable, "-P", "-m", "vllm_vigil.recorder.draw")
"""-P: whatever lies in the working directory is no module of ours."""


class Flight:
    """The ring, the tail, and the bundles in `directory`."""

    def __init__(self, settings: RecorderSettings, directory: Path, clock: Clock, telemetry: Telemetry) -> None:
        self.settings = settings
        self.directory = directory / bundle.DIRECTORY
        self.ring = Ring()
        self.tail = Tail()
        self._taker = Taker()
        self._clock = clock
        self._telemetry = telemetry
        self._worker = Worker("bundles")
        self._waker = Waker(clock)
        self._waiting: deque[Frozen] = deque()
        self._known: set[str] = set()
        self._charts: dict[str, Path] = {}
        self._drawing: dict[str, asyncio.Future[None]] = {}
        self._trouble = ""
        self._held: Sequence[Point] = ()
        self._gpus: dict[str, frozenset[str]] = {}
        telemetry.recordings_known()

    # --- what comes in

    def tick(self, snapshot: Snapshot, engines: Iterable[EngineHealth]) -> None:
        """Note a moment."""
        if self.settings.enabled:
            self.ring.put(self._taker.take(snapshot, engines), self._clock.wall())
            held = snapshot.points("gpu_process_memory_bytes")
            if held and held != self._held:
                self._held, self._gpus = held, {**self._gpus, **gpus_of(held)}

    def hear(self, record: Record) -> None:
        """Note a log record."""
        if self.settings.enabled:
            self.tail.hear(record)

    def freeze(self, incident: Incident) -> None:
        """Keep what led to an incident that has just opened; at once, in memory."""
        if not self.settings.enabled or bundle.place(self.directory, incident.key) is None:
            return
        if len(self._waiting) >= WAITING:
            self._telemetry.recorded("skipped")
            return
        gpus, records = self._gpus.get(incident.server, frozenset()), self.tail.copy(incident.server)
        self._waiting.append(Frozen(incident, self._clock.wall(), self.ring.copy(), records, gpus))
        if self.draws:
            self._drawing[incident.key] = asyncio.get_running_loop().create_future()
        self._waker.wake()

    # --- what is known of it

    def path(self, key: str) -> Path | None:
        """Where the bundle of an incident stands; None if it has none, or none yet: the first page does not wait."""
        return bundle.place(self.directory, key) if key in self._known else None

    async def chart(self, key: str, seconds: float) -> Path | None:
        """The chart of an incident once it is drawn, or None: there is none, or it takes longer than that."""
        drawn = self._drawing.get(key)
        if drawn is not None:
            await asyncio.wait({drawn}, timeout=seconds)
        return self._charts.get(key)

    # --- the work

    async def run(self) -> None:
        """Write what was frozen, one after the other, until cancelled."""
        self._known |= {each.name for each in await self._call(partial(bundle.kept, self.directory))}
        while True:
            if self._waiting:
                await self._write(self._waiting[0])
                self._waiting.popleft()
            else:
                await self._waker.wait(PAUSE_SECONDS)

    async def close(self, seconds: float) -> None:
        """After `run` was cancelled: write what still waits, in bounded time and without charts."""
        while self._waiting and not self._worker.busy:
            frozen = self._waiting.popleft()
            try:
                await self._worker.run(partial(bundle.write, self.directory, frozen), seconds)
            except (OSError, TimeoutError):
                return

    async def _write(self, frozen: Frozen) -> None:
        key = frozen.incident.key
        try:
            written = await self._call(partial(bundle.write, self.directory, frozen))
            self._known.add(key)
            self._forget(await self._call(self._prune))
            self._tell(written)
            chart = await self._call(partial(draw, written)) if key in self._drawing else None
            if chart is not None:
                self._charts[key] = chart
        except (OSError, TimeoutError) as error:
            self._tell_trouble(str(error) or "the disk does not answer")
        finally:
            drawing = self._drawing.pop(key, None)
            if drawing is not None and not drawing.done():
                drawing.set_result(None)

    async def _call(self, call: Callable[[], T]) -> T:
        """In the worker, after what an earlier round left there; a call that hangs keeps it, and us, for good."""
        while self._worker.busy:
            await self._clock.sleep(1.0)
        return await self._worker.run(call, WRITE_SECONDS)

    def _forget(self, gone: list[Path]) -> None:
        for each in gone:
            self._known.discard(each.name)
            self._charts.pop(each.name, None)

    @property
    def draws(self) -> bool:
        """Whether charts are wanted and can be drawn: the library is looked for and not imported."""
        return self.settings.chart and importlib.util.find_spec("PIL") is not None

    def _prune(self) -> list[Path]:
        return bundle.prune(self.directory, self.settings.bundles, self.settings.size)

    def _tell(self, written: Path) -> None:
        self._telemetry.recorded("written")
        logger.info("what led to the incident is kept in {}", written)
        self._trouble = ""

    def _tell_trouble(self, why: str) -> None:
        self._telemetry.recorded("failed")
        if not self._trouble:
            logger.error("cannot keep what led to an incident: {}; pages go out without it", why)
        self._trouble = why


def gpus_of(held: Iterable[Point]) -> dict[str, frozenset[str]]:
    """The GPUs of each server, from who holds memory on which; a server that is gone keeps those that it had."""
    found: dict[str, set[str]] = {}
    for point in held:
        known = dict(point.labels)
        if known.get("server"):
            found.setdefault(known["server"], set()).add(known.get("gpu", ""))
    return {server: frozenset(gpus) for server, gpus in found.items()}


def draw(written: Path) -> Path | None:
    """Have the chart of a bundle drawn, by a process that may fail or take too long; None then. Blocks."""
    chart = written / CHART
    try:
        done = subprocess.run(  # noqa: S603  # our own program and our own paths
            (*DRAWING, str(written / DOCUMENT), str(chart)),
            timeout=DRAW_SECONDS,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        logger.warning("the chart of {} was not drawn: {}", written.name, type(error).__name__)
        return None
    if done.returncode != 0 or not chart.is_file():
        logger.warning("the chart of {} was not drawn: its process ended with {}", written.name, done.returncode)
        return None
    return chart
