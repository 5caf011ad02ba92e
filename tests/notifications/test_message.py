"""What a person reads."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from standins.notices import OPENED, Incidents
from vllm_vigil.model import IncidentState, Notification, Reason, Severity
from vllm_vigil.notifications.message import BODY_LIMIT, TITLE_LIMIT, Kind, Message, Style, compose
from vllm_vigil.notifications.wording import WORDS, Language


def remedy(rule: str) -> str:
    return {"cuda_oom": "Lower --gpu-memory-utilization."}.get(rule, "")


STYLE = Style(remedy)
DETAILS = (
    ("rule", "cuda_oom"),
    ("count", "3"),
    ("opened", "2026-05-28 20:26:40 UTC"),
    ("server", "llama"),
    ("gpu", "0"),
    ("phase", "serving"),
)
EVIDENT = Style(remedy, evidence=True)


def test_the_first_page(incident: Incidents) -> None:
    """What, where, since when; then labels, count, the first thing to do, the key. No log line."""
    expected = Message(
        "CRITICAL: CUDA out of memory on llama, since 2026-05-28 20:26:40 UTC",
        "Rule cuda_oom, gpu=0, phase=serving\n"
        "Open for 1m5s, seen 3 times, last at 2026-05-28 20:26:45 UTC\n"
        "Do first: Lower --gpu-memory-utilization.\n"
        "Look closer: vigil incidents show llama:cuda_oom:1780000000\n"
        "Key llama:cuda_oom:1780000000, attempt 1",
        Kind.FAILURE,
        DETAILS,
    )
    assert expected == compose(Notification("slack", Reason.FIRST, incident()), OPENED + 65, STYLE)


def test_the_end(incident: Incidents) -> None:
    """How long it lasted and how often it was seen, under the same key; nothing to do any more."""
    over = incident(state=IncidentState.RESOLVED, resolved=OPENED + 720)
    expected = Message(
        "RESOLVED: CUDA out of memory on llama, after 12m",
        "Rule cuda_oom, gpu=0, phase=serving\n"
        "Lasted 12m, from 2026-05-28 20:26:40 UTC, seen 3 times\n"
        "Key llama:cuda_oom:1780000000, attempt 1",
        Kind.SUCCESS,
        DETAILS,
    )
    made = compose(Notification("slack", Reason.RESOLVED, over), OPENED + 900, EVIDENT)
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
    made = compose(Notification("c", reason, incident(severity=severity)), OPENED, STYLE)
    assert made.title.startswith(begins)
    assert kind == made.kind


def test_evidence_only_where_it_is_asked_for(incident: Incidents) -> None:
    """Log lines leave the host by an explicit setting, masked once more."""
    told = Notification("c", Reason.FIRST, incident(evidence=("RuntimeError: token=c4n4ry", "second")))
    assert "RuntimeError" not in compose(told, OPENED, STYLE).body
    made = compose(told, OPENED, EVIDENT)
    assert made.body.endswith("Log:\nRuntimeError: token=[redacted]\nsecond")


def test_the_attempt_is_counted(incident: Incidents) -> None:
    """So that a message that arrived twice is known for the same."""
    assert "attempt 3" in compose(Notification("c", Reason.FIRST, incident(), attempts=2), OPENED, STYLE).body


def test_lengths_fit_every_provider(incident: Incidents) -> None:
    """However long the parts, title and body keep their limits."""
    long = "word " * 500
    flood = incident(title=long, rule=long, server=long, key=long, labels=(("l", long),) * 50, evidence=(long,) * 5)
    made = compose(Notification("c", Reason.FIRST, flood), OPENED, Style(lambda _: long, evidence=True))
    assert len(made.title) <= TITLE_LIMIT
    assert len(made.body) <= BODY_LIMIT
    assert len(made.title) + len(made.body) < 2_000


def test_text_of_others_cannot_add_lines(incident: Incidents) -> None:
    """A title or label with line breaks stays on its line."""
    forged = incident(title="a\nResolved: all good", labels=(("x", "y\r\nKey other"),))
    made = compose(Notification("c", Reason.FIRST, forged), OPENED, Style())
    assert "\n" not in made.title
    assert len(made.body.split("\n")) == 4


def test_a_clock_that_was_set_back_gives_no_negative_span(incident: Incidents) -> None:
    """Now may lie before the incident."""
    assert "Open for 0s" in compose(Notification("c", Reason.FIRST, incident()), OPENED - 100, STYLE).body


NUMBERS = (("kv_cache", "99 %"), ("running", "3"), ("waiting", "41"), ("gpu_memory", "79.1 of 80.0 GiB"))


def test_numbers_and_links_stand_where_a_person_looks(incident: Incidents) -> None:
    """Numbers after the count, links after what to do; the links are the configured ones, and live."""
    style = Style(remedy, runbook=lambda rule: f"https://docs.example/{rule}.md", page_url="https://vigil.example/")
    made = compose(Notification("slack", Reason.FIRST, incident(), facts=NUMBERS), OPENED + 65, style)
    assert made.body.split("\n")[2:] == [
        "KV cache 99 %, 3 running, 41 waiting, GPU memory 79.1 of 80.0 GiB",
        "Do first: Lower --gpu-memory-utilization.",
        "Look closer: vigil incidents show llama:cuda_oom:1780000000",
        "Runbook: https://docs.example/cuda_oom.md",
        "Page: https://vigil.example/",
        "Key llama:cuda_oom:1780000000, attempt 1",
    ]
    assert made.link == "https://docs.example/cuda_oom.md"
    assert made.details == (*DETAILS, *NUMBERS)


def test_the_end_of_what_was_never_told_says_both(incident: Incidents) -> None:
    """One note in place of a page that comes too late."""
    over = incident(state=IncidentState.RESOLVED, resolved=OPENED + 720)
    made = compose(Notification("c", Reason.PASSED, over), OPENED + 900, STYLE)
    assert made.title == "HAPPENED AND RECOVERED: CUDA out of memory on llama, after 12m"
    assert made.kind is Kind.SUCCESS
    assert "Do first" not in made.body


def test_another_channels_trouble_is_said(incident: Incidents) -> None:
    """Which one, and why; of an incident that is over nothing is opened anew."""
    lost = Notification("c", Reason.LOST, incident(), note="pager refused the first message: refused with HTTP 404")
    made = compose(lost, OPENED, STYLE)
    assert made.title.startswith("CRITICAL, undeliverable elsewhere: ")
    assert "\nNote: pager refused the first message: refused with HTTP 404\n" in made.body
    over = Notification("c", Reason.LOST, incident(resolved=OPENED + 5))
    assert compose(over, OPENED, STYLE).kind is Kind.SUCCESS


@pytest.mark.parametrize("reason", Reason)
def test_korean_holds_what_english_holds(incident: Incidents, reason: Reason) -> None:
    """Number by number, in every kind of message; within the same limits."""
    row = Notification("c", reason, incident(resolved=OPENED + 9), facts=NUMBERS, note="pager, 404")
    english, korean = (compose(row, OPENED + 65, Style(remedy, language=language)) for language in Language)
    assert re.search(r"[가-힣]", korean.title + korean.body)
    for made in ("title", "body"):
        numbers = [sorted(re.findall(r"\d+", getattr(each, made))) for each in (english, korean)]
        assert numbers[0] == numbers[1]
    assert english.details == korean.details


def test_every_language_has_every_word() -> None:
    """With the same things to be put in."""
    fields = [
        {key: set(re.findall(r"{(\w+)}", text)) for key, text in WORDS[language].items()} for language in Language
    ]
    assert fields[0] == fields[1]


def test_the_line_of_just_this_incident_takes_the_place_of_its_rule_s(incident: Incidents) -> None:
    """It names flag and value, and is defused as all that is shown."""
    fixed = incident(fix="Start vLLM with --gpu-memory-utilization 0.87.")
    first = compose(Notification("slack", Reason.FIRST, fixed), OPENED + 65, STYLE)
    assert "Do first: Start vLLM with --gpu-memory-utilization 0.87.\n" in first.body
    over = replace(fixed, state=IncidentState.RESOLVED, resolved=OPENED + 720)
    assert "0.87" not in compose(Notification("slack", Reason.RESOLVED, over), OPENED + 900, STYLE).body


def test_where_its_last_minutes_are_kept_is_said_in_full(incident: Incidents) -> None:
    """On a line of its own and in the details: a path that is cut leads nowhere."""
    path = "/var/lib/vllm-vigil/a/long/way/down/to/the/state/directory/bundles/vigil-0a1B2c3D4e5F6a7B"
    told = Notification("slack", Reason.FIRST, incident(), facts=(("running", "3"), ("bundle", path)))
    made = compose(told, OPENED + 65, STYLE)
    closer = f"Look closer: vigil incidents show {incident().key}\nRecorded: {path}\n"
    assert f"3 running\nDo first: Lower --gpu-memory-utilization.\n{closer}Key" in made.body
    assert ("bundle", path) in made.details
