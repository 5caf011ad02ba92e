"""The nouns that pass from room to room: frozen, slotted, and importing nothing of ours but each other.

    Reading of Samples -> Snapshot -> exposition          the metrics half, on every tick
    Line -> Record -> Event -> Incident -> Notification -> Delivery          the alert half

Times named `at` are seconds since the epoch (wall clock); spans are in seconds and say so in their names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from vllm_vigil.measures import Family, Labels, Point, Points, Reading, Sample, Samples, Series, Snapshot, labels

__all__ = [  # the nouns of the metrics half, handed on; those below export themselves
    "Family",
    "Labels",
    "Point",
    "Points",
    "Reading",
    "Sample",
    "Samples",
    "Series",
    "Snapshot",
    "labels",
]


# --- the metrics half -------------------------------------------------------------------------------------------


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


SERVING_STATES = frozenset({EngineState.HEALTHY, EngineState.IDLE, EngineState.FROZEN_METRICS})
"""The states in which a request that comes now is answered. Frozen gauges must not keep traffic away: it thaws them."""


@dataclass(frozen=True, slots=True)
class EngineHealth:
    """The verdict on one engine: its state, since when (epoch seconds), and why in words with numbers.

    `step_age_seconds` is the time since its last step, None while it holds no work or cannot be seen.
    """

    server: str
    engine: str
    model_name: str
    state: EngineState
    since: float
    reasons: tuple[str, ...] = ()
    step_age_seconds: float | None = None


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
    `old` says that it stood there at the first sight of its file: it may warm windows and must page for nothing.
    `late_seconds` is how long after it was written it was read, where that is worth telling (after downtime), else 0.
    """

    file: str
    data: bytes
    server: str = ""
    generation: str = ""
    offset: int = 0
    end: int = 0
    soft: bool = False
    old: bool = False
    late_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Stretch:
    """Whole lines, `block[start:end]`, that are of no interest unless a record of their file is held open.

    `block` stands at the byte `at` of the generation; `levels` says where in it lines are left out that are not at
    INFO: a byte of each by its level, in order.
    """

    file: str
    block: bytes
    start: int
    end: int
    at: int
    server: str = ""
    generation: str = ""
    levels: Mapping[str, Sequence[int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Record:
    """One log record, of one or more physical lines.

    `message` is the text after the prefix, without control characters; `traceback` is everything below it. `at` is
    the record's own time (epoch seconds), or that of the last line before it that says one. `level` is one of DEBUG
    INFO WARNING ERROR CRITICAL, or "" for raw text. `process` is vLLM's name of the process (`EngineCore_DP0`), ""
    where the line has none. `old` and `late_seconds` are those of its first line; `facts` are what it says beside its
    text (`request_id`).
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
    old: bool = False
    late_seconds: float = 0.0
    facts: Labels = ()


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
    while it is open; all in epoch seconds. `fix` is the one line that says what to set to what, "" where only the
    rule's remedy is known.
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
    fix: str = ""


class Transition(StrEnum):
    """What happened to an incident that people may be told of."""

    OPENED = "opened"
    TAKEN_OVER = "taken_over"  # a cause took the place of its consequence, or a sign made it worse
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
    PASSED = "passed"  # the end of what the channel never heard the beginning of
    FAILOVER = "failover"  # the page that the channels of its route did not take
    LOST = "lost"  # another channel refused a message for good
    DIGEST = "digest"  # many incidents in one message
    TEST = "test"


@dataclass(frozen=True, slots=True)
class Notification:
    """One incident as one channel is to hear it. `id` is the outbox row, 0 before it has one.

    `facts` are the numbers of the server at the time when it was queued, under names that the message knows; `note`
    is what else is to be said, in words of ours.
    """

    channel: str
    reason: Reason
    incident: Incident
    id: int = 0
    attempts: int = 0
    queued: float = 0.0
    facts: Labels = ()
    note: str = ""


class Outcome(StrEnum):
    """How one attempt at delivery ended."""

    DELIVERED = "delivered"
    RETRY = "retry"  # the channel said later, or nothing
    UNKNOWN = "unknown"  # the deadline passed while it was being sent: it may have arrived
    PERMANENT = "permanent"  # the channel refused it for good


class Omission(StrEnum):
    """Why a row of the outbox ended without being delivered."""

    SUPERSEDED = "superseded"  # the incident has ended: its end says it all
    SILENCED = "silenced"
    DIGESTED = "digested"  # too old, or too many: told in a digest
    DROPPED = "dropped"  # by `vigil outbox drop`


@dataclass(frozen=True, slots=True)
class Silence:
    """Incidents that all pairs of `match` agree with are told to nobody from `begins` to `ends` (epoch seconds)."""

    id: int
    match: Labels
    begins: float
    ends: float
    author: str
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One attempt: what was sent, how it ended, and why in words that hold no secret.

    `wait_seconds` is for how long the channel asked to be left alone, 0 if it did not.
    """

    notification: Notification
    outcome: Outcome
    detail: str = ""
    duration_seconds: float = 0.0
    wait_seconds: float = 0.0
