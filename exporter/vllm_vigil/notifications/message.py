"""A notification -> the message that a person reads on a phone at 3 a.m. Pure: plain text, no channel's markup.

First line: what, where, since when. Then the labels and the count, the first thing to do, and the key, by which the
messages of one incident are known in a channel that has no keys of its own. Everything that came from a log, a label
or a webhook is masked and defused here, once, whatever the channel.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from vllm_vigil.model import Incident, Notification, Reason, Severity
from vllm_vigil.redact import defuse, mask
from vllm_vigil.units import format_duration

TITLE_LIMIT = 230
"""Characters; the shortest limits are those of Discord's and Pushover's titles (256 and 250)."""
BODY_LIMIT = 1_700
"""Characters, so that title and body together fit Discord's 2,000; PagerDuty's 1,024 cut off evidence first."""
FACTS_LIMIT = 500
"""Characters of rule and labels, so that many labels do not push out what to do and the key."""


class Kind(StrEnum):
    """What an incident service makes of the message; the values are Apprise's notify types."""

    FAILURE = "failure"  # critical
    WARNING = "warning"
    INFO = "info"
    SUCCESS = "success"  # resolves


KINDS = {Severity.CRITICAL: Kind.FAILURE, Severity.WARNING: Kind.WARNING, Severity.INFO: Kind.INFO}


@dataclass(frozen=True, slots=True)
class Message:
    """What is sent: one line, and the lines under it."""

    title: str
    body: str
    kind: Kind


def compose(notification: Notification, now: float, remedy: Callable[[str], str], *, evidence: bool = False) -> Message:
    """Say it. `remedy` gives the first thing to do for a rule, "" if none; `evidence` adds the masked log lines."""
    incident = notification.incident
    resolved = notification.reason is Reason.RESOLVED
    lines = [_facts(incident), _times(incident, now)]
    if not resolved and (first := remedy(incident.rule)):
        lines.append(f"Do first: {first}")
    lines.append(f"Key {_safe(incident.key, 255)}, attempt {notification.attempts + 1}")
    if evidence and not resolved:
        lines += ["Log:", *(_safe(line, 300) for line in incident.evidence)]
    body = "\n".join(line for line in lines if line)
    when = f"after {_lasted(incident)}" if resolved else f"since {_clock(incident.opened)}"
    return Message(
        title=_cut(f"{_heading(notification)}: {_subject(incident)}, {when}", TITLE_LIMIT),
        body=_cut(body, BODY_LIMIT),
        kind=_kind(notification),
    )


def _heading(notification: Notification) -> str:
    severity = notification.incident.severity.upper()
    return {
        Reason.FIRST: severity,
        Reason.MORE: f"{severity}, cause found",
        Reason.REPEAT: f"{severity}, still open",
        Reason.RESOLVED: "RESOLVED",
        Reason.TEST: "TEST, nothing is wrong",
    }[notification.reason]


def _kind(notification: Notification) -> Kind:
    if notification.reason is Reason.RESOLVED:
        return Kind.SUCCESS
    return Kind.INFO if notification.reason is Reason.TEST else KINDS[notification.incident.severity]


def _subject(incident: Incident) -> str:
    title = _safe(incident.title, 120)
    return f"{title} on {_safe(incident.server, 50)}" if incident.server else title


def _facts(incident: Incident) -> str:
    pairs = (f"{_safe(name, 40)}={_safe(value, 80)}" for name, value in incident.labels)
    return _cut(", ".join([f"Rule {_safe(incident.rule, 80)}", *pairs]), FACTS_LIMIT)


def _times(incident: Incident, now: float) -> str:
    times = "once" if incident.count == 1 else f"{incident.count} times"
    if incident.resolved is not None:
        return f"Lasted {_lasted(incident)}, from {_clock(incident.opened)}, seen {times}"
    return f"Open for {_span(now - incident.opened)}, seen {times}, last at {_clock(incident.updated)}"


def _lasted(incident: Incident) -> str:
    return _span((incident.resolved or incident.updated) - incident.opened)


def _clock(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _span(seconds: float) -> str:
    return format_duration(max(0, round(seconds)))


def _safe(text: str, limit: int) -> str:
    return defuse(mask(text, limit))


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
