"""What the verdict declares: the series that are judged, not relayed. `verdict/` fills them."""

from __future__ import annotations

from vllm_vigil.model import EngineState
from vllm_vigil.series.spec import Kind, Spec

ENGINE = ("server", "model_name", "engine")

ENGINE_STATE = Spec(
    "llm_engine_state",
    Kind.STATESET,
    "",
    f"What the engine is doing: 1 for the state it is in, 0 for the others ({', '.join(EngineState)}).",
    (*ENGINE, "state"),
)

ENGINE_STATE_START_TIME = Spec(
    "llm_engine_state_start_time_seconds",
    Kind.GAUGE,
    "seconds",
    "Since when the engine is in its state, in seconds since the epoch.",
    ENGINE,
)

ENGINE_STEP_AGE = Spec(
    "llm_engine_step_age_seconds",
    Kind.GAUGE,
    "seconds",
    "Time since the engine last showed that it took a step, while it holds work; absent while it holds none.",
    ENGINE,
)

SERVER_STOP_REQUESTED = Spec(
    "llm_server_stop_requested_timestamp_seconds",
    Kind.GAUGE,
    "seconds",
    "When the server was told to stop, as its log says, in seconds since the epoch; until it answers or starts again.",
    ("server",),
)

VERDICT_SPECS = (ENGINE_STATE, ENGINE_STATE_START_TIME, ENGINE_STEP_AGE, SERVER_STOP_REQUESTED)
