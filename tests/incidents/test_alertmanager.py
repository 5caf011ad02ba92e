"""Alertmanager's documents -> incidents, once each; incidents -> alerts; and everything that a document must not do."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vllm_vigil.incidents.alertmanager import alert_of, read
from vllm_vigil.incidents.rules import RULES
from vllm_vigil.incidents.told import MAX_OPEN, Heard, Taken, Told
from vllm_vigil.model import Incident, IncidentState, Severity, Transition, labels

NOW = 1_780_000_000.0
HOUR = 3600.0
FIRING = {
    "status": "firing",
    "labels": {"alertname": "KVCacheFull", "severity": "critical", "server": "llama", "secret_note": "x"},
    "annotations": {"summary": "the KV cache is full", "description": "97 % for 5 min", "runbook_url": "http://evil/"},
    "startsAt": "2026-05-28T20:26:30.123456789Z",
    "endsAt": "0001-01-01T00:00:00Z",
    "generatorURL": "http://prometheus:9090/graph?g0.expr=x",
    "fingerprint": "7a9bcf4efe1f2b0c",
}
STARTED = NOW - 10 + 0.123456  # what startsAt says
OPENED, RESOLVED, KNOWN, OWN, FULL = Heard.OPENED, Heard.RESOLVED, Heard.KNOWN, Heard.OWN, Heard.FULL


def document(*alerts: Mapping[str, Any], **fields: Any) -> dict[str, Any]:
    """What Alertmanager sends, with fields of tomorrow."""
    return {"version": "4", "groupKey": "{}:{}", "status": "firing", "alerts": list(alerts), "new": {"x": 1}} | fields


def moment(at: float) -> str:
    """RFC 3339."""
    return datetime.fromtimestamp(at, UTC).isoformat()


def alert(**fields: Any) -> dict[str, Any]:
    """The firing alert, changed."""
    return FIRING | fields


def resolved(ended: float, **fields: Any) -> dict[str, Any]:
    """Its end."""
    return alert(status="resolved", endsAt=moment(ended), **fields)


@pytest.fixture
def told() -> Told:
    """Nothing told yet; the server is called llama, and one incident began with us."""
    return make()


def make(**changes: Any) -> Told:
    """As after a start."""
    parts: dict[str, Any] = {
        "rule": RULES["alertmanager"],
        "servers": {"llama"},
        "expire_seconds": HOUR,
        "own": lambda: {"vigil-own"},
    }
    return Told(**parts | changes)


def take(told: Told, *alerts: Mapping[str, Any], now: float = NOW) -> Taken:
    """Tell it, as one document."""
    return told.take(read(document(*alerts)), now)


# --- in


def test_a_firing_alert_is_an_incident_of_the_chosen_few_fields(told: Told) -> None:
    """Name and summary, severity, one of our servers, labels of an allow-list; no URL of any kind."""
    taken = take(told, FIRING)
    (change,) = taken.changes
    incident = change.incident
    assert ([OPENED], Transition.OPENED) == (taken.heard, change.transition)
    assert ("alertmanager", Severity.CRITICAL, "llama") == (incident.rule, incident.severity, incident.server)
    assert "KVCacheFull: the KV cache is full" == incident.title
    assert labels(alertname="KVCacheFull", severity="critical") == incident.labels
    assert ("97 % for 5 min",) == incident.evidence
    assert pytest.approx(STARTED) == incident.opened
    assert "http" not in repr(incident)
    assert [incident] == told.open()


@pytest.mark.parametrize(
    ("word", "severity"),
    [("page", "critical"), ("INFO", "info"), ("warning", "warning"), ("purple", "warning"), ("", "warning")],
)
def test_the_severity_is_the_label_s_or_else_the_rule_s(told: Told, word: str, severity: str) -> None:
    """A word that nobody knows is a warning."""
    (change,) = take(told, alert(labels={"alertname": "A", "severity": word, "server": "other"})).changes
    assert (severity, "") == (change.incident.severity, change.incident.server)


def test_hostile_texts_are_masked_and_cut(told: Told) -> None:
    """Secrets, control and bidi characters, half surrogates and megabytes end here."""
    nasty = "\x1b[31m\u202e\ud800 token=hunter2hunter2 Bearer abcdefghijk " + "A" * 100_000
    bad = alert(labels={"alertname": nasty, "pod": nasty, "<script>": nasty}, annotations={"summary": nasty})
    (change,) = take(told, bad).changes
    said = repr(change.incident)
    assert len(said) < 1500
    assert not any(part in said for part in ("hunter2", "abcdefghijk", "x1b", "u202e", "ud800", "script"))


def test_the_same_firing_told_again_is_known(told: Told) -> None:
    """By another member, another group, again in one document, with another start, after a restart."""
    first = take(told, FIRING, FIRING)
    assert [OPENED, KNOWN] == first.heard
    assert [KNOWN] == told.take(read(document(FIRING, groupKey="other")), NOW + 1).heard
    assert [KNOWN] == take(told, alert(startsAt=moment(NOW - 5))).heard
    again = make()
    again.restore(told.remember(), told.open(), NOW)
    assert [KNOWN] == take(again, FIRING).heard
    assert told.open() == again.open()


def test_it_resolves_once_at_its_own_status_and_not_the_group_s(told: Told) -> None:
    """The end is Alertmanager's; a late firing of the same start opens nothing; the next firing does."""
    key = take(told, FIRING).changes[0].incident.key
    taken = take(told, resolved(NOW + 50), now=NOW + 60)
    (change,) = taken.changes
    assert ([RESOLVED], Transition.RESOLVED) == (taken.heard, change.transition)
    assert (key, IncidentState.RESOLVED, NOW + 50) == (
        change.incident.key,
        change.incident.state,
        change.incident.resolved,
    )
    again = make()
    again.restore(told.remember(), [], NOW + 60)
    assert [KNOWN] == take(again, resolved(NOW + 50), now=NOW + 61).heard
    assert [KNOWN] == take(again, FIRING, now=NOW + 62).heard
    next_one = take(again, alert(startsAt=moment(NOW + 70)), now=NOW + 80)
    assert [OPENED] == next_one.heard
    assert key != next_one.changes[0].incident.key


