"""Hours and days of the real sidecar in seconds: the demo's stage, the real pipeline, a clock that is cranked by hand.

Page text -> parse -> normalise -> verdict -> incidents -> outbox -> telemetry -> rendered /metrics, all of it the
sidecar's own (`app.round.Round`, with NVML played from the machine file and the host from a /proc tree). Only HTTP is
left out: a source hands the page to the parser directly. A day takes one to two minutes of one core
at 15 s a step, a third less where it is not scraped (`scrape_seconds=NEVER`).

    from standins.simulation import Simulation, backfill
    from standins.days import BAD_DAY, ordinary_day

    with Simulation(tmp_path, BAD_DAY, step_seconds=15) as simulation:
        for moment in simulation.moments():
            moment.at                 epoch seconds
            moment.scene              the Scene that is played (demo/script.py)
            moment.text               what GET /metrics answers (text 0.0.4), None while the sidecar is down
            moment.scraped            whether it was asked (`scrape_seconds` apart, else at every step)
            moment.snapshot           the series behind it, moment.engines the verdict on each engine
            moment.incidents          what is open, oldest first
            moment.notifications      what the channel `pager` is to be told now (reason FIRST, RESOLVED ...)

    backfill(tmp_path / "tsdb", Simulation(tmp_path / "work", ordinary_day()))    blocks for a real Prometheus:
    prometheus --storage.tsdb.path=tmp_path/tsdb --storage.tsdb.retention.time=10y ...

`scripts/backfill` does that from the command line. Samples carry job="vllm-vigil", instance="demo:9877", as a scrape
would add, and `up` is there too. Prometheus marks a series that a scrape no longer has as stale; text cannot: in
backfilled data it is seen for 5 minutes more.

Two servers: `chat` (engines 0 and 1 on GPUs 0 and 1) and `code` (engine 0 on GPUs 2 and 3).
"""

from __future__ import annotations

import asyncio
import math
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from vllm_vigil.app.round import Round
from vllm_vigil.clock import CrankedClock
from vllm_vigil.config.load import Recipe
from vllm_vigil.config.overlay import Given
from vllm_vigil.demo.processes import ProcTree
from vllm_vigil.demo.script import Scene
from vllm_vigil.demo.stage import Stage
from vllm_vigil.demo.vllm import Vllm
from vllm_vigil.exposition.metrics import Metrics
from vllm_vigil.model import EngineHealth, Incident, Notification, Outcome, Reading, Snapshot
from vllm_vigil.notifications.breaker import Breaker
from vllm_vigil.notifications.channel import Attempt
from vllm_vigil.notifications.message import Message
from vllm_vigil.notifications.sender import Sender
from vllm_vigil.series.catalogue import spec_of
from vllm_vigil.sources.page import Parser
from vllm_vigil.state.store import Store
from vllm_vigil.telemetry import Telemetry
from vllm_vigil.worker import Worker

T = TypeVar("T")

BEGUN = 1_780_012_800.0
"""2026-05-29, midnight: days begin where a person looks for them."""

HOUR, DAY = 3600.0, 86_400.0
BLOCK_SECONDS = 2 * HOUR
XID_SECONDS = 5.0
NEVER = math.inf
JOB, INSTANCE = "vllm-vigil", "demo:9877"
PORTS = {"chat": 8000, "code": 8001}
CONFIG = """\
vllm:
  - {{name: chat, url: "http://127.0.0.1:8000", interval: 1s, stale_after: 1h, logs: [{{path: {directory}/chat.log}}]}}
  - {{name: code, url: "http://127.0.0.1:8001", interval: 1s, stale_after: 1h, logs: [{{path: {directory}/code.log}}]}}
gpu: {{machine: {directory}/machine.txt, stale_after: 1h}}
host: {{proc: {directory}/proc, stale_after: 1h}}
zone: UTC
notify: {{channels: {{pager: {{url: "json://127.0.0.1:9"}}}}, routes: [{{match: {{}}, to: [pager]}}]}}
{more}
"""


@dataclass(frozen=True, slots=True)
class Moment:
    """What is to be seen of the sidecar at one step."""

    at: float
    scene: Scene
    scraped: bool
    text: str | None
    snapshot: Snapshot
    engines: tuple[EngineHealth, ...]
    incidents: tuple[Incident, ...]
    notifications: tuple[Notification, ...]


