"""The nouns that pass from room to room: frozen, slotted, and importing nothing of ours.

    Reading of Samples -> Snapshot -> exposition          the metrics half, on every tick
    Line -> Record -> Event -> Incident -> Notification -> Delivery          the alert half

Times named `at` are seconds since the epoch (wall clock); spans are in seconds and say so in their names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

Labels = tuple[tuple[str, str], ...]
"""Label pairs sorted by name, so that equal label sets are equal values."""


def labels(**pairs: str) -> Labels:
    """Make sorted `Labels`; an empty value is no label, as in Prometheus."""
    return tuple(sorted((name, value) for name, value in pairs.items() if value != ""))


# --- the metrics half -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Sample:
    """One number as a source gave it: upstream's sample name (`vllm:prompt_tokens_total`), labels, value."""

    name: str
    labels: Labels
    value: float


@dataclass(frozen=True, slots=True)
class Reading:
    """One source asked once: what it said and how long that took, or the error that says why it said nothing.

    `server` is the configured name of the vLLM server, "" for sources of the host (NVML).
    `at` is the monotonic time of the answer; `facts` are texts that are no numbers (`version`, `health`).
    """

    source: str
    server: str
    at: float
    duration_seconds: float
    samples: tuple[Sample, ...] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Point:
    """One number of a series; `suffix` is "" or a histogram's `_bucket`, `_sum`, `_count`."""

    labels: Labels
    value: float
    suffix: str = ""


@dataclass(frozen=True, slots=True)
class Series:
    """All points of one of our names; kind, unit and help stand in its row of the catalogue."""

    name: str
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Every series of one tick, by name. What is not known now is not in it: absent is absent."""

    series: Mapping[str, Series] = field(default_factory=dict)

    def points(self, name: str) -> tuple[Point, ...]:
        """The points of a series, none if it is absent."""
        found = self.series.get(name)
        return found.points if found else ()


class EngineState(StrEnum):
    """What an engine is doing, as the verdict sees it; the label values of `llm_engine_state`."""

    HEALTHY = "healthy"
    IDLE = "idle"
    STARTING = "starting"
    ASLEEP = "asleep"
    STALLED = "stalled"
    SPINNING = "spinning"
    FROZEN_METRICS = "frozen_metrics"
    DEAD = "dead"
    UNREACHABLE = "unreachable"


SERVING_STATES = frozenset({EngineState.HEALTHY, EngineState.IDLE})
"""The states in which a request that comes now is answered."""


@dataclass(frozen=True, slots=True)
class EngineHealth:
    """The verdict on one engine: its state, since when (epoch seconds), and why in words with numbers."""

    server: str
    engine: str
    model_name: str
    state: EngineState
    since: float
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """What the verdict saw that a rule may open an incident on.

    `holds` says whether it is so now; `since` is its onset (epoch seconds), which may lie well before the finding,
    because some findings are only made after a minute of the same. `rule` names a row of `incidents/rules.py`.
    """

    rule: str
    server: str
    holds: bool
    since: float
    summary: str
    labels: Labels = ()


# --- the alert half ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Line:
    """One physical line: its bytes without the line end, and where it stands.

    `server` is the configured name of the vLLM server whose log it is.
    `offset` is that of its first byte and `end` that of the byte after its line end, in the file generation that
    `generation` names. `soft` says that it ended in CR LF, which is how vLLM marks "this record goes on".
    """

    file: str
    data: bytes
    server: str = ""
    generation: str = ""
    offset: int = 0
    end: int = 0
    soft: bool = False


@dataclass(frozen=True, slots=True)
class Record:
    """One log record, of one or more physical lines.

    `message` is the text after the prefix, without control characters; `traceback` is everything below it. `at` is
    the record's own time (epoch seconds) where it carries one. `level` is one of DEBUG INFO WARNING ERROR CRITICAL,
    or "" for raw text. `process` is vLLM's name of the process (`EngineCore_DP0`), "" where the line has none.
    """

    file: str
    level: str
    message: str
    server: str = ""
    traceback: str = ""
    process: str = ""
    pid: str = ""
    at: float | None = None
    generation: str = ""
    offset: int = 0


class Severity(StrEnum):
    """How urgent an incident is: someone must get up, someone should look today, for the record."""

    CRITICAL = "critical"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class Event:
    """One record that a pattern recognised, with the fields that it captured (`asked_bytes`, `gpu`, `timeout`).

    `kind` is the id of the pattern's row and the label of `vigil_log_events_total`; `rule` names the row of
    `incidents/rules.py` that counts it, "" if none does. `at` is when it arrived (epoch), or in a replay the
    record's own time.
    """

    kind: str
    rule: str
    server: str
    at: float
    record: Record
    fields: Mapping[str, str] = field(default_factory=dict)


class IncidentState(StrEnum):
    """Open until quiet and healthy, then resolved."""

    OPEN = "open"
    RESOLVED = "resolved"


@dataclass(frozen=True, slots=True)
class Incident:
    """One thing that is wrong with one server, from first sign to recovery, under one key.

    `key` never changes; `rule`, `severity`, `title` and `labels` may, when a cause takes over from its consequence.
    `evidence` holds at most five masked lines. `opened` and `updated` are those of the events, `resolved` is None
    while it is open; all in epoch seconds.
    """

    key: str
    rule: str
    server: str
    severity: Severity
    state: IncidentState
    title: str
    opened: float
    updated: float
    resolved: float | None = None
    count: int = 1
    labels: Labels = ()
    evidence: tuple[str, ...] = ()


class Transition(StrEnum):
    """What happened to an incident that people may be told of."""

    OPENED = "opened"
    TAKEN_OVER = "taken_over"  # a cause took the place of its consequence
    UPDATED = "updated"  # more of the same: counted and stored, told to nobody
    RESOLVED = "resolved"


@dataclass(frozen=True, slots=True)
class Change:
    """One transition of one incident, which is stored together with what it makes people hear."""

    incident: Incident
    transition: Transition


class Reason(StrEnum):
    """Why a channel is told: the first page, news on it, a reminder, the end, or a test."""

    FIRST = "first"
    MORE = "more"
    REPEAT = "repeat"
    RESOLVED = "resolved"
    TEST = "test"


@dataclass(frozen=True, slots=True)
class Notification:
    """One incident as one channel is to hear it. `id` is the outbox row, 0 before it has one."""

    channel: str
    reason: Reason
    incident: Incident
    id: int = 0
    attempts: int = 0
    queued: float = 0.0


class Outcome(StrEnum):
    """How one attempt at delivery ended."""

    DELIVERED = "delivered"
    RETRY = "retry"  # the channel said later, or nothing
    UNKNOWN = "unknown"  # the deadline passed while it was being sent: it may have arrived
    PERMANENT = "permanent"  # the channel refused it for good


@dataclass(frozen=True, slots=True)
class Delivery:
    """One attempt: what was sent, how it ended, and why in words that hold no secret."""

    notification: Notification
    outcome: Outcome
    detail: str = ""
    duration_seconds: float = 0.0
