"""`vigil replay FILE...`: what those logs would have raised, and when it would have resolved, by their own times.

The same parts as in the daemon, in the same order; only the clock is the log's. There are no metrics in a log, so an
incident resolves on quiet time alone, and one that was not quiet for long enough is open at the end.
"""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from vllm_vigil.clock import RealClock
from vllm_vigil.commands.state import moment
from vllm_vigil.config.load import Recipe
from vllm_vigil.errors import UsageError
from vllm_vigil.events.detector import Detector
from vllm_vigil.events.patterns import PATTERNS, user_rows
from vllm_vigil.events.record import Joiner
from vllm_vigil.incidents.lifecycle import Incidents
from vllm_vigil.incidents.rules import Rule, merge
from vllm_vigil.lines.split import Splitter
from vllm_vigil.model import Change, Event, Incident, Line, Record
from vllm_vigil.redact import mask
from vllm_vigil.telemetry import Telemetry

BLOCK_BYTES = 1024 * 1024


def replay(files: list[str], recipe: Recipe, *, as_json: bool) -> int:
    """Print every event, and every incident in its final form; 1 if there was an incident."""
    config = recipe.load().config
    rules = merge(config.rules)
    story = Story(Detector((*user_rows(config.patterns), *PATTERNS)), Incidents(rules))
    for name in files:
        story.read(name)
    show = _as_json if as_json else _as_text
    for facts in (*story.events(rules), *story.incidents()):
        print(show(facts))
    if not story.incidents() and not as_json:
        print("no incident")
    return int(bool(story.incidents()))


class Story:
    """What happened, as it is read."""

    def __init__(self, detector: Detector, incidents: Incidents) -> None:
        self._detector = detector
        self._incidents = incidents
        self._clock = RealClock()
        self._now = 0.0
        self._events: list[tuple[Event, str]] = []
        self._final: dict[str, Incident] = {}

    def read(self, name: str) -> None:
        """Take in one file to its end."""
        joiner = Joiner(Telemetry(self._clock), self._clock)
        for line in lines_of(name):
            self._judge(joiner.feed(line))
        self._judge(joiner.flush())

    def events(self, rules: dict[str, Rule]) -> list[dict[str, Any]]:
        """Every recognised record, in the order of the log."""
        return [
            {
                "kind": "event",
                "event": event.kind,
                "rule": event.rule,
                "severity": str(rules[event.rule].severity) if event.rule in rules else "info",
                "key": key,
                "count": 1,
                "opened": moment(event.at),
                "resolved": None,
                "message": mask(event.record.message),
            }
            for event, key in self._events
        ]

    def incidents(self) -> list[dict[str, Any]]:
        """Every incident in its final form, oldest first."""
        return [
            {
                "kind": "incident",
                "rule": incident.rule,
                "severity": str(incident.severity),
                "key": incident.key,
                "count": incident.count,
                "opened": moment(incident.opened),
                "resolved": None if incident.resolved is None else moment(incident.resolved),
                "title": mask(incident.title),
                "labels": dict(incident.labels),
                "evidence": list(incident.evidence),
            }
            for incident in self._final.values()
        ]

    def _judge(self, records: Iterable[Record]) -> None:
        for record in records:
            self._now = max(self._now, record.at or self._now)
            self._take(self._incidents.tick(self._now, {}))
            event = self._detector.judge(record, self._now)
            if event is not None:
                changes = self._incidents.observe(event)
                self._take(changes)
                self._events.append((event, changes[-1].incident.key if changes else ""))

    def _take(self, changes: list[Change]) -> None:
        for change in changes:
            self._final[change.incident.key] = change.incident


def lines_of(name: str) -> Iterator[Line]:
    """The lines of a file, plain or .gz, or of standard input for `-`. Raises `UsageError` if it cannot be read."""
    splitter = Splitter(0)
    try:
        with _opened(name) as stream:
            while block := stream.read(BLOCK_BYTES):
                for piece in splitter.feed(block):
                    yield Line(name, piece.data, "", "replay", piece.offset, piece.end, piece.soft)
    except (OSError, EOFError) as error:
        raise UsageError(f"cannot replay {name}: {getattr(error, 'strerror', None) or error}") from error
    last = splitter.finish()
    if last is not None:
        yield Line(name, last.data, "", "replay", last.offset, last.end, last.soft)


def _opened(name: str) -> BinaryIO | gzip.GzipFile:
    if name == "-":
        return open(sys.stdin.fileno(), "rb", closefd=False)
    return gzip.open(name) if name.endswith(".gz") else Path(name).open("rb")


def _as_json(facts: dict[str, Any]) -> str:
    return json.dumps(facts)


def _as_text(facts: dict[str, Any]) -> str:
    if facts["kind"] == "event":
        return f"{facts['opened']}  event     {facts['event']:<20} {facts['message']}"
    end = f"resolved {facts['resolved']}" if facts["resolved"] else "open at the end of the log"
    what = f"{facts['title']} (x{facts['count']})"
    return f"{facts['opened']}  INCIDENT  {facts['rule']:<20} {facts['severity']}, {what}, {end}  {facts['key']}"
