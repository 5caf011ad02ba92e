"""What a person reads."""

from __future__ import annotations

import pytest

from standins.notices import OPENED, Incidents
from vllm_vigil.model import IncidentState, Notification, Reason, Severity
from vllm_vigil.notifications.message import BODY_LIMIT, TITLE_LIMIT, Kind, Message, compose


def remedy(rule: str) -> str:
    return {"cuda_oom": "Lower --gpu-memory-utilization."}.get(rule, "")


def test_the_first_page(incident: Incidents) -> None:
    """What, where, since when; then labels, count, the first thing to do, the key. No log line."""
    expected = Message(
        "CRITICAL: CUDA out of memory on llama, since 2026-05-28 20:26:40 UTC",
        "Rule cuda_oom, gpu=0, phase=serving\n"
        "Open for 1m5s, seen 3 times, last at 2026-05-28 20:26:45 UTC\n"
        "Do first: Lower --gpu-memory-utilization.\n"
        "Key llama:cuda_oom:1780000000, attempt 1",
        Kind.FAILURE,
    )
    assert expected == compose(Notification("slack", Reason.FIRST, incident()), OPENED + 65, remedy)


def test_the_end(incident: Incidents) -> None:
    """How long it lasted and how often it was seen, under the same key; nothing to do any more."""
    over = incident(state=IncidentState.RESOLVED, resolved=OPENED + 720)
    expected = Message(
        "RESOLVED: CUDA out of memory on llama, after 12m",
        "Rule cuda_oom, gpu=0, phase=serving\n"
        "Lasted 12m, from 2026-05-28 20:26:40 UTC, seen 3 times\n"
        "Key llama:cuda_oom:1780000000, attempt 1",
        Kind.SUCCESS,
    )
    made = compose(Notification("slack", Reason.RESOLVED, over), OPENED + 900, remedy, evidence=True)
    assert expected == made


@pytest.mark.parametrize(
    ("reason", "severity", "begins", "kind"),
    [
        (Reason.MORE, Severity.CRITICAL, "CRITICAL, cause found: ", Kind.FAILURE),
        (Reason.REPEAT, Severity.WARNING, "WARNING, still open: ", Kind.WARNING),
        (Reason.FIRST, Severity.INFO, "INFO: ", Kind.INFO),
        (Reason.TEST, Severity.CRITICAL, "TEST, nothing is wrong: ", Kind.INFO),
        (Reason.RESOLVED, Severity.CRITICAL, "RESOLVED: ", Kind.SUCCESS),
    ],
)
def test_why_it_is_told_stands_first(
    incident: Incidents, reason: Reason, severity: Severity, begins: str, kind: Kind
) -> None:
    """And decides what an incident service makes of it."""
    made = compose(Notification("c", reason, incident(severity=severity)), OPENED, remedy)
    assert made.title.startswith(begins)
    assert kind == made.kind


def test_evidence_only_where_it_is_asked_for(incident: Incidents) -> None:
    """Log lines leave the host by an explicit setting, masked once more."""
    told = Notification("c", Reason.FIRST, incident(evidence=("RuntimeError: token=c4n4ry", "second")))
    assert "RuntimeError" not in compose(told, OPENED, remedy).body
    made = compose(told, OPENED, remedy, evidence=True)
    assert made.body.endswith("Log:\nRuntimeError: token=[redacted]\nsecond")


def test_the_attempt_is_counted(incident: Incidents) -> None:
    """So that a message that arrived twice is known for the same."""
    assert "attempt 3" in compose(Notification("c", Reason.FIRST, incident(), attempts=2), OPENED, remedy).body


def test_lengths_fit_every_provider(incident: Incidents) -> None:
    """However long the parts, title and body keep their limits."""
    long = "word " * 500
    flood = incident(title=long, rule=long, server=long, key=long, labels=(("l", long),) * 50, evidence=(long,) * 5)
    made = compose(Notification("c", Reason.FIRST, flood), OPENED, lambda _: long, evidence=True)
    assert len(made.title) <= TITLE_LIMIT
    assert len(made.body) <= BODY_LIMIT
    assert len(made.title) + len(made.body) < 2_000


def test_text_of_others_cannot_add_lines(incident: Incidents) -> None:
    """A title or label with line breaks stays on its line."""
    forged = incident(title="a\nResolved: all good", labels=(("x", "y\r\nKey other"),))
    made = compose(Notification("c", Reason.FIRST, forged), OPENED, lambda _: "")
    assert "\n" not in made.title
    assert len(made.body.split("\n")) == 3


def test_a_clock_that_was_set_back_gives_no_negative_span(incident: Incidents) -> None:
    """Now may lie before the incident."""
    assert "Open for 0s" in compose(Notification("c", Reason.FIRST, incident()), OPENED - 100, remedy).body
