"""`vigil incidents` and `vigil outbox` on a state file that a sidecar left, or still holds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vllm_vigil.cli import main
from vllm_vigil.model import Incident, IncidentState, Notification, Reason, Severity
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
        store.queue(Notification("slack", Reason.FIRST, OPEN), now=5.0)
    code, out = told(capsys, tmp_path, "outbox", "--json")
    row = json.loads(out)
    assert (code, row["channel"], row["key"], row["queued"]) == (1, "slack", "vigil-1", "1970-01-01T00:00:05Z")
    store.close()


def test_a_directory_without_state_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And nothing is made in it."""
    assert main(["incidents", "--state-dir", str(tmp_path)]) == 1
    assert f"no state in {tmp_path}" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
