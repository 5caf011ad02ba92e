"""Every tick's snapshot and readings, and what the logs said -> engine states, findings, and who is serving.

    readings, snapshot, log, probe  ->  Evidence (evidence.py)  ->  the table (states.py)  ->  what is said (hold.py)

Time is an argument; durations are counted in seconds watched (watched.py). The memory is per server and engine
(memory.py), and the GPUs' (gpus.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from operator import itemgetter

from vllm_vigil.model import SERVING_STATES, EngineHealth, EngineState, Finding, Reading, Snapshot
from vllm_vigil.verdict.effort import Effort
from vllm_vigil.verdict.evidence import Evidence
from vllm_vigil.verdict.findings import findings
from vllm_vigil.verdict.gather import MOVES_SECONDS, of_engine, of_server
from vllm_vigil.verdict.gpus import Gpus, learn
from vllm_vigil.verdict.heart import Heart
from vllm_vigil.verdict.hold import STUCK
from vllm_vigil.verdict.memory import NOBODY, Engine, Probe, Server
from vllm_vigil.verdict.onset import Onsets
from vllm_vigil.verdict.pulse import EngineKey, Pulse, pulses, value_of
from vllm_vigil.verdict.settings import VerdictSettings
from vllm_vigil.verdict.states import shown
from vllm_vigil.verdict.watched import Watched

RESTS_SECONDS = 30.0
"""One that has held nothing for so long rests."""

FORGET_SECONDS = 60.0
"""So long an engine is remembered that its server's page no longer names."""

