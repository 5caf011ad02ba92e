"""Every tick's snapshot and readings, and what the logs said -> engine states, findings, and who is serving.

Time is an argument; the memory is per server: its engines' heartbeats, whether it was ever up, and the last thing
that its log said about its life. A server that cannot be reached is `starting` while its log says so and `dead` when
its log said that, else `unreachable`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from vllm_vigil.model import (
    SERVING_STATES,
    EngineHealth,
    EngineState,
    Finding,
    Reading,
    Snapshot,
)
from vllm_vigil.verdict.engine import EngineKey, Heartbeat, Proof, pulses, state_of
from vllm_vigil.verdict.onset import Onsets

LIFE = {"starting": EngineState.STARTING, "dead": EngineState.DEAD}
LIFE_SECONDS = {"starting": 3600.0, "dead": 600.0, "stopping": 600.0}
"""How long what a log said of its server's life explains that it does not answer. Large models load for long."""

NOBODY: EngineKey = ("", "")
"""The engine of a server that has never told us of one."""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """How long something must be so, in seconds, before it is said."""

    stalled_after_seconds: float = 20.0
    stalled_for_seconds: float = 60.0
    unreachable_for_seconds: float = 60.0


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a tick came to. `serving_since` is None for a server that is not serving now."""

    engines: tuple[EngineHealth, ...]
    findings: tuple[Finding, ...]
    serving_since: Mapping[str, float | None]


@dataclass(slots=True)
class ServerMemory:
    """What is remembered of one server."""

    engines: dict[EngineKey, Heartbeat] = field(default_factory=dict)
    was_up: bool = False
    is_down: bool = False
    life: str = ""
    life_until: float = 0.0
    proof: Proof | None = None

    def life_at(self, now: float) -> str:
        """What the log said last, while that counts."""
        return self.life if now < self.life_until else ""


class Verdict:
    """Judges all servers, tick by tick."""

    def __init__(self, thresholds: Thresholds | None = None) -> None:
        self.thresholds = thresholds or Thresholds()
        self._servers: dict[str, ServerMemory] = {}
        self._onsets = Onsets()

    def hear(self, server: str, life: str, now: float) -> None:
        """What a server's log says of its life: `starting`, `ready`, `stopping` or `dead`.

        It goes on answering for a moment after that, so an answer takes nothing back, unless it is the first after a
        failure.
        """
        memory = self._servers.setdefault(server, ServerMemory())
        memory.life, memory.life_until = life, now + LIFE_SECONDS.get(life, 0.0)

    def hear_probe(self, server: str, *, answered: bool, began: float, words: str = "") -> None:
        """What a request of our own to a server came to: whether it got a token, and when it was made."""
        self._servers.setdefault(server, ServerMemory()).proof = Proof(answered, began, words)

    def judge(self, readings: Mapping[str, Reading | None], snapshot: Snapshot, now: float) -> Judgement:
        """Judge the newest reading of every server, by name; None for one that has not been read yet."""
        for gone in self._servers.keys() - readings.keys():
            del self._servers[gone]
        engines: list[EngineHealth] = []
        findings: list[Finding] = []
        serving: dict[str, float | None] = {}
        for server, reading in readings.items():
            if reading is None:
                serving[server] = None
                continue
            memory = self._servers.setdefault(server, ServerMemory())
            self._settle(memory, server, reading, snapshot, now)
            states = [beat.state for beat in memory.engines.values()]
            engines += [_health(server, key, beat, now) for key, beat in sorted(memory.engines.items())]
            findings += self._findings(server, memory, reading, now)
            serving[server] = self._onsets.since(
                ("serving", server), now, holds=bool(states) and all(state in SERVING_STATES for state in states)
            )
        return Judgement(tuple(engines), tuple(findings), serving)

    def _settle(self, memory: ServerMemory, server: str, reading: Reading, snapshot: Snapshot, now: float) -> None:
        """Give every engine of a server its state."""
        health = reading.facts.get("health", "")
        if memory.is_down and not reading.error:
            memory.life_until = now  # it is back
        memory.is_down = reading.error is not None
        if reading.error and health in ("", "unreachable"):
            state = LIFE.get(memory.life_at(now), EngineState.UNREACHABLE)
            _settle_all(memory, state, reading.error, now)
        elif health in ("500", "503"):
            _settle_all(memory, EngineState.DEAD, f"its /health answers {health}", now)
        elif reading.error:
            _settle_all(memory, EngineState.UNREACHABLE, f"its /metrics cannot be read: {reading.error}", now)
        else:
            memory.was_up = True
            self._settle_each(memory, server, snapshot, now)

    def _settle_each(self, memory: ServerMemory, server: str, snapshot: Snapshot, now: float) -> None:
        found = pulses(snapshot, server)
        for key in memory.engines.keys() - found.keys():
            del memory.engines[key]
        # of several engines a token says that one of them lives, and not which
        proof = memory.proof if len(found) == 1 or not (memory.proof and memory.proof.answered) else None
        for key, pulse in found.items():
            beat = memory.engines.setdefault(key, Heartbeat())
            beat.beat(pulse, now)
            beat.settle(*state_of(pulse, beat, now, self.thresholds.stalled_after_seconds, proof), now)

    def _findings(self, server: str, memory: ServerMemory, reading: Reading, now: float) -> Iterator[Finding]:
        states = {beat.state for beat in memory.engines.values()}
        lost = EngineState.UNREACHABLE in states and memory.was_up and memory.life_at(now) != "stopping"
        yield self._lasting(
            "server_unreachable",
            server,
            now,
            holds=lost,
            after=self.thresholds.unreachable_for_seconds,
            summary=f"{server} does not answer: {reading.error}",
        )
        stuck = [beat for beat in memory.engines.values() if beat.state in (EngineState.STALLED, EngineState.SPINNING)]
        yield self._lasting(
            "engine_stalled",
            server,
            now,
            holds=bool(stuck),
            after=self.thresholds.stalled_for_seconds - self.thresholds.stalled_after_seconds,
            summary=f"{server} hangs: {stuck[0].reasons[0]}" if stuck else "",
        )
        yield self._lasting(
            "engine_dead",
            server,
            now,
            holds=EngineState.DEAD in states and not reading.error,
            after=0.0,
            summary=f"the engine of {server} is dead: its /health says so",
        )

    def _lasting(self, rule: str, server: str, now: float, *, holds: bool, after: float, summary: str) -> Finding:
        """A finding that holds once its condition has lasted."""
        since = self._onsets.since((rule, server), now, holds=holds)
        lasted = since is not None and now - since >= after
        return Finding(rule, server, lasted, since if since is not None else now, summary)


def _settle_all(memory: ServerMemory, state: EngineState, reason: str, now: float) -> None:
    """What is so of the whole server is so of each of its engines, also of one that we do not know yet."""
    if not memory.engines:
        memory.engines[NOBODY] = Heartbeat()
    for beat in memory.engines.values():
        beat.held_work = False  # not known now
        beat.settle(state, reason, now)


def _health(server: str, key: EngineKey, beat: Heartbeat, now: float) -> EngineHealth:
    engine, model_name = key
    age = now - beat.moved_at if beat.held_work and beat.steps is not None else None
    return EngineHealth(server, engine, model_name, beat.state, beat.state_since, beat.reasons, age)
