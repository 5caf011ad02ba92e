"""The real program on a crash: what led to it is kept, told where, shown by the command, and drawn for the page."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from standins.channels import LOCAL_HOST, Channels
from standins.program import Program, until
from standins.vllm import StandInVllm

DATA = Path(__file__).parent / "data"
PAGE = (DATA / "captures" / "metrics-0.32.0-busy-preempting.txt").read_text()
OOM = (DATA / "samples" / "cuda-oom-serving-v0.19.log").read_bytes()
CONFIG = """
vllm:
  - name: llama
    url: {url}
    interval: 200ms
    logs: [{{path: {log}}}]
gpu: {{enabled: false}}
host: {{enabled: false}}
notify:
  channels:
    hook: {{url: "{hook}"}}
"""


@pytest.fixture
def program(channels: Channels, tmp_path: Path) -> Iterator[Program]:
    """The sidecar beside a server that shows a recorded page, for three ticks."""
    log = tmp_path / "vllm.log"
    log.touch()
    with StandInVllm(PAGE) as vllm:
        sidecar = Program(tmp_path, CONFIG.format(url=vllm.url, log=log, hook=channels.webhook), channels.environment)
        sidecar.start()
        until(60, "series", lambda: sidecar.value("llm_requests_waiting", server="llama"))
        yield sidecar
        sidecar.close()


def test_a_crash_leaves_a_bundle_that_the_page_and_the_command_know(
    program: Program, channels: Channels, tmp_path: Path
) -> None:
    """One page, with its line of advice, the command that works and the picture; and 0700 around what is kept."""
    with (tmp_path / "vllm.log").open("ab") as log:
        log.write(OOM)
    (received,) = channels.wait_for(LOCAL_HOST, 1, 30.0)
    page = received.document
    bundles = tmp_path / "state" / "bundles"
    until(60, "the bundle", lambda: program.value("vigil_recordings_total", outcome="written") == 1)
    (bundle,) = bundles.iterdir()
    assert f"Look closer: vigil incidents show {bundle.name}\n" in page["message"]
    assert "Recorded: " not in page["message"]  # it is not, yet
    assert "Do first: Start vLLM with --gpu-memory-utilization 0." in page["message"]
    assert (bundles.stat().st_mode & 0o777, (bundle / "incident.json").stat().st_mode & 0o777) == (0o700, 0o600)
    pictures = [each for each in page["attachments"] if each["filename"] == "chart.png"]
    if pictures:  # a busy machine may send the page without it: that is its promise
        assert base64.b64decode(pictures[0]["base64"]).startswith(b"\x89PNG")
    until(60, "the chart", (bundle / "chart.png").is_file)
    shown = subprocess.run(
        (sys.executable, "-m", "vllm_vigil", "incidents", "show", bundle.name, "--state-dir", str(tmp_path / "state")),
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    ).stdout
    assert "  do first: Start vLLM with --gpu-memory-utilization 0." in shown
    assert "running" in shown
    assert f"recorded: {bundle}" in shown
    (trouble,) = program.status()["incidents"]["open"]
    assert trouble["advice"] == trouble["fix"] == json.loads((bundle / "incident.json").read_text())["incident"]["fix"]


def test_a_full_place_for_bundles_harms_no_page(program: Program, channels: Channels, tmp_path: Path) -> None:
    """A file stands where the directory should: it is said once, and the page is as it always was."""
    (tmp_path / "state" / "bundles").write_text("")
    with (tmp_path / "vllm.log").open("ab") as log:
        log.write(OOM)
    (received,) = channels.wait_for(LOCAL_HOST, 1, 30.0)
    assert "Key vigil-" in received.document["message"]
    until(60, "the failure", lambda: program.value("vigil_recordings_total", outcome="failed") == 1)
    assert "cannot keep what led to an incident" in program.output.read_text()
