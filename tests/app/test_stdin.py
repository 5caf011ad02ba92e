"""`vllm serve 2>&1 | vigil run --stdin`, as a process."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

from standins.program import free_port, until

CRASH = (Path(__file__).parents[1] / "data" / "captures" / "server-0.32.0-engine-killed.log").read_bytes()


def test_a_crash_on_standard_input_is_an_incident_and_stays_on_the_terminal(tmp_path: Path) -> None:
    """Every byte is passed on; the end of the server's output does not end the watch, SIGTERM does."""
    port = free_port()
    command = [sys.executable, "-m", "vllm_vigil", "run", "--stdin", "--vllm", "http://127.0.0.1:9"]
    options = ["--listen", f"127.0.0.1:{port}", "--state-dir", str(tmp_path / "state")]
    with (
        (tmp_path / "terminal").open("wb") as terminal,
        (tmp_path / "vigil.log").open("wb") as own,
        subprocess.Popen([*command, *options], stdin=subprocess.PIPE, stdout=terminal, stderr=own) as vigil,
    ):
        assert vigil.stdin is not None
        try:
            vigil.stdin.write(CRASH)
            vigil.stdin.close()

            def status() -> dict[str, Any] | None:
                try:
                    with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/status", timeout=5) as answer:
                        document: dict[str, Any] = json.load(answer)
                except OSError:
                    return None
                return document if document["incidents"]["open"] else None

            found = until(60, "an incident", status)
            assert ["engine_dead"] == [incident["rule"] for incident in found["incidents"]["open"]]
            assert None is vigil.poll()
        finally:
            vigil.terminate()
        assert 0 == vigil.wait(30), (tmp_path / "vigil.log").read_text()
    assert CRASH == (tmp_path / "terminal").read_bytes()
