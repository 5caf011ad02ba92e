"""A silence, from the command line to the running program and back."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from standins.channels import SLACK, SLACK_HOST, Channels
from standins.program import Program, until
from standins.vllm import StandInVllm

DATA = Path(__file__).parent / "data" / "captures"
CONFIG = """
vllm:
  - {{name: llama, url: "{url}", interval: 200ms, logs: [{{path: "{log}"}}]}}
gpu: {{enabled: false}}
notify: {{channels: {{slack: {{url: "{slack}"}}}}}}
"""


def test_a_silenced_crash_is_recorded_and_told_when_the_silence_is_ended(tmp_path: Path) -> None:
    """The page shows incident and silence, nobody is woken; once it is ended the page goes out, with its numbers."""
    log = tmp_path / "vllm.log"
    log.touch()
    page = (DATA / "metrics-0.32.0-busy-preempting.txt").read_text()
    with Channels() as channels, StandInVllm(page) as vllm:
        config = CONFIG.format(url=vllm.url, log=log, slack=SLACK)
        program = Program(tmp_path, config, channels.environment).start()

        def silence(*arguments: str) -> None:
            state = ("--config", str(program.config), "--state-dir", str(tmp_path / "state"))
            command = [sys.executable, "-m", "vllm_vigil", "silence", *arguments, *state]
            subprocess.run(command, check=True, timeout=60, capture_output=True)

        try:
            until(60, "ready", lambda: program.get("/-/ready").status_code == 200)
            silence("add", "server=llama", "--author", "kim", "--comment", "a driver update")
            log.write_bytes((DATA / "server-0.32.0-engine-killed.log").read_bytes())
            until(60, "the incident", lambda: program.status()["incidents"]["open"])
            assert ["kim"] == [each["author"] for each in program.status()["silences"]]
            assert "a driver update" in program.get("/").text
            assert channels.received() == []
            silence("expire", "1")
            (sent,) = channels.wait_for(SLACK_HOST, 1)
        finally:
            program.close()
    assert "KV cache" in sent.body.decode()
    assert "50 waiting" in sent.body.decode()