def test_the_end_of_an_earlier_firing_does_not_end_a_later_one(told: Told) -> None:
    """A resolve may arrive again, after it fires anew."""
    take(told, FIRING)
    take(told, resolved(NOW + 1), now=NOW + 1)
    take(told, alert(startsAt=moment(NOW + 20)), now=NOW + 30)
    assert [KNOWN] == take(told, resolved(NOW + 1), now=NOW + 31).heard
    assert 1 == len(told.open())
    assert [RESOLVED] == take(told, resolved(NOW + 40, startsAt=moment(NOW + 20)), now=NOW + 41).heard


def test_a_clock_that_is_ahead_of_ours_ends_it_too(told: Told) -> None:
    """Starts and ends are compared with each other, not with our time."""
    take(told, alert(startsAt=moment(NOW + 100)))
    (change,) = take(told, resolved(NOW + 110, startsAt=moment(NOW + 100)), now=NOW + 20).changes
    assert (NOW, NOW + 20) == (change.incident.opened, change.incident.resolved)


def test_an_end_that_overtakes_its_beginning_leaves_nothing_open(told: Told) -> None:
    """Two members, in any order."""
    assert [KNOWN] == take(told, resolved(NOW)).heard
    assert [KNOWN] == take(told, FIRING, now=NOW + 5).heard
    assert [] == told.open()


