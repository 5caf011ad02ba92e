"""`vigil incidents` and `vigil outbox`: what stands in the state file, also while the sidecar runs."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from vllm_vigil.config.load import Recipe, state_directory
from vllm_vigil.model import Incident
from vllm_vigil.redact import mask
from vllm_vigil.state.documents import incident_to_json
from vllm_vigil.state.store import Store

SHOWN = 200


def list_incidents(recipe: Recipe, *, as_json: bool) -> int:
    """Print the incidents, newest first; 1 if one of them is open."""
    incidents = _peek(recipe).recent_incidents(SHOWN)
    for incident in incidents:
        print(incident_to_json(incident) if as_json else _line(incident))
    if not incidents and not as_json:
        print("no incident")
    return int(any(incident.resolved is None for incident in incidents))


def list_outbox(recipe: Recipe, *, as_json: bool) -> int:
    """Print what waits to be delivered, oldest first; 1 if something does."""
    waiting = _peek(recipe).waiting()
    for notification, due in waiting:
        facts = {
            "id": notification.id,
            "channel": notification.channel,
            "reason": notification.reason,
            "key": notification.incident.key,
            "attempts": notification.attempts,
            "queued": moment(notification.queued),
            "next": moment(due),
        }
        if as_json:
            print(json.dumps(facts))
        else:
            print("  ".join(str(value) for value in facts.values()))
    if not waiting and not as_json:
        print("nothing waits")
    return int(bool(waiting))


def moment(epoch_seconds: float) -> str:
    """RFC 3339, in UTC, to the second."""
    return datetime.fromtimestamp(epoch_seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _line(incident: Incident) -> str:
    end = "open" if incident.resolved is None else f"resolved {moment(incident.resolved)}"
    server = incident.server or "host"
    what = f"{mask(incident.title)}  x{incident.count}"
    return f"{moment(incident.opened)}  {incident.severity:<8}  {server}  {what}  {end}  {incident.key}"


def _peek(recipe: Recipe) -> Store:
    return Store.peek(state_directory(recipe.load().config))
