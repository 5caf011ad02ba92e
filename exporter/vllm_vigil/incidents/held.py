"""One open incident, and how a sign changes it: more of the same, a consequence folding in, a cause taking over.

It is as bad as its worst sign: what a GPU's driver only warned of pages when the engine dies of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from vllm_vigil.incidents.burst import Fix
from vllm_vigil.incidents.flaps import QUIET_SECONDS
from vllm_vigil.incidents.rules import Rule
from vllm_vigil.incidents.sign import Sign, title
from vllm_vigil.model import Incident, IncidentState, Labels, Severity, labels

FOLD_SECONDS = 60.0
UNCONFIRMED_SECONDS = 300.0
MAX_EVIDENCE = 5
MAX_PROCESSES = 8


@dataclass(slots=True)
class Held:
    """An open incident and what only its judging needs. `last` is its own rule's latest sign, without what folded in.

    `holding` are the findings that hold now, as (rule, group), with the time when each was last confirmed; `ended` is
    when the last of them ceased.
    """

    incident: Incident
    group: str
    last: float
    ended: float = 0.0
    holding: dict[tuple[str, str], float] = field(default_factory=dict)

    @property
    def flapping(self) -> bool:
        """Whether it has ended and begun too often to end soon again."""
        return any(name == "flapping" for name, _ in self.incident.labels)

    @property
    def lasts(self) -> bool:
        """Whether what it is about is still seen, and not only what came of it."""
        return any(rule == self.incident.rule for rule, _ in self.holding)

    def forget_unconfirmed(self, now: float) -> None:
        """A finding that nobody makes any more (its GPU or server is gone) must not hold the incident for ever."""
        for name in [name for name, at in self.holding.items() if now - at > UNCONFIRMED_SECONDS]:
            self.ended = max(self.ended, self.holding.pop(name))

    def adjust(self, fix: Fix) -> None:
        """The clock was set: correct every time, those that people see too."""
        self.last, self.ended = fix(self.last), fix(self.ended)
        self.holding = {name: fix(at) for name, at in self.holding.items()}
        self.incident = replace(self.incident, opened=fix(self.incident.opened), updated=fix(self.incident.updated))

    def resolved_at(self, rule: Rule, serving_since: Mapping[str, float | None]) -> float | None:
        """The moment from which the incident counts as over, None if it does not as things stand."""
        if self.holding:
            return None
        server, last = self.incident.server, max(self.incident.updated, self.ended)
        quiet = last + (max(rule.quiet, QUIET_SECONDS) if self.flapping else rule.quiet)
        waits = rule.waits(self.incident.severity)
        if waits and server not in serving_since and rule.count > 1:
            return max(quiet, last + rule.window)  # silence alone: a burst is not over while its window holds one
        if not waits or server not in serving_since:
            return quiet
        since = serving_since[server]
        return None if since is None else max(quiet, since + rule.up)

    def grow(self, sign: Sign, started_at: float | None) -> Incident:
        """More of the same, or a consequence. A crash counts again only when it has happened again."""
        old = self.incident
        own = old.rule == sign.rule.id
        again = sign.at > self.last + FOLD_SECONDS or self.last < (started_at or 0.0) <= sign.at
        known = _joined((*sign.labels, *old.labels) if own else old.labels, sign.process)
        self.incident = replace(
            old,
            severity=worst(old.severity, sign.severity),
            title=title(sign.rule, known) if own else old.title,
            updated=max(old.updated, sign.at),
            count=old.count + int(own and (sign.rule.count > 1 or again)),
            labels=known,
            fix=old.fix or (sign.fix if own else ""),
            evidence=old.evidence if len(old.evidence) >= MAX_EVIDENCE else _unique(*old.evidence, sign.line),
        )
        if own:
            self.last = max(self.last, sign.at)
        return self.incident

    def take_over(self, sign: Sign) -> Incident:
        """The cause takes the place of its consequence, under the same key."""
        old = self.incident
        kept = tuple(pair for pair in old.labels if pair[0] in ("processes", "boot_loop", "flapping", "late"))
        self.group, self.last = sign.group, max(self.last, sign.at)
        self.incident = replace(
            old,
            rule=sign.rule.id,
            severity=worst(old.severity, sign.severity),
            title=title(sign.rule, labels(**dict((*sign.labels, *kept)))),
            opened=min(old.opened, sign.at),
            updated=max(old.updated, sign.at),
            count=1,
            labels=_joined((*sign.labels, *kept), sign.process),
            evidence=_unique(sign.line, *old.evidence),
            fix=sign.fix,
        )
        return self.incident


def opened(sign: Sign, count: int, led_here: Iterable[str], *, flapping: bool) -> Held:
    """A new incident, with the lines that came before it below its own."""
    known = _joined((*sign.labels, ("flapping", "yes" if flapping else "")), sign.process)
    incident = Incident(
        key=sign.key,
        rule=sign.rule.id,
        server=sign.server,
        severity=sign.severity,
        state=IncidentState.OPEN,
        title=title(sign.rule, known),
        opened=sign.at,
        updated=sign.at,
        count=count,
        labels=known,
        evidence=_unique(sign.line, *led_here),
        fix=sign.fix,
    )
    return Held(incident, sign.group, sign.at)


def worst(*severities: Severity) -> Severity:
    """The most urgent of them."""
    return min(severities, key=list(Severity).index)


def _unique(*lines: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(line for line in lines if line))[:MAX_EVIDENCE]


def _joined(pairs: Labels, process: str) -> Labels:
    """Labels, of which a later pair wins, with one more process among those that were hit."""
    known = dict(pairs)
    processes = [name for name in known.get("processes", "").split(",") if name]
    if process and process not in processes and len(processes) < MAX_PROCESSES:
        known["processes"] = ",".join(sorted((*processes, process)))
    return labels(**known)