def test_an_alert_that_nobody_tells_of_any_more_is_over(told: Told) -> None:
    """Silenced alerts send no end; each repeat puts it off; and if it is told again after all, it opens again."""
    take(told, FIRING)
    assert [] == told.tick(NOW + HOUR - 1)
    take(told, FIRING, now=NOW + HOUR - 1)
    assert [] == told.tick(NOW + HOUR)
    (change,) = told.tick(NOW + 2 * HOUR)
    assert (Transition.RESOLVED, NOW + 2 * HOUR) == (change.transition, change.incident.resolved)
    assert ("ended", "not told of any more") in change.incident.labels
    assert [OPENED] == take(told, FIRING, now=NOW + 3 * HOUR).heard


def test_what_we_pushed_ourselves_is_no_news(told: Told) -> None:
    """Another sidecar's incident is."""
    own, other = ({"alertname": "engine_dead", "vigil_key": key} for key in ("vigil-own", "vigil-other"))
    assert [OWN, OPENED] == take(told, alert(labels=own, fingerprint="1"), alert(labels=other, fingerprint="2")).heard


def test_it_is_full_at_a_bound_and_ends_make_room(told: Told) -> None:
    """What fits is kept, the rest is to be told again."""
    many = [alert(fingerprint=f"{number}") for number in range(MAX_OPEN + 2)]
    taken = take(told, *many)
    assert (MAX_OPEN, 2, True) == (taken.heard.count(OPENED), taken.heard.count(FULL), taken.full)
    taken = take(told, *many, resolved(NOW, fingerprint="0"), resolved(NOW, fingerprint="1"))
    assert (2, False) == (taken.heard.count(OPENED), taken.full)


def test_a_rule_that_is_off_opens_nothing() -> None:
    """As every rule."""
    off = make(rule=type(RULES["alertmanager"])("alertmanager", "t", "r.", enabled=False))
    assert [KNOWN] == take(off, FIRING).heard


def test_an_incident_without_a_memory_still_ends(told: Told) -> None:
    """Its time to live is counted from when it was last heard of."""
    take(told, FIRING)
    again = make()
    again.restore(None, told.open(), NOW)
    assert told.open() == again.open()
    assert 1 == len(again.tick(NOW + HOUR))


def test_a_long_absence_of_ours_ends_no_alert(told: Told) -> None:
    """Alertmanager has ten minutes to tell it again; then it is over."""
    take(told, FIRING)
    again = make()
    again.restore(told.remember(), told.open(), NOW + 5 * HOUR)
    assert [] == again.tick(NOW + 5 * HOUR + 599)
    assert 1 == len(again.tick(NOW + 5 * HOUR + 600))


@pytest.mark.parametrize("start", ["0001-01-02T00:00:00Z", "9999-12-31T23:59:59Z", "2020-01-01T00:00:00+14:00"])
def test_a_start_out_of_reason_is_now(told: Told, start: str) -> None:
    """Before a month ago, or in the future."""
    (change,) = take(told, alert(startsAt=start)).changes
    assert NOW == change.incident.opened


WRONG: tuple[tuple[Any, str], ...] = (
    ([], "the body must be one JSON object"),
    ({}, 'version must be "4"'),
    (document() | {"version": "1"}, 'version must be "4"'),
    (document() | {"alerts": {}}, "alerts must be a list"),
    (document("c4n4ry"), "alerts[0] must be an object"),  # type: ignore[arg-type]  # that is what is wrong with it
    (document(FIRING, alert(status="c4n4ry")), 'alerts[1].status must be "firing" or "resolved"'),
    (document(alert(labels={"a": 1})), "alerts[0].labels must be an object of texts"),
    (document(alert(annotations=["c4n4ry"])), "alerts[0].annotations must be an object of texts"),
    (document(alert(startsAt="c4n4ry")), "alerts[0].startsAt must be a time as in RFC 3339"),
    (document(alert(startsAt="2026-05-28T20:26:30")), "alerts[0].startsAt must be a time as in RFC 3339"),
    (document(alert(startsAt="0001-01-01T00:00:00Z")), "alerts[0].startsAt is missing"),
    (document(resolved(NOW) | {"endsAt": 5}), "alerts[0].endsAt must be a time as in RFC 3339"),
)