class Simulation:
    """One sidecar beside the stage. `more` is added to its configuration.

    `step_seconds` is the same for all scenes, or gives the steps of a scene (`close_then_coarse`).
    """

    def __init__(
        self,
        directory: Path,
        scenes: Iterable[Scene],
        *,
        begun: float = BEGUN,
        step_seconds: float | Callable[[Scene], Iterator[float]] = 15.0,
        seed: int = 7,
        more: str = "",
        scrape_seconds: float = 0.0,
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.step_seconds = step_seconds
        self.clock = CrankedClock(begun)
        self.stage = Stage(directory, seed, tells_each=True)
        self._scenes = scenes
        self._directory = directory
        self._more = more
        self._scrape_seconds = scrape_seconds
        self._due = begun
        self._runner = asyncio.Runner()
        self._processes = ProcTree(directory / "proc", PORTS)
        self._events = 0

    def __enter__(self) -> Self:
        directory = self._directory
        self._processes.begin()
        for name in PORTS:
            (directory / f"{name}.log").touch()
        self._show()
        (directory / "vigil.yaml").write_text(CONFIG.format(directory=directory, more=self._more))
        config = Recipe(directory / "vigil.yaml", Given("flag --{}"), {}).load().config
        self.store = Store.open(directory / "state")
        self._telemetry = Telemetry(self.clock)
        self._metrics = Metrics(spec_of, self._telemetry.families)
        self.round = self._runner.run(self._made(config))
        self._channel = PlayedChannel("pager")
        self._senders = [self._played(sender) for sender in self.round.senders.values()]
        self._runner.run(self._first_look())
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._runner.run(self.round.close())
        for sampler in self.round.metrics.samplers:
            self._runner.run(sampler.source.close())
        self.store.close()
        self._runner.close()

    def moments(self) -> Iterator[Moment]:
        """Play the scenes, and look at the sidecar after every step."""
        for scene in self._scenes:
            self.stage.enter(scene, self.clock.wall())
            for seconds in self._steps(scene):
                self.clock._advance(self.clock.monotonic() + seconds)
                self.stage.live(self.clock.wall(), seconds, scene)
                self._show(driver=scene.driver)
                if scene.watched:
                    self._runner.run(self._turn())
                yield self._moment(scene)

    def _steps(self, scene: Scene) -> Iterator[float]:
        step = self.step_seconds
        return step(scene) if callable(step) else steps(scene.seconds, step)

    # --- the sidecar's turn

    async def _made(self, config: object) -> Round:
        """The real parts; what would go over HTTP is taken from the stage instead."""
        made = Round(config, self.store, self.clock, self._telemetry)  # type: ignore[arg-type]
        for sampler in made.metrics.samplers:
            if sampler.source.source == "vllm":
                sampler.source = PlayedPage(self.stage.servers[sampler.source.server], self.clock)
            self._telemetry.source_expected(sampler.source.source, sampler.source.server)
            _work_here(sampler.source)
        _work_here(made.alerts)
        return made

    async def _first_look(self) -> None:
        """Before the first scene: what stands in the logs by now is old."""
        await self._turn()

    async def _turn(self) -> None:
        for sampler in self.round.metrics.samplers:
            if sampler.source.source == "nvml_events":
                await self._hear()
            await sampler.ask()
        while await self.round.alerts.step():
            pass
        self.round.metrics.tick()

    async def _hear(self) -> None:
        """The watch for XIDs has a thread of its own: wait until it has heard what the machine file tells."""
        events = len(self.stage.machine.events)
        watch = next(each.source for each in self.round.metrics.samplers if each.source.source == "nvml_events")
        deadline = time.monotonic() + XID_SECONDS
        while self._events < events and watch._watch.heard.qsize() < events - self._events:  # type: ignore[attr-defined]
            assert time.monotonic() < deadline, "an XID was not heard"
            await asyncio.sleep(0.005)
        self._events = events

    def _moment(self, scene: Scene) -> Moment:
        metrics = self.round.metrics
        text, now = None, self.clock.wall()
        scraped = now >= self._due - 1e-6
        if scraped:
            self._due = now + self._scrape_seconds
        if scraped and scene.watched:
            text = self._metrics.answer(metrics.snapshot, "text/plain", "").body.decode()
        told = tuple(self._told(scene)) if scene.watched else ()
        return Moment(
            now,
            scene,
            scraped,
            text,
            metrics.snapshot,
            metrics.engines,
            tuple(self.round.alerts.open()),
            told,
        )

    def _told(self, scene: Scene) -> Iterator[Notification]:
        """What waits for the channel is taken as delivered; once it has failed, the real sender tries and tries."""
        self._channel.heard = scene.heard
        if not scene.heard or self._channel.failed:
            self._runner.run(self._send())
            yield from self._channel.taken()
            return
        for notification, _ in self.store.rows.waiting():
            with self.store.transaction():
                self.store.rows.end(notification.id, self.clock.wall(), Outcome.DELIVERED, "")
            yield notification

    def _played(self, sender: Sender) -> Sender:
        """The sender with the played channel, without thread and chance."""
        sender._channel = self._channel
        sender._breaker, sender._jitter = Breaker(_half), _half
        _work_here(sender)
        return sender

    async def _send(self) -> None:
        """What the sender does between two waits."""
        for sender in self._senders:
            sender._report_backlog()
            while row := sender._next():
                self._channel.row = row
                await sender._deliver(row)
                sender._report_backlog()

    def _show(self, *, driver: bool = True) -> None:
        """Write what the GPUs and the processes are now."""
        self._processes.show(self.stage.servers.values(), self.clock.wall())
        machine = self._directory / "machine.txt"
        if driver:
            new = machine.with_suffix(".new")
            new.write_text(self.stage.machine.text())
            new.replace(machine)
        else:
            machine.unlink(missing_ok=True)


@dataclass(slots=True)
class PlayedChannel:
    """A provider that answers, or does not."""

    name: str
    heard: bool = True
    failed: bool = False
    row: Notification | None = None
    _taken: list[Notification] = field(default_factory=list)

    def send(self, _message: Message, _key: str) -> Attempt:
        """One attempt."""
        if not self.heard or self.row is None:
            self.failed = True
            return Attempt(Outcome.RETRY, "connection refused")
        self._taken.append(self.row)
        return Attempt(Outcome.DELIVERED, "")

    def taken(self) -> list[Notification]:
        """What has arrived since it was last asked."""
        taken, self._taken = self._taken, []
        return taken


class PlayedPage:
    """The source `vllm` without HTTP: the played server's page, as it would come."""

    source = "vllm"

    def __init__(self, played: Vllm, clock: CrankedClock) -> None:
        self.server = played.name
        self._played = played
        self._clock = clock
        self._parser = Parser()

    async def read(self) -> Reading:
        """One page."""
        now = self._clock.monotonic()
        if not self._played.is_open:
            return Reading("vllm", self.server, now, 0.001, facts={"health": "unreachable"}, error="connection refused")
        samples, error = self._parser.parse(self._played.page().encode())
        told = {"version": "0.32.0", "max_model_len": str(self._played.context_tokens)}
        return Reading("vllm", self.server, now, 0.004, samples, {"health": str(self._played.health), **told}, error)

    async def close(self) -> None:
        """Nothing is held."""


def _half() -> float:
    return 0.5


def _work_here(part: object) -> None:
    """Let a part's worker call without its thread: nothing hangs here, and handing over takes longer than the call."""

    async def run(call: Callable[[], T], _timeout_seconds: float) -> T:
        return call()

    for each in vars(part).values():
        if isinstance(each, Worker):
            each.run = run  # type: ignore[assignment, method-assign]


def steps(seconds: float, step_seconds: float) -> Iterator[float]:
    """A span in steps; the last one takes what is left."""
    left = seconds
    while left > 1e-9:
        step = min(step_seconds, left)
        left -= step
        yield step


def close_then_coarse(
    scene: Scene, close: float = 30.0, coarse: float = 600.0, for_seconds: float = 480.0
) -> Iterator[float]:
    """Steps for long plays: close ones while a scene is new, coarse ones when it goes on."""
    new = min(scene.seconds, for_seconds)
    yield from steps(new, close)
    yield from steps(scene.seconds - new, coarse)


# --- for a real Prometheus


def with_target(text: str, at: float, *, job: str = JOB, instance: str = INSTANCE) -> str:
    """The samples of a page with the target's labels and a time, as lines of OpenMetrics without comments."""
    target = f'instance="{instance}",job="{job}"'
    stamp = f" {at:.3f}\n"
    lines = []
    for line in text.splitlines():
        if line and line[0] != "#":
            head, _, value = line.rpartition(" ")
            if head[-1] == "}":
                lines.append(f"{head[:-1]},{target}}} {value}{stamp}")
            else:
                lines.append(f"{head}{{{target}}} {value}{stamp}")
    return "".join(lines)


def backfill(tsdb: Path, simulation: Simulation) -> int:
    """Play it and write blocks of two hours into a directory for `prometheus --storage.tsdb.path`.

    Returns how many pages were taken. Needs promtool. The scratch files
    of the simulation's directory take about 250 KB a page until their block is made.
    """
    tsdb.mkdir(parents=True, exist_ok=True)
    pages, chunk = 0, _Chunk(tsdb, 0)
    with simulation:
        for moment in simulation.moments():
            if not moment.scraped:
                continue
            number = int(moment.at // BLOCK_SECONDS)
            if number != chunk.number:
                chunk.close()
                chunk = _Chunk(tsdb, number)
            chunk.add(moment)
            pages += 1
    chunk.close()
    return pages


class _Chunk:
    """The pages of one block. One file each, because promtool reads a file anew for every block in it."""

    def __init__(self, tsdb: Path, number: int) -> None:
        self.number = number
        self._tsdb = tsdb
        self._path = tsdb / f"backfill-{number}.txt"
        self._file = self._path.open("w", encoding="utf-8")
        self._empty = True

    def add(self, moment: Moment) -> None:
        """One scrape."""
        self._empty = False
        up = 'up{{instance="{}",job="{}"}} {} {:.3f}\n'
        self._file.write(up.format(INSTANCE, JOB, int(moment.text is not None), moment.at))
        if moment.text is not None:
            self._file.write(with_target(moment.text, moment.at))

    def close(self) -> None:
        """Make the block."""
        self._file.write("# EOF\n")
        self._file.close()
        if not self._empty:
            command = ["promtool", "tsdb", "create-blocks-from", "openmetrics", "-q", str(self._path), str(self._tsdb)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout + done.stderr
        self._path.unlink()


def copy_of(tsdb: Path, directory: Path) -> Path:
    """A copy of blocks, for a Prometheus that may write to it."""
    shutil.copytree(tsdb, directory)
    return directory
