"""`vigil silence` on a state file that a sidecar holds."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from vllm_vigil.cli import main
from vllm_vigil.state.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """The sidecar's."""
    return Store.open(tmp_path)


def told(capsys: pytest.CaptureFixture[str], tmp_path: Path, *arguments: str) -> tuple[int, str]:
    """Exit code and output of a command."""
    code = main(["silence", *arguments, "--state-dir", str(tmp_path)])
    return code, capsys.readouterr().out


def test_a_silence_is_added_listed_and_ended(store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With matcher, duration and author; the running sidecar sees it at once."""
    assert told(capsys, tmp_path) == (0, "no silence\n")
    why = ("--for", "30m", "--author", "kim", "--comment", "driver update")
    code, out = told(capsys, tmp_path, "add", "server=llama", "severity=warning", *why)
    assert code == 0
    assert out.startswith("silence 1: server=llama, severity=warning until ")
    (silence,) = store.silences(time.time())
    assert (silence.match, silence.author) == ((("server", "llama"), ("severity", "warning")), "kim")
    assert 1790 < silence.ends - time.time() <= 1800
    _, out = told(capsys, tmp_path, "list", "--json")
    assert json.loads(out)["match"] == {"server": "llama", "severity": "warning"}
    assert "by kim: driver update" in told(capsys, tmp_path, "list")[1]
    assert told(capsys, tmp_path, "expire", "1") == (0, "silence 1 ended\n")
    assert told(capsys, tmp_path, "expire", "1") == (1, "no silence 1\n")
    assert store.silences(time.time()) == []


def test_who_has_no_name_is_named_by_number(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A container may run under a number that its machine does not know."""
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 4_000_000)
    assert told(capsys, tmp_path, "add", "server=llama")[0] == 0
    (silence,) = store.silences(time.time())
    assert silence.author == "uid 4000000"


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["add"], "say what"),
        (["add", "llama"], "is no matcher"),
        (["add", "server=llama", "--for", "30"], "--for: '30' is not a duration"),
        (["expire"], "say which"),
        (["expire", "one"], "'one' is no id"),
    ],
)
def test_what_cannot_be_meant_is_said(
    arguments: list[str], error: str, store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And nothing is silenced."""
    assert main(["silence", *arguments, "--state-dir", str(tmp_path)]) == 2
    assert error in capsys.readouterr().err
    assert store.silences(time.time()) == []