@pytest.mark.parametrize(("body", "wanted"), WRONG)
def test_what_is_wrong_is_said_without_a_word_of_it(body: Any, wanted: str) -> None:
    """Where, and what was expected."""
    with pytest.raises(ValueError, match=r"must be|missing") as caught:
        read(body)
    assert str(caught.value).startswith(wanted)
    assert "c4n4ry" not in str(caught.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(FIRING, JSON)))
def test_no_document_breaks_it(fields: dict[str, Any]) -> None:
    """Whatever stands in an alert, it is taken or refused."""
    try:
        alerts = read(document(alert(**fields)))
    except ValueError:
        return
    told = make()
    told.take(alerts, NOW)
    json.loads(told.remember())


# --- out


def incident(**changes: Any) -> Incident:
    """One of ours."""
    fields: dict[str, Any] = {
        "key": "vigil-1",
        "rule": "cuda_oom",
        "server": "llama",
        "severity": Severity.CRITICAL,
        "state": IncidentState.OPEN,
        "title": "GPU out of memory",
        "opened": NOW,
        "updated": NOW,
        "labels": labels(gpu="0", phase="load"),
    }
    return Incident(**fields | changes)


def test_an_open_incident_is_an_alert_that_ends_by_itself() -> None:
    """Its labels are who it is, all that varies is in annotations."""
    out = alert_of(incident(count=3), NOW + 10, 120.0, "Lower it.")
    assert {
        "alertname": "cuda_oom",
        "severity": "critical",
        "server": "llama",
        "vigil_key": "vigil-1",
    } == out["labels"]
    assert {
        "summary": "GPU out of memory",
        "description": "Lower it.",
        "count": "3",
        "details": "gpu=0, phase=load",
    } == out["annotations"]
    assert ("2026-05-28T20:26:40.000Z", "2026-05-28T20:28:50.000Z") == (out["startsAt"], out["endsAt"])
    later = alert_of(incident(count=9, title="GPU out of memory (again)"), NOW + 40, 120.0, "Lower it.")
    assert out["labels"] == later["labels"]


def test_an_incident_that_is_over_has_ended_and_never_before_it_began() -> None:
    """Alertmanager refuses an end before the start."""
    over = {"state": IncidentState.RESOLVED}
    assert moment_of(incident(**over, resolved=NOW + 5)) == "2026-05-28T20:26:45.000Z"
    assert moment_of(incident(**over, resolved=NOW - 5)) == "2026-05-28T20:26:40.000Z"


def moment_of(over: Incident) -> Any:
    """When its alert ends."""
    return alert_of(over, NOW + 60, 120.0, "")["endsAt"]


def test_what_leaves_is_masked_and_defused() -> None:
    """Mentions, links and secrets do nothing in whatever Alertmanager tells."""
    nasty = "<!channel> @everyone http://evil hf_abcdefgh1234 \x1b[31m"
    out = json.dumps(alert_of(incident(title=nasty, server=nasty, labels=labels(x=nasty)), NOW, 1.0, ""))
    assert not any(part in out for part in ("<!", "@everyone", "://", "hf_", "u001b"))


def test_an_incident_of_the_host_has_no_server() -> None:
    """Alertmanager refuses an empty label."""
    assert "server" not in alert_of(incident(server=""), NOW, 1.0, "")["labels"]


def test_a_person_ends_what_alertmanager_told(told: Told) -> None:
    """Another member that tells the same firing is no news; an unknown key changes nothing."""
    take(told, FIRING)
    (incident,) = told.open()
    assert [] == told.resolve("vigil-unknown", NOW + 5)
    (change,) = told.resolve(incident.key, NOW + 5)
    assert (Transition.RESOLVED, NOW + 5) == (change.transition, change.incident.resolved)
    assert [] == told.open()
    assert [KNOWN] == take(told, FIRING, now=NOW + 6).heard
