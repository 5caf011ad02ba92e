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

from vllm_vigil.incidents.rules import MINUTE, Rule
from vllm_vigil.model import Event, Finding, Labels, Record, Severity, labels
from vllm_vigil.redact import mask

MAX_LABEL_CHARACTERS = 120
LABELS = (
    "architecture",
    "asked",
    "cause",
    "duration_seconds",
    "error",
    "exception",
    "exit_code",
    "free",
    "gpu",
    "handler",
    "killed",
    "late",
    "method",
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
    "worker",
    "xid",
)
DETAILS = ("error", "cause", "phase", "xid", "exit_code", "signal", "exception", "template", "status")
_NUMBERED = {"xid": "Xid", "exit_code": "exit code"}

_HEADING = re.compile(r"Traceback \(most recent|Process [\w:.-]+:\s*$")
_SAID = re.compile(  # pydantic says the reason below its own name
    r"^(?:\w+\.)*[A-Z]\w*(?:Error|Exception|Interrupt|Exit)\b.*(?:\n +Value error.*)?", re.MULTILINE
)
_NOT_OURS = ("kernel", "systemd")
_SAYS_NOTHING = ("Exception", "RuntimeError", "ValueError", "ValidationError")


@dataclass(frozen=True, slots=True)
class Sign:
    """One thing that speaks for a rule. `origin` says where it stands, in a way that a second reading repeats."""

    rule: Rule
    server: str
    at: float
    said: str
    labels: Labels
    process: str
    origin: str
    severity: Severity

    @property
    def line(self) -> str:
        """What it says, masked; made when it is asked for, because of a burst only the first few are."""
        return mask(self.said)

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


def of_event(event: Event, rule: Rule) -> Sign:
    """What a record says."""
    record = event.record
    fields = dict(event.fields)
    if rule.group == "gpu" and "gpu" not in fields and "pci" in fields:
        fields["gpu"] = fields["pci"].rpartition(".")[0] or fields["pci"]
    if record.late_seconds >= MINUTE:
        fields["late"] = f"{math.ceil(record.late_seconds / MINUTE)} min"
    graded = fields.get("severity") if rule.graded else None
    return Sign(
        rule=rule,
        server=event.server,
        at=event.at,
        said=_say(record),
        labels=_kept(fields),
        process="" if record.process in _NOT_OURS else _mask(record.process, 40),
        origin=f"{record.file}\0{record.generation}\0{record.offset}",
        severity=Severity(graded) if graded else rule.severity,
    )


def of_finding(finding: Finding, rule: Rule) -> Sign:
    """What the verdict saw, at its onset."""
    graded = dict(finding.labels).get("severity") if rule.graded else None
    return Sign(
        rule=rule,
        server=finding.server,
        at=finding.since,
        said=finding.summary,
        labels=_kept(dict(finding.labels)),
        process="",
        origin=f"{finding.since:.3f}",
        severity=Severity(graded) if graded else rule.severity,
    )


def title(rule: Rule, known: Labels) -> str:
    """The rule's title with the one fact that tells most: `CUDA error (an illegal memory access ...)`."""
    facts = {name: value for name, value in known if value not in _SAYS_NOTHING}
    name = next((name for name in DETAILS if name in facts), None)
    detail = f" ({_NUMBERED.get(name, '')} {facts[name]})".replace("( ", "(") if name else ""
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
