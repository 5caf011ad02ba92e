"""A vLLM of plain numbers, watched by the real verdict: a scene is set, time runs, and what is said is written down.

    watch = Watch(running=4, rate=20.0)     an engine that works
    watch.go(600)
    watch.set(rate=0.0)                     it hangs
    watch.until(EngineState.STALLED)        seconds until it is said

Time runs in ticks of a second; vLLM is read every `interval` seconds and shows what it was at its last reading, the
GPUs show every tick, the host's connections every 5 seconds. GPUs are (utilisation, memory activity, watts).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from vllm_vigil.model import EngineHealth, EngineState, Point, Reading, Series, Snapshot, labels
from vllm_vigil.verdict.judge import Judgement, Verdict
from vllm_vigil.verdict.settings import VerdictSettings

SERVER = "llama"
START = 1_000_000.0
HOST_SECONDS = 5.0
IDLE_GPU = (0.0, 0.0, 70.0)
BUSY_GPU = (0.95, 0.45, 420.0)
SPINNING_GPU = (1.0, 0.0, 130.0)

GpuNow = tuple[float, float | None, float | None]


@dataclass(frozen=True, slots=True)
class Scene:
    """What is so now. `rate` is how many steps a second it takes; None for `steps` is a vLLM that counts none.

    `connections` None: not seen from here; `began` None: no process is seen; `attributed` None: the driver does not
    tell whose processes use the GPUs.
    """

    running: float = 0.0
    waiting: float = 0.0
    kv: float = 0.0
    rate: float = 0.0
    steps: float | None = 100.0
    asleep: bool | None = False
    engine: bool = True
    error: str | None = None
    health: str = "200"
    connections: float | None = None
    gpus: tuple[GpuNow, ...] = ()
    limit_watts: float | None = 700.0
    attributed: str | None = SERVER
    began: float | None = None
    host: bool = False


@dataclass
class Watch:
    """One server under watch. `said` is every state that was said, with its second; `paged` the seconds of pages.

    `happened` is the second in which it began that the test is about.
    """

    scene: Scene = field(default_factory=Scene)
    interval: int = 5
    settings: VerdictSettings = field(default_factory=VerdictSettings)
    second: int = 0
    wall: float = START
    happened: int = 0
    said: list[tuple[int, EngineState]] = field(default_factory=list)
    paged: list[tuple[int, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Begin with nothing read."""
        self.verdict = Verdict(self.settings)
        self.judgement = Judgement((), (), {})
        self._reading: Reading | None = None
        self._page = Snapshot()
        self._host: Reading | None = None
        self._connections: float | None = None
        self._held: set[str] = set()

    @property
    def state(self) -> EngineState:
        """What is said now."""
        return self.health.state

    @property
    def health(self) -> EngineHealth:
        """The verdict on the one engine."""
        (health,) = self.judgement.engines
        return health

    @property
    def states(self) -> list[EngineState]:
        """Every state that was said, in order."""
        return [state for _, state in self.said]

    @property
    def holding(self) -> set[str]:
        """The rules whose findings hold now."""
        return set(self._held)

    def happens(self) -> None:
        """From here on it is counted."""
        self.happened = self.second

    def set(self, **changes: object) -> None:
        """Change the scene."""
        self.scene = replace(self.scene, **changes)  # type: ignore[arg-type]

    def go(self, seconds: float, **changes: object) -> Judgement:
        """Let time run, after a change of the scene."""
        self.set(**changes)
        for _ in range(int(seconds)):
            self.tick()
        return self.judgement

    def until(self, state: EngineState, within: int = 900, **changes: object) -> int:
        """Seconds from a change of the scene until that state is said."""
        self.set(**changes)
        for second in range(1, within + 1):
            self.tick()
            if self.state is state:
                return second
        raise AssertionError(f"not {state} within {within} s, but {self.said[-4:]}, {self.health.reasons}")

    def until_page(self, rule: str, within: int = 900, **changes: object) -> int:
        """Seconds from a change of the scene until a finding of that rule holds."""
        self.set(**changes)
        for second in range(1, within + 1):
            self.tick()
            if rule in self._held:
                return second
        raise AssertionError(f"no {rule} within {within} s, but {self.state}, {self.health.reasons}")

    def tick(self, seconds: float = 1.0) -> None:
        """One tick."""
        self.second += 1
        self.wall += seconds
        scene = self.scene
        if scene.steps is not None:
            self.scene = scene = replace(scene, steps=scene.steps + scene.rate)
        if self._reading is None or self.second % self.interval == 0:
            self._reading = Reading(
                "vllm", SERVER, float(self.second), 0.01, facts={"health": scene.health}, error=scene.error
            )
            self._page = Snapshot() if scene.error else _page(scene)
        if self._host is None or self.wall - self._host.at >= HOST_SECONDS:
            self._host = Reading("host", "", self.wall, 0.01)
            self._connections = scene.connections
        shown = Snapshot({**self._page.series, **_host(scene, self._connections, self.wall), **_gpus(scene)})
        self.judgement = self.verdict.judge({SERVER: self._reading}, shown, self.wall, self._host)
        self._note()

    def _note(self) -> None:
        for health in self.judgement.engines[:1]:
            if not self.said or self.said[-1][1] is not health.state:
                self.said.append((self.second, health.state))
        held = {finding.rule for finding in self.judgement.findings if finding.holds}
        self.paged += [(self.second, rule) for rule in sorted(held - self._held)]
        self._held = held


