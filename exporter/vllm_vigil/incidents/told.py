"""What Alertmanager tells -> incidents of ours, opened and resolved at its word; and by us when that word stays out.

Promise: the same alert told again, by another member of the cluster, through another route or after a restart, changes
nothing. An alert is known by its label set (Alertmanager's fingerprint) and a firing of it by when it started, which
all members agree on; the group is left out, because two routes that lead here would page twice. A resolve counts if
it ended after the latest start, so that one that arrives again does not end the next firing.

Alertmanager sends no resolve for an alert that is silenced while it fires: hence the time to live. Pure: `now` is
handed in (epoch seconds). Labels and annotations are hostile: a chosen few are kept, masked and cut.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from enum import StrEnum

from vllm_vigil.incidents.alertmanager import KEY_LABEL, Alert
from vllm_vigil.incidents.rules import Rule
from vllm_vigil.model import Change, Incident, IncidentState, Labels, Severity, Transition, labels
from vllm_vigil.redact import mask

RULE = "alertmanager"
BY_HAND = "resolved by hand"
MAX_OPEN = 500
LATE_SECONDS = 600.0  # a member may tell of a firing so long after another told its end
MAX_ENDED = 1000
MAX_AGE_SECONDS = 30 * 86_400.0  # older starts are no start: they would be forgotten the moment they end
LABELS = ("alertname", "cluster", "gpu", "instance", "job", "model_name", "namespace", "node", "pod", "severity")
SEVERITIES: Mapping[str, Severity] = {
    **dict.fromkeys(("critical", "crit", "page", "emergency", "fatal", "high"), Severity.CRITICAL),
    **dict.fromkeys(("warning", "warn", "ticket", "medium"), Severity.WARNING),
    **dict.fromkeys(("info", "information", "none", "low"), Severity.INFO),
}


class Heard(StrEnum):
    """What became of one alert that was told; the label values of `vigil_alertmanager_alerts_total`."""

    OPENED = "opened"
    RESOLVED = "resolved"
    KNOWN = "known"  # told before, or the end of what we never had
    OWN = "own"  # ours, come back
    FULL = "full"


@dataclass(slots=True)
class Taken:
    """What one document came to."""

    changes: list[Change] = field(default_factory=list)
    heard: list[Heard] = field(default_factory=list)

    @property
    def full(self) -> bool:
        """Whether something did not fit, and is to be told again later."""
        return Heard.FULL in self.heard


@dataclass(slots=True)
class _Firing:
    """An open incident, its latest known start, and when it was last told."""

    incident: Incident
    started: float
    seen: float


class Told:
    """The alerts of Alertmanager that fire now. `own` gives the keys of incidents that began with us."""

    def __init__(
        self, rule: Rule, servers: Collection[str], expire_seconds: float, own: Callable[[], AbstractSet[str]]
    ) -> None:
        self._rule = rule
        self._servers = servers
        self._expire_seconds = expire_seconds
        self._own = own
        self._firing: dict[str, _Firing] = {}
        self._ended: dict[str, tuple[float, float]] = {}  # identity: when it ended, when we heard

    def take(self, alerts: Iterable[Alert], now: float) -> Taken:
        """Judge a document's alerts, ends first: they make room."""
        taken = Taken()
        self._ended = {name: end for name, end in self._ended.items() if 0 <= now - end[1] < LATE_SECONDS}
        known = list(alerts)
        own = self._own() if any(KEY_LABEL in alert.labels for alert in known) else frozenset()
        for alert in sorted(known, key=lambda alert: alert.firing):
            if alert.labels.get(KEY_LABEL) in own:
                taken.heard.append(Heard.OWN)
                continue
            heard, change = self._fires(alert, now) if alert.firing else self._ends(alert, now)
            taken.heard.append(heard)
            taken.changes += [change] if change else []
        return taken

    def tick(self, now: float) -> list[Change]:
        """Let time pass: what was not told again for too long is over, as far as we can know."""
        silent = [name for name, firing in self._firing.items() if now - firing.seen >= self._expire_seconds]
        return [self._close(name, now, "not told of any more") for name in silent]

    def move(self, seconds: float) -> None:
        """Our clock was set by so much: when we heard moves along. What Alertmanager says of times is by its own."""
        for firing in self._firing.values():
            firing.seen += seconds
        self._ended = {name: (ended, heard + seconds) for name, (ended, heard) in self._ended.items()}

    def resolve(self, key: str, now: float) -> list[Change]:
        """End an incident because a person says so; the same firing, told by another member by now, is no news."""
        for name, firing in self._firing.items():
            if firing.incident.key == key:
                self._ended[name] = (firing.started, now)
                return [self._close(name, max(now, firing.incident.opened), BY_HAND)]
        return []

    def open(self) -> list[Incident]:
        """What fires now."""
        return [firing.incident for firing in self._firing.values()]

    # --- one alert

    def _fires(self, alert: Alert, now: float) -> tuple[Heard, Change | None]:
        firing = self._firing.get(alert.identity)
        if firing:
            firing.started, firing.seen = max(firing.started, alert.started), now
            return Heard.KNOWN, None
        ended = self._ended.get(alert.identity)
        if not self._rule.enabled or (ended and alert.started <= ended[0]):
            return Heard.KNOWN, None
        if len(self._firing) >= MAX_OPEN:
            return Heard.FULL, None
        incident = self._incident(alert, now)
        self._firing[alert.identity] = _Firing(incident, alert.started, now)
        return Heard.OPENED, Change(incident, Transition.OPENED)

    def _ends(self, alert: Alert, now: float) -> tuple[Heard, Change | None]:
        ended = max(alert.started, alert.ended or 0.0)  # by Alertmanager's clock, which may be ahead of ours
        firing = self._firing.get(alert.identity)
        if firing and ended < firing.started:
            return Heard.KNOWN, None
        if len(self._ended) < MAX_ENDED or alert.identity in self._ended:
            self._ended[alert.identity] = (ended, now)
        if firing is None:
            return Heard.KNOWN, None
        return Heard.RESOLVED, self._close(alert.identity, max(min(ended, now), firing.incident.opened))

    def _close(self, identity: str, at: float, why: str = "") -> Change:
        old = self._firing.pop(identity).incident
        known = labels(**dict(old.labels), ended=why)
        return Change(
            replace(old, state=IncidentState.RESOLVED, resolved=at, updated=at, labels=known), Transition.RESOLVED
        )

    def _incident(self, alert: Alert, now: float) -> Incident:
        opened = alert.started if now - MAX_AGE_SECONDS <= alert.started <= now else now
        server = alert.labels.get("server", "")
        description = mask(alert.annotations.get("description", ""))
        return Incident(
            key=f"vigil-{hashlib.sha256(f'{RULE}/{alert.identity}/{alert.started:.6f}'.encode()).hexdigest()[:16]}",
            rule=RULE,
            server=server if server in self._servers else "",
            severity=SEVERITIES.get(alert.labels.get("severity", "").lower(), self._rule.severity),
            state=IncidentState.OPEN,
            title=_title(alert) or self._rule.title,
            opened=opened,
            updated=now,
            labels=_kept(alert.labels),
            evidence=(description,) if description else (),
        )

    # --- restart

    def remember(self) -> str:
        """What belongs to the open incidents, and the ends of late, as JSON."""
        firing = {name: [each.incident.key, each.started, each.seen] for name, each in self._firing.items()}
        return json.dumps({"firing": firing, "ended": self._ended})

    def restore(self, memory: str | None, open_incidents: Sequence[Incident], now: float) -> None:
        """Go on from what an earlier process remembered; the incidents themselves come from the store.

        Whose time to live ran out while nobody listened is given a little more: Alertmanager has tried, and will again.
        """
        body = json.loads(memory) if memory else {"firing": {}, "ended": {}}
        ours = {incident.key: incident for incident in open_incidents if incident.rule == RULE}
        for name, (key, started, seen) in body["firing"].items():
            if key in ours:
                self._firing[name] = _Firing(ours.pop(key), started, seen)
        for key, incident in ours.items():  # nobody knows any more which alert it was: its time to live ends it
            self._firing[key] = _Firing(incident, incident.opened, incident.updated)
        for firing in self._firing.values():
            firing.seen = min(max(firing.seen, now - self._expire_seconds + LATE_SECONDS), now)  # a clock set back
        self._ended = {name: (ended, at) for name, (ended, at) in body["ended"].items()}


def _title(alert: Alert) -> str:
    """`KVCacheFull: the KV cache of llama is full`."""
    name = mask(alert.labels.get("alertname", ""), 80)
    summary = mask(alert.annotations.get("summary", ""), 120)
    return ": ".join(part for part in (name, summary) if part)


def _kept(known: Mapping[str, str]) -> Labels:
    return labels(**{name: mask(known[name], 120) for name in LABELS if name in known})
