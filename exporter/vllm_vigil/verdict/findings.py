"""What is said of a server's engines -> findings, on which rules open incidents."""

from __future__ import annotations

from collections.abc import Iterator

from vllm_vigil.model import EngineState, Finding, Reading
from vllm_vigil.verdict.memory import Server
from vllm_vigil.verdict.settings import VerdictSettings

HANGING = frozenset({EngineState.STALLED, EngineState.SPINNING})
LOST = frozenset({EngineState.UNREACHABLE, EngineState.DEAD})


def findings(
    name: str, server: Server, reading: Reading, settings: VerdictSettings, now: float, wall: float
) -> Iterator[Finding]:
    """What holds of a server and what does not; `now` is in seconds watched, `wall` in epoch seconds."""
    yield _unreachable(name, server, reading, settings, now, wall)
    yield _stalled(name, server, settings, wall)
    dead = reading.error is None and EngineState.DEAD in server.states()
    since = min(
        (each.said.since for each in server.engines.values() if each.said.state is EngineState.DEAD), default=wall
    )
    yield Finding("engine_dead", name, dead, since, f"the engine of {name} is dead: its /health says so")


def _unreachable(
    name: str, server: Server, reading: Reading, settings: VerdictSettings, now: float, wall: float
) -> Finding:
    """One that was up, was not told to stop, and has not answered for long enough."""
    down = now - server.down_since if server.down_since is not None else 0.0
    wanted = server.answered_wall is None or server.life_now(now) == "stopping"
    holds = bool(down >= settings.unreachable_for and not wanted and server.states() & LOST)
    return Finding("server_unreachable", name, holds, wall - down, f"{name} does not answer: {reading.error}")


def _stalled(name: str, server: Server, settings: VerdictSettings, wall: float) -> Finding:
    """Speaks of the engine that has been stuck longest."""
    hanging = [each for each in server.engines.values() if each.said.state in HANGING]
    worst = max(hanging, key=lambda each: each.stuck_for, default=None)
    if worst is None:
        return Finding("engine_stalled", name, holds=False, since=wall, summary="")
    holds = worst.stuck_for >= settings.stalled_for
    return Finding("engine_stalled", name, holds, wall - worst.stuck_for, f"{name} hangs: {worst.said.reasons[0]}")
