"""What is known -> the answers for load balancers and supervisors: of the watched model, and of ourselves.

`/health` asks whether a restart would help, `/ready` whether a request sent now is answered. A model that sleeps,
starts or stalls is not dead, so the two differ on purpose. Not known is not healthy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from vllm_vigil.exposition.answer import Answer, document, plain
from vllm_vigil.model import SERVING_STATES, EngineHealth, EngineState
from vllm_vigil.redact import mask

HEARTBEAT_LIMIT_SECONDS = 30.0
GONE_STATES = frozenset({EngineState.DEAD, EngineState.UNREACHABLE})


def health(servers: Sequence[str], engines: Sequence[EngineHealth], wanted: str | None) -> Answer:
    """200 unless an engine is dead or unreachable, or nothing is known."""
    return _of_model(servers, engines, wanted, lambda state: state not in GONE_STATES)


def ready(servers: Sequence[str], engines: Sequence[EngineHealth], wanted: str | None) -> Answer:
    """200 only when every engine really infers."""
    return _of_model(servers, engines, wanted, lambda state: state in SERVING_STATES)


def alive(heartbeat_seconds: float) -> Answer:
    """Whether our own sampler still goes round."""
    if heartbeat_seconds < HEARTBEAT_LIMIT_SECONDS:
        return plain(200, "healthy")
    return plain(503, f"the sampler has not gone round for {heartbeat_seconds:.0f} s")


def begun(missing: Sequence[str]) -> Answer:
    """Whether every enabled part has had its first tick."""
    if not missing:
        return plain(200, "ready")
    return plain(503, f"not ready: waiting for {', '.join(missing)}")


def _of_model(
    servers: Sequence[str], engines: Sequence[EngineHealth], wanted: str | None, good: Callable[[EngineState], bool]
) -> Answer:
    if wanted is not None and wanted not in servers:
        return document(404, {"ok": False, "why": "no server of that name is configured", "servers": []})
    asked = servers if wanted is None else [wanted]
    each = [_server(server, [engine for engine in engines if engine.server == server], good) for server in asked]
    whys = [f"{body['server']}: {body['why']}" for body in each if not body["ok"]]
    if not each:
        whys = ["no vLLM server is configured"]
    body = {"ok": not whys, "why": "; ".join(whys) or "every engine is as it should be", "servers": each}
    return document(503 if whys else 200, body)


def _server(server: str, engines: Sequence[EngineHealth], good: Callable[[EngineState], bool]) -> dict[str, Any]:
    bad = [engine for engine in engines if not good(engine.state)]
    why = "; ".join(_why(engine) for engine in bad) if engines else "nothing has been heard of it yet"
    return {"server": server, "ok": why == "", "why": why, "engines": [_engine(engine) for engine in engines]}


def _why(engine: EngineHealth) -> str:
    name = f"engine {mask(engine.engine)} is " if engine.engine else ""
    reasons = ", ".join(mask(reason) for reason in engine.reasons)
    return f"{name}{engine.state}" + (f" ({reasons})" if reasons else "")


def _engine(engine: EngineHealth) -> dict[str, Any]:
    return {
        "engine": mask(engine.engine),
        "model_name": mask(engine.model_name),
        "state": str(engine.state),
        "since": engine.since,
        "reasons": [mask(reason) for reason in engine.reasons],
    }
