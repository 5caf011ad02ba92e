"""An event or a finding -> a sign: what the two have in common, as an incident keeps it.

The lines and labels made here are masked, cut and few, because they go to people and onto pages; whatever else a record
holds stays in the log.
"""

from __future__ import annotations

import functools
import hashlib
import math
import re
from dataclasses import dataclass

from vllm_vigil.incidents.rules import MINUTE, RULES, Rule
from vllm_vigil.incidents.shortage import Surroundings
from vllm_vigil.incidents.triage import triage
from vllm_vigil.model import Event, Finding, Labels, Record, Severity, labels
from vllm_vigil.redact import mask

MAX_LABEL_CHARACTERS = 120
MAX_FIX_CHARACTERS = 300
LABELS = (
    "architecture",
    "asked",
    "cause",
    "duration_seconds",
    "engine",
    "error",
    "exception",
    "exit_code",
    "free",
    "gpu",
    "handler",
    "killed",
    "late",
    "limit",
    "method",
    "model_name",
    "op",
    "path",
    "pci",
    "phase",
    "rank",
    "request_id",
    "signal",
    "status",
    "template",
    "timeout",
    "unit",
    "uuid",
    "value",
    "worker",
    "xid",
)
DETAILS = ("error", "cause", "phase", "xid", "exit_code", "signal", "exception", "template", "status")
_WORDS = ("cause", "phase")
_NUMBERED = {"xid": "Xid", "exit_code": "exit code"}

_HEADING = re.compile(r"Traceback \(most recent|Process [\w:.-]+:\s*$")
_SAID = re.compile(  # pydantic says the reason below its own name
    r"^(?:\w+\.)*[A-Z]\w*(?:Error|Exception|Interrupt|Exit)\b.*(?:\n +Value error.*)?", re.MULTILINE
)
_NOT_OURS = ("kernel", "systemd")
_NOWHERE = Surroundings()
_SAYS_NOTHING = ("Exception", "RuntimeError", "ValueError", "ValidationError")


@dataclass(frozen=True, slots=True)
class Sign:
    """One thing that speaks for a rule. `origin` says where it stands, in a way that a second reading repeats.

    `fix` is what it says to do about it, "" if nothing.
    """

    rule: Rule
    server: str
    at: float
    said: str
    labels: Labels
    process: str
    origin: str
    severity: Severity
    fix: str = ""

    @property
    def line(self) -> str:
        """What it says, masked; made when it is asked for, because of a burst only the first few are."""
        return mask(self.said)

    @property
    def rank(self) -> int | None:
        """Its place in the order of a crash, None if it has none."""
        return self.rule.place(self.severity)

    @property
    def group(self) -> str:
        """What tells it from others of its rule and server."""
        return dict(self.labels).get(self.rule.group, "") if self.rule.group else ""

    @property
    def key(self) -> str:
        """The key of the incident that it opens."""
        text = f"{self.server}\0{self.rule.id}\0{self.group}\0{self.origin}"
        return f"vigil-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


_mask = functools.lru_cache(maxsize=1024)(mask)  # labels and processes are few, and come with every sign


def of_event(event: Event, rule: Rule, around: Surroundings = _NOWHERE) -> Sign:
    """What a record says, and what follows from it and from what is known around it."""
    record = event.record
    fields = dict(event.fields)
    if rule.group == "gpu" and "gpu" not in fields and "pci" in fields:
        fields["gpu"] = fields["pci"].rpartition(".")[0] or fields["pci"]
    if record.late_seconds >= MINUTE:
        fields["late"] = f"{math.ceil(record.late_seconds / MINUTE)} min"
    graded = fields.get("severity") if rule.graded else None
    cause, fix = _triage(rule, fields, f"{record.process}: {record.message}\n{record.traceback}", around)
    return Sign(
        rule=rule,
        server=event.server,
        at=event.at,
        fix=fix,
        said=_say(record),
        labels=_kept(fields | cause),
        process="" if record.process in _NOT_OURS else _mask(record.process, 40),
        origin=f"{record.file}\0{record.generation}\0{record.offset}",
        severity=Severity(graded) if graded else rule.severity,
    )


def of_finding(finding: Finding, rule: Rule, around: Surroundings = _NOWHERE) -> Sign:
    """What the verdict saw, at its onset."""
    fields = dict(finding.labels)
    cause, fix = _triage(rule, fields, finding.summary, around)
    graded = dict(finding.labels).get("severity") if rule.graded else None
    return Sign(
        rule=rule,
        server=finding.server,
        at=finding.since,
        said=finding.summary,
        labels=_kept(fields | cause),
        process="",
        fix=fix,
        origin=f"{finding.since:.3f}",
        severity=Severity(graded) if graded else rule.severity,
    )


def _triage(rule: Rule, fields: dict[str, str], text: str, around: Surroundings) -> tuple[dict[str, str], str]:
    """The cause as a label, and the line; whoever has written a remedy of his own wants that one."""
    found = triage(rule.id, fields, text, around)
    own = rule.id in RULES and rule.remedy != RULES[rule.id].remedy
    return {"cause": found.cause} if found.cause else {}, "" if own or not found.fix else mask(
        found.fix, MAX_FIX_CHARACTERS
    )


def title(rule: Rule, known: Labels) -> str:
    """The rule's title with the one fact that tells most: `CUDA error (an illegal memory access ...)`."""
    facts = {name: value for name, value in known if value not in _SAYS_NOTHING}
    name = next((name for name in DETAILS if name in facts), None)
    fact = facts[name].replace("_", " ") if name in _WORDS else facts.get(name or "", "")
    detail = f" ({_NUMBERED.get(name, '')} {fact})".replace("( ", "(") if name else ""
    flapping = ", flapping" if "flapping" in facts else ""
    late = f", detected late by {facts['late']}" if "late" in facts else ""
    return f"{rule.title}{detail}{flapping}{late}"


def _say(record: Record) -> str:
    """Message and exception of a record in one line."""
    said = _SAID.findall(record.traceback)
    parts = [] if _HEADING.match(record.message) and said else [record.message]
    text = " ".join([*parts, *said[-1:]]).replace("\n", "")
    return f"{record.process}: {text}" if record.process else text


def _kept(fields: dict[str, str]) -> Labels:
    return labels(**{name: _mask(fields[name], MAX_LABEL_CHARACTERS) for name in LABELS if name in fields})
