"""Verdicts and open incidents -> the first line of the page: is it serving, what is wrong, since when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vllm_vigil.model import SERVING_STATES, EngineHealth, Incident, Severity
from vllm_vigil.redact import mask

SEVERITIES = tuple(Severity)  # the worst stands first


@dataclass(frozen=True, slots=True)
class Headline:
    """`serving` is True, False, or None while nothing is known; `text` and `why` say it to people.

    `since` (epoch seconds) is when it became so. `troubled` says that something wants looking at even so.
    """

    serving: bool | None
    text: str
    why: str = ""
    since: float | None = None
    troubled: bool = False


def headline(
    servers: Sequence[str],
    engines: Sequence[EngineHealth],
    incidents: Sequence[Incident],
    serving_since: Mapping[str, float | None],
) -> Headline:
    """The one sentence. An engine that does not serve comes before an incident; the first to fail speaks for all.

    `serving_since` (epoch seconds, by server) bridges the states that serve: between two requests an engine is idle.
    """
    if not servers:
        return Headline(None, "No vLLM server is configured")
    known = {engine.server for engine in engines}
    unknown = [server for server in servers if server not in known]
    failing = sorted(
        (engine for engine in engines if engine.state not in SERVING_STATES), key=lambda engine: engine.since
    )
    if failing:
        return _failing(failing, all_of_them=len(failing) == len(engines) and not unknown)
    if unknown:
        return Headline(None, "Not known yet", f"nothing has been heard of {', '.join(unknown)}", troubled=True)
    if incidents:
        return _troubled(incidents)
    since = max((at for at in serving_since.values() if at is not None), default=None)
    return Headline(serving=True, text="Serving", why="no incident is open", since=since)


def _failing(failing: Sequence[EngineHealth], *, all_of_them: bool) -> Headline:
    first = failing[0]
    name = f"{first.server}, engine {mask(first.engine)}," if first.engine else first.server
    others = f", and {len(failing) - 1} more" if len(failing) > 1 else ""
    reason = f": {mask(first.reasons[0])}" if first.reasons else ""
    return Headline(
        serving=False,
        text="Not serving" if all_of_them else "Serving in part",
        why=f"{name} is {first.state.replace('_', ' ')}{others}{reason}",
        since=first.since,
        troubled=True,
    )


def _troubled(incidents: Sequence[Incident]) -> Headline:
    worst = min(incidents, key=lambda incident: (SEVERITIES.index(incident.severity), incident.opened))
    others = f", and {len(incidents) - 1} more" if len(incidents) > 1 else ""
    where = f" on {worst.server}" if worst.server else ""
    why = f"{mask(worst.title)}{where}{others}"
    return Headline(serving=True, text="Serving, with trouble", why=why, since=worst.opened, troubled=True)
