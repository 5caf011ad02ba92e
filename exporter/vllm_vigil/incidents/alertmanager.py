"""Alertmanager's webhook document -> its alerts; and our incidents -> the alerts of `POST /api/v2/alerts`. Pure.

Facts of the formats are from Alertmanager's `template/template.go` (webhook version 4) and `api/v2/openapi.yaml`. The
status of a group says nothing about its alerts: each has its own. Unknown fields are none of our business.

What is wrong with a document is said without a word of it: the answer goes back to whoever sent it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from vllm_vigil.model import Incident
from vllm_vigil.redact import defuse, mask

VERSION = "4"
KEY_LABEL = "vigil_key"
"""The label by which we know our own alerts when they come back."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ZERO = datetime(1, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert as Alertmanager tells of it. Nothing in it has been masked yet.

    `identity` tells it from every other alert, not from its own earlier firings. `started` and `ended` are epoch
    seconds; `ended` is None while it fires, and where nothing is said.
    """

    identity: str
    firing: bool
    started: float
    ended: float | None
    labels: Mapping[str, str]
    annotations: Mapping[str, str]


def read(document: object) -> list[Alert]:
    """The alerts of a webhook's document. Raises ValueError, which says what is wanted and where."""
    if not isinstance(document, dict):
        raise ValueError("the body must be one JSON object, as Alertmanager's webhook sends it")  # noqa: TRY004
    if document.get("version") != VERSION:
        raise ValueError(
            f'version must be "{VERSION}": this is not what Alertmanager\'s webhook sends; '
            "a receiver with a `payload` of its own must do without it"
        )
    alerts = document.get("alerts")
    if not isinstance(alerts, list):
        raise ValueError("alerts must be a list")  # noqa: TRY004  # all of these are what is wrong with a value
    return [_alert(each, f"alerts[{index}]") for index, each in enumerate(alerts)]


def alert_of(incident: Incident, now: float, lasts_seconds: float, remedy: str) -> dict[str, Any]:
    """The incident as an alert. Its labels change only with its rule and severity; numbers are annotations.

    An open one ends by itself `lasts_seconds` from now, unless it is sent again: a sidecar that is gone leaves none.
    """
    ends = now + lasts_seconds if incident.resolved is None else max(incident.resolved, incident.opened)
    names = {
        "alertname": incident.rule,
        "severity": str(incident.severity),
        "server": _safe(incident.server, 120),
        KEY_LABEL: incident.key,
    }
    words = {
        "summary": _safe(incident.title, 200),
        "description": remedy,
        "count": str(incident.count),
        "details": ", ".join(f"{name}={_safe(value, 80)}" for name, value in incident.labels)[:500],
    }
    return {
        "labels": {name: value for name, value in names.items() if value},
        "annotations": {name: value for name, value in words.items() if value},
        "startsAt": _moment(incident.opened),
        "endsAt": _moment(ends),
    }


def _alert(body: object, where: str) -> Alert:
    if not isinstance(body, dict):
        raise ValueError(f"{where} must be an object")  # noqa: TRY004
    status = body.get("status")
    if status not in ("firing", "resolved"):
        raise ValueError(f'{where}.status must be "firing" or "resolved"')
    names = _texts(body.get("labels"), f"{where}.labels")
    started = _time(body.get("startsAt"), f"{where}.startsAt")
    if started is None:
        raise ValueError(f"{where}.startsAt is missing")
    firing = status == "firing"
    return Alert(
        identity=_identity(body.get("fingerprint"), names),
        firing=firing,
        started=started,
        ended=None if firing else _time(body.get("endsAt"), f"{where}.endsAt"),
        labels=names,
        annotations=_texts(body.get("annotations"), f"{where}.annotations"),
    )


def _identity(fingerprint: object, names: Mapping[str, str]) -> str:
    """Alertmanager's hash of the labels, or where there is none ours; of a length that we choose."""
    known = fingerprint if isinstance(fingerprint, str) and fingerprint else json.dumps(sorted(names.items()))
    return hashlib.sha256(known.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _texts(body: object, where: str) -> Mapping[str, str]:
    if body is None:
        return {}
    if not isinstance(body, dict) or not all(isinstance(value, str) for value in body.values()):
        raise ValueError(f"{where} must be an object of texts")
    return body


def _time(text: object, where: str) -> float | None:
    """Epoch seconds; None for nothing and for Go's zero time, which means it."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(str(text))
        seconds = (moment - _EPOCH).total_seconds()
    except (ValueError, TypeError, OverflowError):  # TypeError: a time without a zone
        raise ValueError(f"{where} must be a time as in RFC 3339") from None
    return None if moment == _ZERO else seconds


def _moment(at: float) -> str:
    return (_EPOCH + timedelta(seconds=at)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _safe(text: str, limit: int) -> str:
    return defuse(mask(text, limit))
