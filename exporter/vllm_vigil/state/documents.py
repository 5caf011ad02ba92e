"""An incident <-> the JSON text under which it is stored. What was written by an older version reads back."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from vllm_vigil.model import Incident, IncidentState, Severity


def incident_to_json(incident: Incident) -> str:
    """One line of JSON with every field."""
    return json.dumps(asdict(incident), ensure_ascii=True, separators=(",", ":"))


def incident_from_json(text: str) -> Incident:
    """The incident that `incident_to_json` wrote."""
    body: dict[str, Any] = json.loads(text)
    return Incident(
        **body
        | {
            "severity": Severity(body["severity"]),
            "state": IncidentState(body["state"]),
            "labels": tuple((name, value) for name, value in body["labels"]),
            "evidence": tuple(body["evidence"]),
        }
    )
