"""What the verdict declares: the one series that is judged, not relayed. `verdict/` fills it."""

from __future__ import annotations

from vllm_vigil.model import EngineState
from vllm_vigil.series.spec import Kind, Spec

ENGINE_STATE = Spec(
    "llm_engine_state",
    Kind.STATESET,
    "",
    f"What the engine is doing: 1 for the state it is in, 0 for the others ({', '.join(EngineState)}).",
    ("server", "model_name", "engine", "state"),
)
