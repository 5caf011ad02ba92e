"""`scripts/run --demo`, from the first line to the last."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import httpx

from standins.program import free_port, until

ROOT = Path(__file__).parents[2]


def answers(port: int) -> bool:
    """Whether the sidecar there is ready."""
    try:
        return httpx.get(f"http://127.0.0.1:{port}/-/ready", trust_env=False).is_success
    except httpx.TransportError:
        return False


def test_a_signal_to_the_script_ends_all_that_it_began(tmp_path: Path) -> None:
    """Sidecar and stand-ins, of whose files nothing is left."""
    port, demo = free_port(), free_port()
    environment = os.environ | {"VIGIL_DEMO_PORT": f"{demo}", "TMPDIR": f"{tmp_path}"}
    command = [f"{ROOT}/scripts/run", "--demo", "--listen", f"127.0.0.1:{port}"]
    with (tmp_path / "output").open("wb") as output:
        script = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
    try:
        until(60, "it answers", lambda: answers(port))
        assert 1 == len(list(tmp_path.glob("tmp.*/vigil.yaml")))
        script.send_signal(signal.SIGTERM)
        script.wait(30)
    finally:
        script.kill()
    assert not answers(port)
    assert ["output"] == [path.name for path in tmp_path.iterdir()]
