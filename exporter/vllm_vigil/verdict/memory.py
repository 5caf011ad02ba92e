"""What is remembered of a server and of its engines, from tick to tick. Times are seconds watched unless named wall."""

from __future__ import annotations

from dataclasses import dataclass, field

from vllm_vigil.model import EngineState, Reading
from vllm_vigil.verdict.clients import Clients
from vllm_vigil.verdict.heart import Heart
from vllm_vigil.verdict.hold import STUCK, Said
from vllm_vigil.verdict.pulse import EngineKey

LIFE_SECONDS = {
    "starting": 3600.0,
    "loading": 3600.0,
    "profiling": 3600.0,
    "warming": 3600.0,
    "dead": 600.0,
    "stopping": 600.0,
    "asleep": float("inf"),
}
"""How long what a log said of its server's life explains what it does. Large models load for long."""

ENDS = frozenset({"stopping", "dead"})

PROBE_SECONDS = 300.0
"""How long the outcome of a probe counts."""

NOBODY: EngineKey = ("", "")
"""The engine of a server that has never told us of one."""


@dataclass(frozen=True, slots=True)
class Probe:
    """A request of our own: whether it got a token, when it was made, and why it got none."""

    answered: bool
    began: float
    words: str = ""


@dataclass(slots=True)
class Engine:
    """One engine. `stuck_for` is for how long nothing had moved when it was last seen to be stuck."""

    heart: Heart = field(default_factory=Heart)
    said: Said = field(default_factory=Said)
    longest_wait: float = 0.0
    stuck_for: float = 0.0
    _stuck_since: float | None = None

    def settle(self, state: EngineState, reasons: tuple[str, ...], stuck: float, now: float, wall: float) -> None:
        """Take in what the evidence shows, and for how long nothing has moved."""
        if state not in STUCK:
            self._stuck_since = None
        elif self._stuck_since is None:
            self._stuck_since = now - stuck
        if self._stuck_since is not None:
            self.stuck_for = now - self._stuck_since
        self.said.settle(state, reasons, now, wall)

    def wait(self, waited: float) -> None:
        """Take in for how long somebody has waited without a sign of a step; one that is seen begins it anew."""
        self.longest_wait = max(self.longest_wait, waited) if self.heart.read_at > self.heart.moved_at else 0.0


@dataclass(slots=True)
class Server:
    """One server. `answered_wall` is the wall time of its last good answer, `down_since` of the first bad one after."""

    engines: dict[EngineKey, Engine] = field(default_factory=dict)
    clients: Clients = field(default_factory=Clients)
    reading: Reading | None = None
    answered_wall: float | None = None
    down_since: float | None = None
    had_processes: bool = False
    life: str = ""
    life_at: float = 0.0
    life_wall: float = 0.0
    life_until: float = 0.0
    probe: Probe | None = None

    def hear(self, life: str, now: float, wall: float) -> None:
        """What its log says of its life now. One that was told to stop ends, however its processes call that."""
        if life == "dead" and self.life_now(now) == "stopping":
            return
        self.life, self.life_at, self.life_wall = life, now, wall
        lasts = self.down_since is not None and life in ENDS  # a log may be read after its end
        self.life_until = float("inf") if lasts else now + LIFE_SECONDS.get(life, 0.0)

    def recall(self, life: str, now: float, wall: float) -> None:
        """It did not answer, and its log had said that, when we last looked; its first answer ends it."""
        self.life, self.life_at, self.life_wall, self.life_until = life, now, wall, float("inf")
        self.down_since = now

    def move(self, seconds: float) -> None:
        """The wall clock was set by so much."""
        self.life_wall += seconds
        self.answered_wall = None if self.answered_wall is None else self.answered_wall + seconds

    def falls(self, now: float) -> None:
        """It does not answer any more. What its log said just before explains that for as long as it lasts."""
        self.down_since = now
        if self.life_now(now) in ENDS:
            self.life_until = float("inf")

    def rises(self, now: float) -> None:
        """It answers again, so that what its log said before is over."""
        self.begins(now)
        self.down_since = None

    def begins(self, now: float) -> None:
        """It was started again, so that what its log said before explains nothing of what comes."""
        self.life_until = now

    def told_to_stop(self, now: float) -> float | None:
        """When its log said that it was told to stop (epoch seconds), while that counts."""
        return self.life_wall if self.life_now(now) == "stopping" else None

    def life_now(self, now: float) -> str:
        """What the log said last, while that counts."""
        return self.life if now < self.life_until else ""

    def probed(self, engine: Engine, now: float) -> Probe | None:
        """The last probe, if it was made lately and nothing has moved since. It tells of one engine."""
        probe = self.probe
        if probe is None or now - probe.began > PROBE_SECONDS or len(self.engines) > 1:
            return None
        return probe if engine.heart.moved_at <= probe.began else None

    def states(self) -> set[EngineState]:
        """What is said of its engines."""
        return {engine.said.state for engine in self.engines.values() if engine.said.state is not None}
