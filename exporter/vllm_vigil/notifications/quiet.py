"""Silences and maintenance windows -> whether an incident is told to people now. Pure.

What is silenced is recorded as ever; only nobody hears of its beginning. Its end is told to who heard the beginning.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from vllm_vigil.model import Incident, Silence
from vllm_vigil.notifications.settings import DAYS, WindowSettings, minutes_of

MINUTES_A_DAY = 1440


def silenced(incident: Incident, silences: Iterable[Silence], windows: Iterable[WindowSettings], now: float) -> bool:
    """Whether one of them covers the incident at `now` (epoch seconds)."""
    return any(
        silence.begins <= now < silence.ends and agrees(dict(silence.match), incident) for silence in silences
    ) or any(agrees(window.match, incident) and within(window, now) for window in windows)


def agrees(match: Mapping[str, str], incident: Incident) -> bool:
    """Whether the incident has every value of the matcher: severity, rule, server, or one of its labels."""
    facts = {
        **dict(incident.labels),
        "severity": incident.severity.value,
        "rule": incident.rule,
        "server": incident.server,
    }
    return all(facts.get(name) == value for name, value in match.items())


def within(window: WindowSettings, now: float) -> bool:
    """Whether the moment lies in the window; one that ends before it starts goes past midnight, into the next day."""
    local = datetime.fromtimestamp(now, ZoneInfo(window.zone))
    minute = local.hour * 60 + local.minute
    start, end = minutes_of(window.start), minutes_of(window.end) or MINUTES_A_DAY
    if start < end:
        return start <= minute < end and _on(window, local)
    return (minute >= start and _on(window, local)) or (minute < end and _on(window, local - timedelta(days=1)))


def _on(window: WindowSettings, day: datetime) -> bool:
    return not window.days or DAYS[day.weekday()] in window.days
