"""`vigil replay FILE...`: what those logs would have raised, and when it would have resolved, by their own times.

The same parts as in the daemon, in the same order; only the clock is the logs'. Several files are told in the order of
their times, as the parts of one log. There are no metrics in a log, so an incident resolves on quiet time alone, and
one that was not quiet for long enough is open at the end. Memory does not grow with the files: events are told as they
come.
"""

from __future__ import annotations

import heapq
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from vllm_vigil.clock import RealClock
from vllm_vigil.commands.moment import moment
from vllm_vigil.commands.reading import Bar, Log, Progress
from vllm_vigil.config.load import Recipe, load_rules
from vllm_vigil.config.settings import RuleFile
from vllm_vigil.events.detector import Detector
from vllm_vigil.events.pattern import Pattern
from vllm_vigil.events.patterns import PATTERNS, user_rows
from vllm_vigil.events.record import Joiner
from vllm_vigil.events.sieve import sieves
from vllm_vigil.events.times import Zone, zone
from vllm_vigil.incidents.lifecycle import Incidents
from vllm_vigil.incidents.rules import Rule, merge
from vllm_vigil.model import Change, Event, Incident, Record
from vllm_vigil.redact import mask


def replay(files: list[str], recipe: Recipe, rules_from: Path | None = None, *, as_json: bool) -> int:
    """Print every event as it is judged, at the end every incident in its final form; 1 if there was one."""
    config = recipe.load().config
    extra = load_rules(rules_from, recipe.environment) if rules_from else RuleFile()
    rules = merge({**config.rules, **extra.rules})
    patterns = {**config.patterns, **extra.patterns}
    bar = Bar(files)
    story = Story((*user_rows(patterns), *PATTERNS), rules, bar, zone(config.zone))
    show = _as_json if as_json else _as_text
    for facts in story.tell(files):
        bar.clear()
        print(show(facts))
    bar.clear()
    if not as_json:
        print(_counted(story.counts, raised=bool(story.incidents)))
    return int(bool(story.incidents))


class Story:
    """What happened, as it is read. `counts` are the lines read by level, `incidents` what was raised, by key."""

    def __init__(self, rows: tuple[Pattern, ...], rules: Mapping[str, Rule], progress: Progress, zone: Zone) -> None:
        self.counts: Counter[str] = Counter()
        self.incidents: dict[str, Incident] = {}
        self._rules = rules
        self._detector = Detector(rows)
        self._judge = Incidents(rules)
        self._sieves = sieves(rows)
        self._progress = progress
        self._zone = zone
        self._until = 0.0

    def tell(self, files: Iterable[str]) -> Iterator[dict[str, Any]]:
        """Every event in the order of the times, then every incident, oldest first."""
        for event in heapq.merge(*(self._events(name) for name in files), key=lambda event: event.at):
            self._until = max(self._until, event.at)
            self._take(self._judge.tick(self._until, {}))
            changes = self._judge.observe(event)
            self._take(changes)
            yield self._of_event(event, changes[-1].incident.key if changes else "")
        self._take(self._judge.tick(self._until, {}))
        yield from map(_of_incident, self.incidents.values())

    def _events(self, name: str) -> Iterator[Event]:
        clock = RealClock()
        joiner = Joiner(self, clock, self._zone)
        log = Log(name, self._sieves(), self._progress)
        unsaid = log.written_at()
        for line in log.lines():
            for record in joiner.feed(line):
                yield from self._recognised(record, unsaid)
        for record in joiner.flush():
            yield from self._recognised(record, unsaid)
        self._until = max(self._until, joiner.said_at(name) or 0.0)

    def lines_read(self, file: str, level: str, count: int = 1) -> None:  # noqa: ARG002  # the joiner's tally
        """Lines that the joiner saw."""
        self.counts[level] += count

    def _recognised(self, record: Record, unsaid: float) -> Iterator[Event]:
        event = self._detector.judge(record, unsaid if record.at is None else record.at)
        if event is not None:
            yield event

    def _of_event(self, event: Event, key: str) -> dict[str, Any]:
        rule = self._rules.get(event.rule)
        return {
            "kind": "event",
            "event": event.kind,
            "rule": event.rule,
            "severity": str(rule.severity) if rule else "info",
            "key": key,
            "count": 1,
            "opened": moment(event.at),
            "resolved": None,
            "message": mask(event.record.message),
        }

    def _take(self, changes: list[Change]) -> None:
        for change in changes:
            self.incidents[change.incident.key] = change.incident


def _of_incident(incident: Incident) -> dict[str, Any]:
    return {
        "kind": "incident",
        "rule": incident.rule,
        "severity": str(incident.severity),
        "key": incident.key,
        "count": incident.count,
        "opened": moment(incident.opened),
        "resolved": None if incident.resolved is None else moment(incident.resolved),
        "title": mask(incident.title),
        "labels": dict(incident.labels),
        "fix": mask(incident.fix),
        "evidence": list(incident.evidence),
    }


def _as_json(facts: dict[str, Any]) -> str:
    return json.dumps(facts)


def _as_text(facts: dict[str, Any]) -> str:
    if facts["kind"] == "event":
        return f"{facts['opened']}  event     {facts['event']:<20} {facts['message']}"
    end = f"resolved {facts['resolved']}" if facts["resolved"] else "open at the end of the log"
    what = f"{facts['title']} (x{facts['count']})"
    head = f"{facts['opened']}  INCIDENT  {facts['rule']:<20} {facts['severity']}, {what}, {end}  {facts['key']}"
    fix = [f"    fix: {facts['fix']}"] if facts["fix"] else []
    return "\n".join((head, *fix, *(f"    {line}" for line in facts["evidence"])))


def _counted(counts: Counter[str], *, raised: bool) -> str:
    by_level = ", ".join(f"{count} {level or 'without a level'}" for level, count in counts.most_common() if count)
    return f"{'' if raised else 'no incident in '}{counts.total()} lines{': ' + by_level if by_level else ''}"
