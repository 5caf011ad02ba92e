"""An incident and the routes -> the channels that hear of it, each with how often it is told again. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from vllm_vigil.model import Incident, Severity
from vllm_vigil.notifications.settings import NotifySettings, RouteSettings

REPEAT_SECONDS = {Severity.CRITICAL: 1800.0, Severity.WARNING: 7200.0, Severity.INFO: 86400.0}


@dataclass(frozen=True, slots=True)
class Listener:
    """A channel that hears of an incident, and of its staying open every `repeat_seconds`."""

    channel: str
    repeat_seconds: float


def listeners(incident: Incident, settings: NotifySettings) -> tuple[Listener, ...]:
    """Who hears of the incident: the channels of the first route that matches, and on through those with `also`.

    Without routes every channel does. A channel in several of them is told once, as the first one says.
    """
    routes = settings.routes or (RouteSettings(to=tuple(settings.channels)),)
    found: dict[str, Listener] = {}
    for route in routes:
        if not _matches(route, incident):
            continue
        repeat_seconds = REPEAT_SECONDS[incident.severity] if route.repeat is None else route.repeat
        for name in route.to:
            found.setdefault(name, Listener(name, repeat_seconds))
        if not route.also:
            break
    return tuple(found.values())


def fallbacks(incident: Incident, settings: NotifySettings) -> tuple[str, ...]:
    """The channels that a critical page goes to, in this order, when those of its routes do not take it."""
    heard = {listener.channel for listener in listeners(incident, settings)}
    found: dict[str, None] = {}
    for route in settings.routes:
        if _matches(route, incident):
            found.update(dict.fromkeys(settings.channels if route.fallback is None else route.fallback))
            if not route.also:
                break
    return tuple(name for name in found if name not in heard)


def _matches(route: RouteSettings, incident: Incident) -> bool:
    facts = {"severity": incident.severity.value, "rule": incident.rule, "server": incident.server}
    return all(facts.get(key) == value for key, value in route.match.items())
