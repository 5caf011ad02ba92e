"""What is remembered of a server and an engine, and this tick's series -> the evidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from vllm_vigil.model import Reading, Snapshot
from vllm_vigil.verdict.evidence import Evidence
from vllm_vigil.verdict.gpus import Gpu
from vllm_vigil.verdict.memory import ENDS, Engine, Server
from vllm_vigil.verdict.pulse import value_of

MOVES_SECONDS = 10.0
"""An engine whose last sign of a step is no older works."""

START_SECONDS = 3600.0
"""So long a process that has just begun may take until it answers."""

GONE_AFTER_SECONDS = 8.0
"""So long after its last answer the log may yet say that it was told to end."""

START_SLACK_SECONDS = 5.0
"""What the time of a start, worked out from that of the boot, may be off; no vLLM answers so soon after its start."""

ASLEEP_SETTLES_SECONDS = 15.0
"""A sign of a step so long after the log told of sleep says that the engine is awake again."""


def of_server(server: Server, name: str, reading: Reading, snapshot: Snapshot, now: float, wall: float) -> Evidence:
    """What is so of all its engines."""
    starts = [
        p.value for p in snapshot.points("llm_process_start_time_seconds") if value_of(p.labels, "server") == name
    ]
    server.had_processes = server.had_processes or bool(starts)
    newest = max(starts, default=0.0)
    if server.life_now(now) in ENDS and _started(snapshot, name) > server.life_wall + START_SLACK_SECONDS:
        server.begins(now)
    life = server.life_now(now)
    if life in ENDS and newest > server.life_wall:
        life = ""  # it may have been started again, or a process of it ends late
    fresh = newest > max((server.answered_wall or 0.0) - START_SLACK_SECONDS, wall - START_SECONDS)
    return Evidence(
        error=reading.error,
        health=reading.facts.get("health", ""),
        life=life,
        life_seconds=now - server.life_at,
        young=wall - newest if fresh else None,
        gone=_gone(server, starts, snapshot, now),
    )


def _started(snapshot: Snapshot, name: str) -> float:
    """When its newest API server began, 0 if none is seen."""
    return max(
        (
            point.value
            for point in snapshot.points("llm_process_start_time_seconds")
            if value_of(point.labels, "server") == name and value_of(point.labels, "role") == "api_server"
        ),
        default=0.0,
    )


def _gone(server: Server, starts: Sequence[float], snapshot: Snapshot, now: float) -> bool:
    """Whether its processes were seen and none is left, for long enough that its log has been read to the end."""
    silent = now - server.down_since if server.down_since is not None else 0.0
    seen = bool(snapshot.points("host_memory_total_bytes"))
    return server.had_processes and not starts and seen and silent >= GONE_AFTER_SECONDS


def of_engine(base: Evidence, server: Server, engine: Engine, gpus: Sequence[Gpu], now: float) -> Evidence:
    """What is so of one engine; its longest wait is noted."""
    heart = engine.heart
    clients = _clients(server, engine, now)
    waited = min(server.clients.waited(heart.moved_at), heart.read_at - heart.moved_at) if clients else 0.0
    engine.wait(waited)
    awake = base.life == "asleep" and heart.moved_at > server.life_at + ASLEEP_SETTLES_SECONDS
    return replace(
        base,
        life="" if awake else base.life,
        pulse=heart.pulse,
        still=heart.still(),
        moved=now - heart.moved_at,
        clients=clients,
        waited=waited,
        longest_wait=engine.longest_wait,
        looks=() if heart.moves(now, MOVES_SECONDS) else tuple(gpu.look() for gpu in gpus),
        probe=server.probed(engine, now),
    )


def _clients(server: Server, engine: Engine, now: float) -> int | None:
    """Those that wait on this engine: the work of others that move has clients of its own."""
    if server.clients.waiting is None:
        return None
    others = (each.heart for each in server.engines.values() if each is not engine)
    served = sum(each.pulse.work for each in others if each.pulse and each.moves(now, MOVES_SECONDS))
    return max(0, server.clients.waiting - int(served))
