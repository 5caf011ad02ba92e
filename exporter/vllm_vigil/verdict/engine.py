"""One engine's numbers on one tick -> its state, with the reason in words and numbers.

The heartbeat is the count of engine steps: an engine that holds work and takes no step for a while is stalled,
whatever `/health` says (it answers 200 through a hang: vLLM has no liveness timeout). Issue "the engine's verdict"
adds the GPU's testimony; until then a stall is told by steps alone, after a time that a long prefill does not reach.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from vllm_vigil.model import EngineState, Labels, Snapshot

EngineKey = tuple[str, str]
"""Labels `engine` and `model_name`."""


@dataclass(frozen=True, slots=True)
class Pulse:
    """What one engine shows on one tick. `steps` is a counter, or None where this vLLM counts nothing."""

    running: float = 0.0
    waiting: float = 0.0
    steps: float | None = None
    asleep: bool = False

    @property
    def work(self) -> float:
        """Requests that it holds."""
        return self.running + self.waiting


@dataclass(frozen=True, slots=True)
class Proof:
    """What a request of our own came to: whether it got a token, and when it was made (epoch seconds)."""

    answered: bool
    began: float
    words: str = ""


@dataclass(slots=True)
class Heartbeat:
    """When an engine last took a step, in epoch seconds; work that has just arrived restarts the time too."""

    steps: float | None = None
    moved_at: float = 0.0
    held_work: bool = False
    state: EngineState = EngineState.STARTING
    state_since: float = 0.0
    reasons: tuple[str, ...] = field(default_factory=tuple)

    def beat(self, pulse: Pulse, now: float) -> None:
        """Take in one tick."""
        if pulse.steps != self.steps or (pulse.work and not self.held_work):
            self.moved_at = now
        self.steps, self.held_work = pulse.steps, bool(pulse.work)

    def settle(self, state: EngineState, reason: str, now: float) -> None:
        """Hold this state now; its age goes on while it is the same."""
        if state is not self.state or not self.state_since:
            self.state, self.state_since = state, now
        self.reasons = (reason,)


def pulses(snapshot: Snapshot, server: str) -> dict[EngineKey, Pulse]:
    """The pulse of every engine of a server that the snapshot knows."""
    running = _by_engine(snapshot, "llm_requests_running", server)
    waiting = _by_engine(snapshot, "llm_requests_waiting", server)
    asleep = _by_engine(snapshot, "llm_engine_asleep", server)
    steps = _by_engine(snapshot, "llm_engine_steps_total", server)
    tokens = _by_engine(snapshot, "llm_generation_tokens_total", server)
    return {
        key: Pulse(
            running=running.get(key, 0.0),
            waiting=waiting.get(key, 0.0),
            steps=steps.get(key, tokens.get(key)),
            asleep=asleep.get(key, 0.0) == 1.0,
        )
        for key in running | waiting
    }


def state_of(
    pulse: Pulse, heartbeat: Heartbeat, now: float, stalled_after_seconds: float, proof: Proof | None = None
) -> tuple[EngineState, str]:
    """The state of an engine whose server answers, and why; `proof` is what the probe last came to."""
    held = f"{pulse.running:.0f} running, {pulse.waiting:.0f} waiting"
    still = now - heartbeat.moved_at
    if pulse.asleep:
        return EngineState.ASLEEP, "put to sleep through the sleep API"
    if not pulse.work:
        return EngineState.IDLE, "holds no request"
    if pulse.steps is not None and still >= stalled_after_seconds:
        return _still(f"{held}, and no engine step for {still:.0f} s", proof, heartbeat.moved_at)
    return EngineState.HEALTHY, f"{held}, last engine step {still:.0f} s ago"


def _still(seen: str, proof: Proof | None, moved_at: float) -> tuple[EngineState, str]:
    """Work on the gauges and no step: a stall, unless a request made since then got its token."""
    if proof is None or proof.began <= moved_at:
        return EngineState.STALLED, seen
    if proof.answered:
        return EngineState.FROZEN_METRICS, f"{seen} are counted, but a probe got its token: the numbers stand still"
    return EngineState.STALLED, f"{seen}, and a probe got no token: {proof.words}"


def _by_engine(snapshot: Snapshot, name: str, server: str) -> dict[EngineKey, float]:
    found: dict[EngineKey, float] = {}
    for point in snapshot.points(name):
        if _label(point.labels, "server") == server:
            found[(_label(point.labels, "engine"), _label(point.labels, "model_name"))] = point.value
    return found


def _label(labels: Labels, name: str) -> str:
    return next((value for key, value in labels if key == name), "")
