"""What the sidecar works out from how its series move: forecasts, ratios and slopes. `verdict/trends` fills them.

They are here because they need a memory of minutes or hours, or two sources at once; what PromQL can say of one series
stays a recording rule. Each is absent until enough was seen, and again after a gap or a restart.
"""

from __future__ import annotations

from vllm_vigil.series.gpu import GPU
from vllm_vigil.series.spec import Kind, Spec

ENGINE = ("server", "model_name", "engine")

TIME_TO_FULL = Spec(
    "llm_kv_cache_time_to_full_seconds",
    Kind.GAUGE,
    "seconds",
    "When the KV cache is full if it goes on rising as in the last 5 minutes; absent where it does not rise, "
    "or not within an hour.",
    ENGINE,
)
PREEMPTION_RATIO = Spec(
    "llm_preemption_ratio",
    Kind.GAUGE,
    "ratio",
    "Preemptions per finished request over the last 5 minutes; where none finished the preemptions themselves, "
    "absent where there was neither.",
    ENGINE,
)
MEMORY_GROWTH = Spec(
    "llm_memory_growth_bytes_per_second",
    Kind.GAUGE,
    "bytes_per_second",
    "How fast the server's memory grows, over 1 to 4 hours of one run: of its processes in RAM (host), or held by "
    "them on GPUs (gpu; the pool for weights and KV cache does not grow, and falls out). One step does not count.",
    ("server", "kind"),
)
STRAGGLER = Spec(
    "gpu_straggler_ratio",
    Kind.GAUGE,
    "ratio",
    "By how much the SM clock lies below the median of the other GPUs of its tensor-parallel group, over the moments "
    "of the last 5 minutes in which all of them were busy; 0 is none.",
    (*GPU, "server"),
)
STRAGGLER_THROTTLE = Spec(
    "gpu_straggler_throttle_ratio",
    Kind.GAUGE,
    "ratio",
    "Share of the last 5 minutes in which its clocks were held down (gpu_throttle_seconds_total, the worst reason), "
    "less the median of the other GPUs of its tensor-parallel group; 0 is none.",
    (*GPU, "server"),
)
STRAGGLER_PCIE = Spec(
    "gpu_straggler_pcie_width_ratio",
    Kind.GAUGE,
    "ratio",
    "By how much its PCIe lanes in use lie below the median of the other GPUs of its tensor-parallel group; 0 is none.",
    (*GPU, "server"),
)

LLM_TRENDS = (TIME_TO_FULL, PREEMPTION_RATIO, MEMORY_GROWTH)
GPU_TRENDS = (STRAGGLER, STRAGGLER_THROTTLE, STRAGGLER_PCIE)
