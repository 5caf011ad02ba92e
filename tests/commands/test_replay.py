"""`vigil replay` as a person runs it: files of all kinds, rules to try, and what is printed."""

from __future__ import annotations

import gzip
import io
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from standins.log_replay import DATA
from vllm_vigil.cli import main

SAMPLES = DATA / "samples"
OOM = SAMPLES / "cuda-oom-serving-v0.19.log"
FSM = SAMPLES / "structured-output-fsm-v0.22.log"


def shown(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 1) -> list[dict[str, object]]:
    """What `--json` prints."""
    assert code == main(["replay", "--json", *arguments])
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def incidents(facts: list[dict[str, object]]) -> list[tuple[object, object]]:
    """Rule and key of every incident."""
    return [(fact["rule"], fact["key"]) for fact in facts if fact["kind"] == "incident"]


@pytest.fixture(autouse=True)
def _no_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_packed_log_and_standard_input_give_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Plain, .gz and `-`; only the keys differ, because they tell where a record stands."""
    plain = shown(capsys, str(OOM))
    packed = tmp_path / "old.log.gz"
    packed.write_bytes(gzip.compress(OOM.read_bytes()))
    piped = subprocess.run(
        [sys.executable, "-m", "vllm_vigil", "replay", "--json", "-"],
        input=OOM.read_bytes(),
        capture_output=True,
        check=False,
    )
    rules = [rule for rule, _ in incidents(plain)]
    assert ["cuda_oom"] == rules
    assert rules == [rule for rule, _ in incidents(shown(capsys, str(packed)))]
    assert rules == [rule for rule, _ in incidents([json.loads(line) for line in piped.stdout.splitlines()])]
    assert (1, b"") == (piped.returncode, piped.stderr)


def test_several_files_are_told_in_the_order_of_their_times(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The parts of a rotated log may be named in any order, and one crash across two of them is one incident."""
    lines = OOM.read_bytes().splitlines(keepends=True)
    old, new = tmp_path / "vllm.log.1", tmp_path / "vllm.log"
    cut = next(index for index, line in enumerate(lines) if b"output_handler failed" in line)
    old.write_bytes(b"".join(lines[:cut]))
    new.write_bytes(b"".join(lines[cut:]))
    facts = shown(capsys, str(new), str(old))
    assert [rule for rule, _ in incidents(facts)] == ["cuda_oom"]
    times = [fact["opened"] for fact in facts if fact["kind"] == "event"]
    assert sorted(times, key=str) == times


def test_rules_to_try_change_what_is_raised(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A threshold and a pattern from a file, without touching the configuration."""
    assert [] == incidents(shown(capsys, str(FSM), code=0))
    rules = tmp_path / "try.yaml"
    rules.write_text(
        "rules: {fsm_burst: {count: 1, severity: warning}}\n"
        "patterns: {fsm: {rule: fsm_burst, regex: 'Failed to advance FSM for request (?P<request_id>\\S+)'}}\n"
    )
    facts = shown(capsys, "--rules", str(rules), str(FSM))
    assert {"fsm_burst"} == {rule for rule, _ in incidents(facts)}
    for text, said in (
        ("patterns: {fsm: {rule: nothing, regex: 'FSM'}}\n", "there is no rule 'nothing'"),
        ("vllm: []\n", "try.yaml:1: vllm: unknown key"),
    ):
        rules.write_text(text)
        assert 2 == main(["replay", "--rules", str(rules), str(FSM)])
        assert said in capsys.readouterr().err


def test_the_zone_places_the_times(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What a server in Berlin wrote at four in the morning was at three in UTC."""
    log = tmp_path / "a.log"
    log.write_text('{"timestamp": "2026-11-21 04:00:00", "level": "critical", "event": "lost it"}\n')
    config = tmp_path / "vigil.yaml"
    found = []
    for zone in ("UTC", "Europe/Berlin"):
        config.write_text(f"zone: {zone}\n")
        (fact,) = shown(capsys, "--config", str(config), str(log), code=0)
        found.append(fact["opened"])
    assert ["2026-11-21T04:00:00Z", "2026-11-21T03:00:00Z"] == found
    config.write_text("zone: Berlin\n")
    assert 2 == main(["replay", "--config", str(config), str(log)])
    assert "there is no zone 'Berlin'" in capsys.readouterr().err


def test_a_person_reads_evidence_and_counts(capsys: pytest.CaptureFixture[str]) -> None:
    """Below each incident stand its masked lines, and at the end how many lines were read."""
    assert 1 == main(["replay", str(OOM)])
    lines = capsys.readouterr().out.splitlines()
    incident = next(index for index, line in enumerate(lines) if "INCIDENT" in line)
    assert "GPU out of memory" in lines[incident]
    assert lines[incident + 1].startswith("    ")
    total = len(OOM.read_bytes().splitlines())
    assert lines[-1].startswith(f"{total} lines: ")


def test_what_cannot_be_read_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No such file, no gzip; exit code 2."""
    broken = tmp_path / "a.gz"
    broken.write_bytes(b"no gzip")
    for name, why in ((str(tmp_path / "none.log"), "No such file"), (str(broken), "Not a gzipped file")):
        assert 2 == main(["replay", name])
        error = capsys.readouterr().err
        assert f"cannot replay {name}" in error
        assert why in error


def test_a_terminal_sees_how_far_it_is(tmp_path: Path) -> None:
    """On a terminal a bar moves on standard error and goes away; in a pipe there is none."""
    log = tmp_path / "long.log"
    log.write_bytes(b'INFO:     1.1.1.1:1 - "GET /health HTTP/1.1" 200 OK\n' * 400_000)
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "vllm_vigil", "replay", str(log)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=theirs, check=False)
    os.close(theirs)
    with io.FileIO(ours) as terminal:
        bar = terminal.read(65536).decode()
    assert done.stdout.decode().startswith("no incident in 400000 lines: 400000 INFO")
    assert "%" in bar
    assert bar.endswith("\r\x1b[K")
    quiet = subprocess.run(command, capture_output=True, check=False)
    assert b"" == quiet.stderr


def test_a_replay_loads_nothing_that_only_a_sidecar_needs() -> None:
    """So it begins a third sooner."""
    told = (
        "import sys; known = {*sys.modules}; from vllm_vigil.cli import main; main(sys.argv[1:])\n"
        "print(*{*sys.modules} - known, file=sys.stderr)"  # what measures coverage loads sqlite3
    )
    command = [sys.executable, "-c", told, "replay", str(FSM)]
    loaded = subprocess.run(command, capture_output=True, text=True, check=True).stderr.split()
    assert "vllm_vigil.events.scan" in loaded
    assert {"apprise", "h11", "httpx", "prometheus_client", "pynvml", "sqlite3", "watchdog"}.isdisjoint(loaded)
