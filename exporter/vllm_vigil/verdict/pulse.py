"""The series of one tick -> what each engine shows: the work that it holds, and the numbers that only its steps move.

The heartbeat is the count of engine steps. vLLM counts a step only when a token comes of it, so that the chunks of a
long prompt alone leave it still; but each chunk fills KV cache, and each step that admits or ends a request changes how
many run. So a change of any of these is a sign of a step. How many wait is none: a request that comes in waits also
before a dead engine.
"""

from __future__ import annotations

from dataclasses import dataclass

from vllm_vigil.model import Labels, Snapshot

EngineKey = tuple[str, str]
"""Labels `engine` and `model_name`."""

COUNTED = ("llm_engine_steps_total", "llm_generation_tokens_total")
"""Without one of these there is no heartbeat: a vLLM before 0.3.1."""

SIGNS = (*COUNTED, "llm_prompt_tokens_total", "llm_kv_cache_usage_ratio", "llm_requests_running")


@dataclass(frozen=True, slots=True)
class Pulse:
    """One engine in one reading. `signs` are the values of `SIGNS`, None for what this vLLM does not tell.

    `asleep` is None where vLLM does not tell it (before 0.11.1).
    """

    running: float = 0.0
    waiting: float = 0.0
    signs: tuple[float | None, ...] = ()
    asleep: bool | None = None

    @property
    def work(self) -> float:
        """Requests that it holds, by its gauges."""
        return self.running + self.waiting

    @property
    def counts(self) -> bool:
        """Whether it has a heartbeat at all."""
        return any(value is not None for value in self.signs[: len(COUNTED)])


def pulses(snapshot: Snapshot, server: str) -> dict[EngineKey, Pulse]:
    """The pulse of every engine of a server that the snapshot knows."""
    waiting = _by_engine(snapshot, "llm_requests_waiting", server)
    asleep = _by_engine(snapshot, "llm_engine_asleep", server)
    signs = [_by_engine(snapshot, name, server) for name in SIGNS]
    running = signs[-1]
    return {
        key: Pulse(
            running=running.get(key, 0.0),
            waiting=waiting.get(key, 0.0),
            signs=tuple(values.get(key) for values in signs),
            asleep=asleep[key] == 1.0 if key in asleep else None,
        )
        for key in running | waiting
    }


def _by_engine(snapshot: Snapshot, name: str, server: str) -> dict[EngineKey, float]:
    found: dict[EngineKey, float] = {}
    for point in snapshot.points(name):
        if value_of(point.labels, "server") == server:
            found[(value_of(point.labels, "engine"), value_of(point.labels, "model_name"))] = point.value
    return found


def value_of(labels: Labels, name: str) -> str:
    """The value of one label, "" if it is not there."""
    for key, value in labels:  # a generator would take twice as long, and this is asked a hundred times a tick
        if key == name:
            return value
    return ""