_KEY = itemgetter(0)


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a tick came to. `serving_since` is None for a server that is not serving now.

    `doubts` are the servers whose signs disagree or say that no request is answered, each with the reason: a probe
    would decide. `stops` are those that were told to stop and have not come back, and when that was (epoch seconds).
    """

    engines: tuple[EngineHealth, ...]
    findings: tuple[Finding, ...]
    serving_since: Mapping[str, float | None]
    doubts: Mapping[str, str] = field(default_factory=dict)
    stops: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Tick:
    """One tick: its series, its time in seconds watched and in epoch seconds.

    `alone` says that there is one server only, `looked` that the host has been looked at again.
    """

    snapshot: Snapshot
    now: float
    wall: float
    alone: bool
    looked: bool


class Verdict:
    """Judges all servers, tick by tick."""

    def __init__(self, settings: VerdictSettings | None = None) -> None:
        self.settings = settings or VerdictSettings()
        self._servers: dict[str, Server] = {}
        self._gpus = Gpus()
        self._watched = Watched()
        self._host: Reading | None = None
        self._onsets = Onsets()

    def hear(self, server: str, life: str, now: float) -> None:
        """What a server's log says of its life.

        `starting` and its phases `loading`, `profiling`, `warming`; `ready`, `stopping`, `dead`, `asleep`. It goes
        on answering for a moment after that, so an answer takes nothing back, unless it is the first after a failure.
        """
        self._server(server).hear(life, self._watched.seconds, now)

    def hear_probe(self, server: str, *, answered: bool, began: float, words: str = "") -> None:
        """What a request of our own to a server came to: whether it got a token, when it was made, and words for why.

        A refusal (401, 404, 429) says nothing of the engine and is not to be handed in. It counts for
        `PROBE_SECONDS`, or until the engine shows a step made since: a token makes `frozen_metrics` of what looked
        `stalled`, none `stalled` of what looked frozen, or idle. `Judgement.doubts` names the servers for which a probe
        is wanted. Of a server with several engines it reaches one that we do not know: there it changes nothing.
        """
        self._server(server).probe = Probe(answered, self._watched.at(began), words)

    def recall_stops(self, stops: Mapping[str, float], now: float) -> None:
        """Servers that were told to stop and have not come back, and when, as an earlier process of ours knew."""
        for server, at in stops.items():
            self._server(server).recall("stopping", self._watched.seconds - (now - at), at)

    def move(self, seconds: float) -> None:
        """The wall clock was set by so much."""
        self._onsets.move(seconds)
        for server in self._servers.values():
            server.move(seconds)

    def judge(
        self, readings: Mapping[str, Reading | None], snapshot: Snapshot, now: float, host: Reading | None
    ) -> Judgement:
        """Judge the newest reading of every server, by name; None for one that has not been read yet.

        `host` is the newest reading of the host: who is connected is as old as that.
        """
        looked, self._host = host is not self._host, host
        tick = _Tick(snapshot, self._watched.tick(now), now, alone=len(readings) == 1, looked=looked)
        for gone in self._servers.keys() - readings.keys():
            del self._servers[gone]
        self._gpus.tick(snapshot, tick.now)
        engines: list[EngineHealth] = []
        found: list[Finding] = []
        serving: dict[str, float | None] = {}
        doubts: dict[str, str] = {}
        stops: dict[str, float] = {}
        for name, reading in readings.items():
            if reading is None:
                serving[name] = None
                continue
            server = self._server(name)
            self._read(tick, server, name, reading)
            if doubt := self._settle(tick, server, name, reading):
                doubts[name] = doubt
            if (stop := server.told_to_stop(tick.now)) is not None:
                stops[name] = stop
            answers = reading.error is None
            engines += [
                _health(name, *each, tick.now, answers=answers) for each in sorted(server.engines.items(), key=_KEY)
            ]
            found += findings(name, server, reading, self.settings, tick.now, now)
            states = server.states()
            serving[name] = self._onsets.since(("serving", name), now, holds=bool(states) and states <= SERVING_STATES)
        return Judgement(tuple(engines), tuple(found), serving, doubts, stops)

    def _server(self, name: str) -> Server:
        if name not in self._servers:
            self._servers[name] = Server()
        return self._servers[name]

    # --- what a tick brings

    def _read(self, tick: _Tick, server: Server, name: str, reading: Reading) -> None:
        """Take in a reading, once, and who is connected."""
        if reading is not server.reading:
            server.reading = reading
            if reading.error is None:
                self._take_page(tick, server, pulses(tick.snapshot, name))
            elif server.down_since is None:
                server.falls(tick.now)
        if not tick.looked:
            return
        engines = server.engines.values()
        rest = all(each.heart.rests(tick.now, RESTS_SECONDS) and each.said.state not in STUCK for each in engines)
        resting = rest and reading.error is None
        server.clients.look(_of_server(tick.snapshot, "llm_server_connections", name), tick.now, resting=resting)

    def _take_page(self, tick: _Tick, server: Server, found: Mapping[EngineKey, Pulse]) -> None:
        if server.down_since is not None:
            server.rises(tick.now)
        server.answered_wall = tick.wall
        nobody = server.engines.get(NOBODY, Engine())
        for key, pulse in found.items():
            engine = server.engines.setdefault(key, Engine(said=replace(nobody.said)))
            engine.heart.beat(pulse, tick.now)
        lost = [key for key, engine in server.engines.items() if tick.now - engine.heart.read_at > FORGET_SECONDS]
        for key in (NOBODY, *lost) if found else ():
            server.engines.pop(key, None)

    # --- what it comes to

    def _settle(self, tick: _Tick, server: Server, name: str, reading: Reading) -> str:
        """Give every engine of a server its state; why a probe is wanted, "" if it is not."""
        base = of_server(server, name, reading, tick.snapshot, tick.now, tick.wall)
        if not server.engines:
            server.engines[NOBODY] = Engine(Heart(moved_at=tick.now))
        doubts = []
        for key, engine in server.engines.items():
            gpus = self._gpus.of(name, key, alone=tick.alone)
            heart = engine.heart
            learn(
                gpus, tick.now, moves=heart.moves(tick.now, MOVES_SECONDS), rests=heart.rests(tick.now, RESTS_SECONDS)
            )
            evidence = of_engine(base, server, engine, gpus, tick.now)
            state, reasons = shown(evidence, self.settings)
            engine.settle(state, reasons, evidence.stuck, tick.now, tick.wall)
            if _is_doubtful(evidence, state, self.settings):
                doubts.append(reasons[0])
        return doubts[0] if doubts else ""


def _is_doubtful(evidence: Evidence, state: EngineState, settings: VerdictSettings) -> bool:
    """Whether work is held and nothing moves, or none is held and yet somebody waits or a GPU spins."""
    if not evidence.answers or state is EngineState.ASLEEP:
        return False
    return state in STUCK or evidence.waited >= settings.stalled_after or evidence.effort is Effort.SPINNING


def _of_server(snapshot: Snapshot, name: str, server: str) -> float | None:
    return next((point.value for point in snapshot.points(name) if value_of(point.labels, "server") == server), None)


def _health(server: str, key: EngineKey, engine: Engine, now: float, *, answers: bool) -> EngineHealth:
    said, heart = engine.said, engine.heart
    state = said.state or EngineState.STARTING  # it has been settled, so the state is never None
    counted = answers and heart.pulse is not None and heart.pulse.counts and heart.work_since is not None
    return EngineHealth(server, *key, state, said.since, said.reasons, heart.still(now) if counted else None)
