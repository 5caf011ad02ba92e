"""An incident to tell of."""

from __future__ import annotations

from collections.abc import Callable

from vllm_vigil.model import Incident, IncidentState, Severity

OPENED = 1_780_000_000.0
INCIDENT = Incident(
    key="llama:cuda_oom:1780000000",
    rule="cuda_oom",
    server="llama",
    severity=Severity.CRITICAL,
    state=IncidentState.OPEN,
    title="CUDA out of memory",
    opened=OPENED,
    updated=OPENED + 5,
    count=3,
    labels=(("gpu", "0"), ("phase", "serving")),
    evidence=("torch.OutOfMemoryError: CUDA out of memory.",),
)

Incidents = Callable[..., Incident]
