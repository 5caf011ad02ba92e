"""The table of what the sidecar's own requests to a server come to; `probe/` fills it, where the probe is on."""

from __future__ import annotations

from vllm_vigil.series.spec import Kind, Spec

REQUESTS = Spec(
    "llm_probe_requests_total",
    Kind.COUNTER,
    "requests",
    "Requests that the probe made, by how they ended: ok, failed (a broken answer, a wrong one, or none), timeout, "
    "refused (a status from 400 to 499: it was not taken, which says nothing of the engine).",
    ("server", "outcome"),
)
SUCCESS = Spec(
    "llm_probe_success",
    Kind.GAUGE,
    "",
    "Whether the last probe came to a good end (1) or not (0).",
    ("server",),
)
FIRST_TOKEN = Spec(
    "llm_probe_time_to_first_token_seconds",
    Kind.GAUGE,
    "seconds",
    "How long the last probe waited for its first token, queueing included; absent when none came.",
    ("server",),
)
DURATION = Spec(
    "llm_probe_duration_seconds",
    Kind.GAUGE,
    "seconds",
    "How long the last probe took, from connecting to its end or its deadline.",
    ("server",),
)

PROBE_SPECS = (REQUESTS, SUCCESS, FIRST_TOKEN, DURATION)
