"""`vigil incidents` and `vigil outbox` on a state file that a sidecar left, or still holds."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from standins.flights import INCIDENT, frozen
from vllm_vigil.cli import main
from vllm_vigil.incidents.rules import RULES
from vllm_vigil.model import Incident, IncidentState, Notification, Outcome, Reason, Severity
from vllm_vigil.recorder.bundle import write
from vllm_vigil.state.store import Store

OPEN = Incident("vigil-1", "cuda_oom", "llama", Severity.CRITICAL, IncidentState.OPEN, "GPU out of memory", 0.0, 1.0)
OVER = Incident(
    "vigil-2", "http_5xx", "llama", Severity.WARNING, IncidentState.RESOLVED, "5xx\x1b[2J", 60.0, 61.0, resolved=120.0
)


def told(capsys: pytest.CaptureFixture[str], tmp_path: Path, *arguments: str) -> tuple[int, str]:
    """Exit code and output of a command."""
    code = main([*arguments, "--state-dir", str(tmp_path)])
    return code, capsys.readouterr().out


def test_incidents_are_listed_while_the_sidecar_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Newest first, with their end, without what a terminal would obey; 1 while one is open."""
    store = Store.open(tmp_path)
    with store.transaction():
        store.save_incident(OPEN)
        store.save_incident(OVER)
    code, out = told(capsys, tmp_path, "incidents")
    assert code == 1
    assert out.splitlines() == [
        "1970-01-01T00:01:00Z  warning   llama  5xx  x1  resolved 1970-01-01T00:02:00Z  vigil-2",
        "1970-01-01T00:00:00Z  critical  llama  GPU out of memory  x1  open  vigil-1",
    ]
    _, out = told(capsys, tmp_path, "incidents", "list", "--json")
    assert [json.loads(line)["key"] for line in out.splitlines()] == ["vigil-2", "vigil-1"]
    store.close()


def test_what_waits_is_listed_oldest_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With its channel and the next attempt; 0 when nothing waits."""
    store = Store.open(tmp_path)
    assert told(capsys, tmp_path, "outbox") == (0, "nothing waits\n")
    with store.transaction():
        store.rows.queue(Notification("slack", Reason.FIRST, OPEN), now=5.0)
    code, out = told(capsys, tmp_path, "outbox", "--json")
    row = json.loads(out)
    assert (code, row["channel"], row["key"], row["queued"]) == (1, "slack", "vigil-1", "1970-01-01T00:00:05Z")
    store.close()


def test_a_directory_without_state_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And nothing is made in it."""
    assert main(["incidents", "--state-dir", str(tmp_path)]) == 1
    assert f"no state in {tmp_path}: give --config or --state-dir as the sidecar has it" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_one_incident_is_shown_with_who_was_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And an unknown key is said to be one, without what a terminal would obey."""
    store = Store.open(tmp_path)
    with store.transaction():
        store.save_incident(OPEN)
        store.rows.end(store.rows.queue(Notification("slack", Reason.FIRST, OPEN), 5.0), 6.0, Outcome.DELIVERED, "")
    code, out = told(capsys, tmp_path, "incidents", "show", "vigil-1")
    assert code == 1
    assert "  told  1970-01-01T00:00:06Z  slack  first  delivered" in out.splitlines()
    _, out = told(capsys, tmp_path, "incidents", "show", "vigil-1", "--json")
    (word,) = json.loads(out)["told"]
    assert (word["channel"], word["outcome"]) == ("slack", "delivered")
    assert main(["incidents", "show", "x\x1b[2J", "--state-dir", str(tmp_path)]) == 2
    assert "no incident x;" in capsys.readouterr().err
    store.close()


def test_rows_are_dropped_and_tried_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By id; all that wait are tried at once, and nothing is dropped unnamed."""
    store = Store.open(tmp_path)
    with store.transaction():
        for channel in ("slack", "pager"):
            store.rows.postpone(
                store.rows.queue(Notification(channel, Reason.FIRST, OPEN), 5.0), 9e9, Outcome.RETRY, "503"
            )
    assert told(capsys, tmp_path, "outbox", "drop", "1") == (0, "1 dropped\n")
    assert told(capsys, tmp_path, "outbox", "drop", "1") == (1, "0 dropped\n")
    assert told(capsys, tmp_path, "outbox", "retry") == (0, "1 due now\n")
    assert store.rows.due("pager", time.time(), 300.0) is not None
    code, out = told(capsys, tmp_path, "outbox", "retry", "1", "--json")
    assert (code, json.loads(out)) == (0, {"action": "retry", "count": 1})
    assert main(["outbox", "drop", "--state-dir", str(tmp_path)]) == 2
    assert "say which" in capsys.readouterr().err
    store.close()


def test_an_open_incident_is_asked_to_be_resolved(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The wish stands in the state file, for the sidecar to take; asking twice is asking once."""
    store = Store.open(tmp_path)
    with store.transaction():
        store.save_incident(OPEN)
        store.save_incident(OVER)
    said = "vigil-1 is resolved at the sidecar's next tick, or its next start\n"
    assert told(capsys, tmp_path, "incidents", "resolve", "vigil-1") == (0, said)
    code, out = told(capsys, tmp_path, "incidents", "resolve", "vigil-1", "--json")
    assert (code, json.loads(out)["action"], json.loads(out)["key"]) == (0, "resolve", "vigil-1")
    assert store.wishes() == ["vigil-1"]
    store.close()


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["resolve"], "say which incident is over; open: vigil-1"),
        (["resolve", "vigil-1", "vigil-2"], "no open incident vigil-2: nothing was resolved; open: vigil-1"),
        (["show"], "say which incident to show"),
    ],
)
def test_a_key_that_is_not_open_is_said_with_those_that_are(
    arguments: list[str], error: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And nothing is asked for, of the others neither."""
    store = Store.open(tmp_path)
    with store.transaction():
        store.save_incident(OPEN)
        store.save_incident(OVER)
    assert main(["incidents", *arguments, "--state-dir", str(tmp_path)]) == 2
    assert error in capsys.readouterr().err
    assert store.wishes() == []
    store.close()


def test_an_incident_is_shown_with_what_was_recorded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its line of advice, small lines of the last minutes, and where all of it stands; or that there is nothing."""
    store = Store.open(tmp_path)
    with store.transaction():
        store.save_incident(INCIDENT)
        store.save_incident(OPEN)
    written = write(tmp_path / "bundles", frozen())
    _, out = told(capsys, tmp_path, "incidents", "show", INCIDENT.key)
    assert f"  do first: {INCIDENT.fix}\n" in out
    assert f"  recorded: {written}\n" in out
    assert "▁" in out
    assert "KV cache" in out
    _, out = told(capsys, tmp_path, "incidents", "show", INCIDENT.key, "--json")
    assert (json.loads(out)["bundle"], json.loads(out)["fix"]) == (str(written), INCIDENT.fix)
    _, out = told(capsys, tmp_path, "incidents", "show", "vigil-1")
    assert f"  do first: {RULES[OPEN.rule].remedy}\n  runbook: https://" in out
    assert "nothing is recorded: it is written some seconds after an incident opens" in out
    (written / "incident.json").write_text('{"version": 9}')
    _, out = told(capsys, tmp_path, "incidents", "show", INCIDENT.key)
    assert "another version" in out
    store.close()
