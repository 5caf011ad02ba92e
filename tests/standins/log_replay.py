"""A log file read as `vigil replay` does: the records' own times drive the incidents, ticks come between them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from vllm_vigil.clock import CrankedClock
from vllm_vigil.events.detector import Detector
from vllm_vigil.events.patterns import PATTERNS
from vllm_vigil.events.record import Joiner
from vllm_vigil.incidents.lifecycle import Incidents
from vllm_vigil.incidents.rules import RULES
from vllm_vigil.model import Event, Incident, Line, Record
from vllm_vigil.telemetry import Telemetry

WALL = 1_795_330_000.0  # 2026-11-22, a day after the captures, for logs without a year
LATER = 86_400.0


def lines_of(data: bytes, file: str = "vllm.log") -> Iterator[Line]:
    """The physical lines of a file, as `lines/` gives them."""
    offset = 0
    for raw in data.removesuffix(b"\n").split(b"\n"):
        end = offset + len(raw) + 1
        yield Line(file, raw.removesuffix(b"\r"), "llama", "1", offset, end, soft=raw.endswith(b"\r"))
        offset = end


def records_of(data: bytes, file: str = "vllm.log") -> list[Record]:
    """The records of a file, in the order in which they were completed."""
    clock = CrankedClock(WALL)
    joiner = Joiner(Telemetry(clock), clock)
    records = [record for line in lines_of(data, file) for record in joiner.feed(line)]
    return [*records, *joiner.flush()]


def events_of(records: Iterable[Record]) -> list[Event]:
    """The events of records; one without a time has that of the one before."""
    detector = Detector(PATTERNS)
    events = []
    at = 0.0
    for record in records:
        at = record.at if record.at is not None else at
        event = detector.judge(record, at)
        if event:
            events.append(event)
    return events


def incidents_of(events: Iterable[Event]) -> list[Incident]:
    """Every incident in its final form, by the time it opened; at the end a day passes."""
    incidents = Incidents(RULES)
    final: dict[str, Incident] = {}
    now = 0.0
    for event in events:
        now = max(now, event.at)
        for change in (*incidents.tick(now, {}), *incidents.observe(event)):
            final[change.incident.key] = change.incident
    for change in incidents.tick(now + LATER, {}):
        final[change.incident.key] = change.incident
    return sorted(final.values(), key=lambda incident: incident.opened)


def replay(path: Path) -> list[Incident]:
    """The incidents of one log file."""
    return incidents_of(events_of(records_of(path.read_bytes(), path.name)))


DATA = Path(__file__).parents[1] / "data"
GOLDEN = DATA / "golden" / "incidents"


def logs() -> list[Path]:
    """Every sample, and the capture of a killed engine from its start."""
    return [*sorted((DATA / "samples").glob("*.log")), *sorted((DATA / "captures").glob("*.log"))]


def golden_of(path: Path) -> str:
    """What a log gives, as its golden file has it: without the evidence, whose masking has tests of its own."""
    found = [
        {
            "rule": incident.rule,
            "severity": incident.severity,
            "title": incident.title,
            "count": incident.count,
            "opened": datetime.fromtimestamp(incident.opened, UTC).strftime("%Y-%m-%d %H:%M:%S"),
            "resolved_after_seconds": round((incident.resolved or 0) - incident.opened),
            "labels": dict(incident.labels),
            **({"fix": incident.fix} if incident.fix else {}),
            "evidence_lines": len(incident.evidence),
        }
        for incident in replay(path)
    ]
    return json.dumps(found, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":  # PYTHONPATH=tests python tests/standins/log_replay.py writes them anew: read the diff
    GOLDEN.mkdir(parents=True, exist_ok=True)
    for log in logs():
        (GOLDEN / f"{log.stem}.json").write_text(golden_of(log), encoding="utf-8")
