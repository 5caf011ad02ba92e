"""The real program proves its pager: a test by itself, kept across a restart, and a heartbeat of a secret address."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from standins.channels import SLACK, SLACK_HOST, Channels
from standins.program import Program, until
from standins.switch import CANARY, Switch

CONFIG = """
vllm: [{{url: "http://127.0.0.1:9"}}]
gpu: {{enabled: false}}
host: {{enabled: false}}
notify:
  channels: {{slack: {{url: "{slack}"}}}}
  proof: {{every: 24h}}
heartbeat: {{url: "{url}", interval: 1s}}
"""


@pytest.fixture
def switch() -> Iterator[Switch]:
    """A dead man's switch."""
    made = Switch()
    made.start()
    yield made
    made.close()


def test_a_pager_is_proven_once_a_day_and_the_switch_is_held_down(switch: Switch, tmp_path: Path) -> None:
    """One marked test over two lives of the process; heartbeats go on, and show their address nowhere."""
    with Channels() as channels:
        program = Program(tmp_path, CONFIG.format(slack=SLACK, url=switch.url), channels.environment)
        try:
            program.start()
            (post,) = channels.wait_for(SLACK_HOST, 1)
            assert "nothing is wrong" in post.body.decode()
            success = "vigil_channel_last_success_timestamp_seconds"
            at = until(60, "it is counted", lambda: program.value(success, channel="slack"))
            until(60, "heartbeats", lambda: len(switch.asked) > 1)
            program.stop()
            program.start()
            known = until(60, "it is still known", lambda: program.value(success, channel="slack"))
            assert known == pytest.approx(at, abs=1)  # as its row says
            assert program.value("vigil_channel_proof_interval_seconds", channel="slack") == 86_400
            switch.script = [500]
            until(60, "refused", lambda: (program.value("vigil_heartbeats_total", outcome="refused") or 0) > 1)
            assert len(channels.received(SLACK_HOST)) == 1
            shown = program.get("/metrics").text + program.get("/").text + program.get("/api/v1/status").text
        finally:
            program.close()
    log = program.output.read_text()
    assert log.count("no heartbeat is delivered: it answered status 500") == 1
    assert CANARY not in log + shown + checked(program)


def checked(program: Program) -> str:
    """What `vigil check` prints of its configuration."""
    command = [sys.executable, "-m", "vllm_vigil", "check", "--config", str(program.config)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert "heartbeat:" in done.stdout
    return done.stdout + done.stderr