def watching(*, interval: int = 5, settings: VerdictSettings | None = None, **scene: object) -> Watch:
    """A watch of that scene."""
    return Watch(Scene(**scene), interval, settings or VerdictSettings())  # type: ignore[arg-type]


def _page(scene: Scene) -> Snapshot:
    which = labels(server=SERVER, engine="0", model_name="tiny")
    values = {
        "llm_requests_running": scene.running,
        "llm_requests_waiting": scene.waiting,
        "llm_kv_cache_usage_ratio": scene.kv,
        "llm_engine_asleep": None if scene.asleep is None else float(scene.asleep),
        "llm_engine_steps_total": scene.steps,
        "llm_generation_tokens_total": None if scene.steps is None else scene.steps * 4,
    }
    if not scene.engine:
        return Snapshot()
    return Snapshot({name: Series(name, (Point(which, value),)) for name, value in values.items() if value is not None})


def _host(scene: Scene, connections: float | None, wall: float) -> dict[str, Series]:
    of_server = labels(server=SERVER)
    process = labels(server=SERVER, role="api_server")
    found = {
        "llm_server_connections": (of_server, connections),
        "llm_process_start_time_seconds": (process, scene.began),
        "host_memory_total_bytes": ((), wall if scene.host else None),
    }
    return {name: Series(name, (Point(who, value),)) for name, (who, value) in found.items() if value is not None}


def _gpus(scene: Scene) -> dict[str, Series]:
    points: dict[str, list[Point]] = {}
    for number, (utilization, memory, watts) in enumerate(scene.gpus):
        which = labels(gpu=str(number), uuid=f"GPU-{number}")
        for name, value in (
            ("gpu_utilization_ratio", utilization),
            ("gpu_memory_utilization_ratio", memory),
            ("gpu_power_watts", watts),
            ("gpu_power_limit_watts", scene.limit_watts),
            ("gpu_process_attribution_available", float(scene.attributed is not None)),
        ):
            if value is not None:
                points.setdefault(name, []).append(Point(which, value))
        if scene.attributed:
            user = labels(gpu=str(number), uuid=f"GPU-{number}", server=scene.attributed, engine="0", role="worker")
            points.setdefault("gpu_processes", []).append(Point(user, 1.0))
    return {name: Series(name, tuple(found)) for name, found in points.items()}
