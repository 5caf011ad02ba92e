"""Events, findings and time -> changes of incidents: opened, taken over by their cause, grown, resolved.

One crash is one incident. Its signs come from several processes in any order, so what ranks below an open incident of
the server and comes within a minute folds into it, and what ranks above takes it over; the key stays. While the server
has not served again, consequences fold however late they come, and all that ranks below does while the cause is still
seen: without its GPU a server dies at every start. It knows no clock: all times are handed in.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from vllm_vigil.incidents.burst import Fix, Windows
from vllm_vigil.incidents.flaps import Flaps
from vllm_vigil.incidents.held import FOLD_SECONDS, UNCONFIRMED_SECONDS, Held, opened
from vllm_vigil.incidents.life import STARTED, Life
from vllm_vigil.incidents.rules import Rule
from vllm_vigil.incidents.shortage import Look, Surroundings
from vllm_vigil.incidents.sign import Sign, of_event, of_finding
from vllm_vigil.incidents.triage import around
from vllm_vigil.model import Change, Event, Finding, Incident, IncidentState, Severity, Transition, labels

MAX_OPEN_PER_RULE = 20  # templates of errors can be many; beyond this they count for the newest

BY_HAND = "resolved by hand"


class Incidents:
    """Every incident that is open, and what may become one."""

    def __init__(self, rules: Mapping[str, Rule], look: Look = lambda _server, _fields: Surroundings()) -> None:
        self._rules = rules
        self._look = look
        self._open: dict[str, Held] = {}
        self._windows = Windows()
        self._flaps = Flaps()
        self._lives: dict[str, Life] = {}
        self._dismissed: dict[tuple[str, str, str], float] = {}  # server, rule, group: when last confirmed
        self._now = math.inf  # at the last tick; what was remembered may lie after the first

    # --- what comes in

    def observe(self, event: Event) -> list[Change]:
        """Judge one event."""
        life = self._life(event.server)
        life.learn(event)
        if event.record.old:
            return self._warm(event, life)
        if event.kind == STARTED:
            return self._started(event, life)
        rule = self._rules.get(event.rule)
        if rule is None or not rule.enabled or life.explains(rule, event.at, found=False):
            return []
        facts = {**event.fields, "process": event.record.process}
        beside = around(self._look, rule.id, event.server, facts, life.settings)
        return self._admit(of_event(event, rule, beside), counted=True)[1]

    def _warm(self, event: Event, life: Life) -> list[Change]:
        """What stood in a log before it was first seen counts towards what comes, and opens nothing itself."""
        rule = self._rules.get(event.rule)
        if event.kind == STARTED:
            life.start(event.at, self._rules["boot_loop"].window if "boot_loop" in self._rules else 0.0)
        elif rule is not None and rule.enabled and rule.count > 1 and not life.explains(rule, event.at, found=False):
            sign = of_event(event, rule)
            self._windows.warm((sign.server, rule.id, sign.group), sign.at, rule.count - 1, rule.window)
        return []

    def weigh(self, finding: Finding, now: float) -> list[Change]:
        """Judge one finding; as long as it goes on the same, nothing changes."""
        rule = self._rules.get(finding.rule)
        if rule is None or not rule.enabled or not (finding.holds or self._held_before(finding)):
            return []
        beside = around(self._look, rule.id, finding.server, {}, self._life(finding.server).settings)
        sign = of_finding(finding, rule, beside)
        name = (rule.id, sign.group)
        dismissed = self._dismissed.pop((sign.server, *name), None) is not None
        if dismissed and finding.holds:
            self._dismissed[sign.server, *name] = now
        if dismissed:
            return []
        held = next((held for held in self._of(sign.server) if name in held.holding), None)
        if held and finding.holds:
            held.holding[name] = now
        elif held:
            del held.holding[name]
            held.ended = now
        if held or not finding.holds or self._life(sign.server).explains(rule, sign.at, found=True):
            return []
        held, changes = self._admit(sign, counted=False)
        if held:
            held.holding[name] = now
        return changes

    def tick(self, now: float, serving_since: Mapping[str, float | None]) -> list[Change]:
        """Let time pass: what has been quiet for long enough, on a server that serves, is resolved.

        A server is missing in `serving_since` when nobody knows whether it serves; then quiet alone resolves.
        """
        if now < self._now:  # the clock was set back while nobody looked: what has not come yet is of now
            self._adjust(lambda at: min(at, now))
        self._now = now
        for server, since in serving_since.items():
            self._life(server).tick(now, since)
        changes = []
        self._dismissed = {name: at for name, at in self._dismissed.items() if now - at <= UNCONFIRMED_SECONDS}
        for key, held in list(self._open.items()):
            held.forget_unconfirmed(now)
            resolved = held.resolved_at(self._rule(held.incident), serving_since)
            if resolved is not None and now >= resolved:
                incident = replace(held.incident, state=IncidentState.RESOLVED, resolved=resolved)
                del self._open[key]
                self._flaps.ended((incident.server, incident.rule, held.group), resolved)
                changes.append(Change(incident, Transition.RESOLVED))
        return changes

    def move(self, seconds: float) -> list[Change]:
        """The clock was set by so much: all that is remembered moves along, so that every span stays what it was."""
        self._adjust(lambda at: at + seconds)
        self._now += seconds
        return [Change(held.incident, Transition.UPDATED) for held in self._open.values()]

    def _adjust(self, fix: Fix) -> None:
        self._dismissed = {name: fix(at) for name, at in self._dismissed.items()}
        parts: list[Windows | Flaps | Life | Held] = [self._windows, self._flaps]
        for part in (*parts, *self._lives.values(), *self._open.values()):
            part.adjust(fix)

    def resolve(self, key: str, now: float) -> list[Change]:
        """End an open incident because a person says so; nothing changes if none of that key is open.

        A finding that still holds opens nothing until it has ceased; what the log says from now on counts as ever. It
        is no end of the kind that flapping is told by.
        """
        held = self._open.pop(key, None)
        if held is None:
            return []
        self._dismissed |= {(held.incident.server, *name): now for name in held.holding}
        known = labels(**dict(held.incident.labels) | {"ended": BY_HAND})
        resolved = max(now, held.incident.opened)
        incident = replace(held.incident, state=IncidentState.RESOLVED, resolved=resolved, labels=known)
        return [Change(incident, Transition.RESOLVED)]

    def open(self) -> list[Incident]:
        """What is wrong now, oldest first."""
        return sorted((held.incident for held in self._open.values()), key=lambda incident: incident.opened)

    def stops(self) -> dict[str, float]:
        """The servers that were told to stop and have not come back, and when."""
        return {server: life.stop_at for server, life in self._lives.items() if life.stopped and life.stop_at}

    # --- which incident a sign belongs to

    def _admit(self, sign: Sign, *, counted: bool) -> tuple[Held | None, list[Change]]:
        life = self._life(sign.server)
        if sign.rank is not None and sign.severity is Severity.CRITICAL and life.ready_at is not None:
            life.trouble_at = life.trouble_at or sign.at
        if held := self._same(sign) or self._host(sign, life):
            before, grown = held.incident.severity, held.grow(sign, life.started_at)
            return held, [Change(grown, Transition.UPDATED if grown.severity is before else Transition.TAKEN_OVER)]
        count = 1
        if counted:
            key = (sign.server, sign.rule.id, sign.group)
            count = self._windows.add(key, sign.at, sign.rule.count, sign.rule.window)
        if counted and count < sign.rule.count:
            life.note(sign)
            return None, []
        self._windows.clear(sign.server, sign.rule.id)
        below = self._below(sign)
        if below:
            return below, [Change(below.take_over(sign), Transition.TAKEN_OVER)]
        return self._begin(sign, life, count)

    def _same(self, sign: Sign) -> Held | None:
        """The open incident of the same rule and group."""
        of_rule = [held for held in self._of(sign.server) if held.incident.rule == sign.rule.id]
        for held in of_rule:
            if held.group == sign.group:
                return held
        return of_rule[-1] if len(of_rule) >= MAX_OPEN_PER_RULE else None

    def _host(self, sign: Sign, life: Life) -> Held | None:
        """The open crash of which a sign is a consequence."""
        if sign.rank is None:
            return None
        for held in self._of(sign.server):
            rank = self._rank(held)
            if rank is None or rank > sign.rank:
                continue
            if abs(sign.at - held.last) <= FOLD_SECONDS or self._goes_on(held, sign, life):
                return held
        return None

    def _goes_on(self, held: Held, sign: Sign, life: Life) -> bool:
        """Whether what comes late is still of that outage. A server can idle for long on a GPU that is gone."""
        lasts = held.lasts and not life.came_back_since(held.last)
        follows = sign.rule.consequence and not life.served_since(held.last, FOLD_SECONDS)
        return (lasts or follows) and held.incident.severity is Severity.CRITICAL

    def _below(self, sign: Sign) -> Held | None:
        """The open incident whose cause a sign is: a consequence that has just begun, or the restarts after it."""
        if sign.rank is None:
            return None
        for held in self._of(sign.server):
            rank = self._rank(held)
            began = abs(sign.at - held.incident.opened) <= FOLD_SECONDS
            loop = held.incident.rule == "boot_loop" and not sign.rule.consequence
            if (rank is not None and rank > sign.rank and began) or loop:
                return held
        return None

    # --- what becomes of it

    def _begin(self, sign: Sign, life: Life, count: int) -> tuple[Held, list[Change]]:
        led_here = [
            line
            for rule, at, line in life.recent
            if rule == sign.rule.id or (sign.rank is not None and abs(sign.at - at) <= FOLD_SECONDS)
        ]
        life.recent.clear()
        flapping = self._flaps.flaps((sign.server, sign.rule.id, sign.group), sign.at)
        held = self._open[sign.key] = opened(sign, count, led_here, flapping=flapping)
        return held, [Change(held.incident, Transition.OPENED)]

    def _started(self, event: Event, life: Life) -> list[Change]:
        """A start: of a loop, if there were several without a healthy stretch."""
        rule = self._rules.get("boot_loop")
        if rule is None:
            return []
        starts = life.start(event.at, rule.window)
        if not rule.enabled or starts < rule.count:
            return []
        sign = replace(of_event(event, rule), said=f"{starts} starts without five healthy minutes in between")
        cause = self._same(sign) or next((held for held in self._of(sign.server) if self._is_crash(held)), None)
        if not cause:
            return self._begin(sign, life, starts)[1]
        looped = dict(cause.incident.labels) | {"boot_loop": f"{starts} starts"}
        cause.incident = replace(cause.incident, updated=max(cause.incident.updated, sign.at), labels=labels(**looped))
        return [Change(cause.incident, Transition.UPDATED)]

    # --- restart

    def remember(self) -> str:
        """Windows, lives and what belongs to the open incidents, as JSON."""
        extras = {
            key: {"group": held.group, "last": held.last, "ended": held.ended, "holding": [*held.holding.items()]}
            for key, held in self._open.items()
        }
        lives = {server: life.remember() for server, life in self._lives.items()}
        flaps, windows, dismissed = self._flaps.remember(), self._windows.remember(), [*self._dismissed.items()]
        return json.dumps({"windows": windows, "flaps": flaps, "lives": lives, "open": extras, "dismissed": dismissed})

    def restore(self, memory: str | None, open_incidents: Sequence[Incident]) -> None:
        """Go on from what an earlier process remembered; the incidents themselves come from the store."""
        body: dict[str, Any] = json.loads(memory) if memory else {"windows": [], "lives": {}, "open": {}}
        self._windows.restore(body["windows"])
        self._flaps.restore(body.get("flaps", []))
        self._dismissed = {(server, rule, group): at for (server, rule, group), at in body.get("dismissed", ())}
        self._lives = {server: Life.restored(life) for server, life in body["lives"].items()}
        for incident in open_incidents:
            extra = body["open"].get(incident.key, {"group": self._group(incident), "last": incident.updated})
            holding = {(rule, group): at for (rule, group), at in extra.get("holding", ())}
            self._open[incident.key] = Held(incident, extra["group"], extra["last"], extra.get("ended", 0.0), holding)

    # --- small facts

    def _held_before(self, finding: Finding) -> bool:
        """Whether one of its rule and server held, which now may end. Nearly all findings of a tick do not hold."""
        holding = {(server, rule) for server, rule, _ in self._dismissed}
        holding |= {(finding.server, rule) for held in self._of(finding.server) for rule, _ in held.holding}
        return (finding.server, finding.rule) in holding

    def _life(self, server: str) -> Life:
        return self._lives.setdefault(server, Life())

    def _of(self, server: str) -> Iterator[Held]:
        return (held for held in self._open.values() if held.incident.server == server)

    def _rule(self, incident: Incident) -> Rule:
        return self._rules.get(incident.rule) or Rule(incident.rule, incident.title, "", up=0)

    def _rank(self, held: Held) -> int | None:
        rule = self._rules.get(held.incident.rule)
        return rule.place(held.incident.severity) if rule else None

    def _is_crash(self, held: Held) -> bool:
        return self._rank(held) is not None and held.incident.severity is Severity.CRITICAL

    def _group(self, incident: Incident) -> str:
        rule = self._rules.get(incident.rule)
        return dict(incident.labels).get(rule.group, "") if rule else ""
