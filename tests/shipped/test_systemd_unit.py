"""deploy/systemd/: systemd itself accepts the units and rates their sandbox, and the sidecar works inside it.

No systemd runs where the tests run: its tools check the files, and the system-call rules are installed by hand
(tests/standins/unit_sandbox.py). The mount and device rules are checked as text only.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from standins.channels import SLACK, SLACK_HOST, Channels
from standins.nvml import StandInNvml
from standins.program import Program, until
from standins.shipped import ROOT
from standins.unit_sandbox import directives
from standins.vllm import StandInVllm

FOLDER = ROOT / "deploy" / "systemd"
UNIT = FOLDER / "vllm-vigil.service"
DROP_IN = FOLDER / "vllm.service.d" / "vigil.conf"
DATA = ROOT / "tests" / "data"
CRASH = (DATA / "captures" / "server-0.32.0-engine-killed.log").read_bytes()


def analyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """What systemd-analyze says."""
    command = ["systemd-analyze", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def installed(directory: Path, text: str) -> Path:
    """The unit as it lies on a host where its program is there."""
    path = directory / UNIT.name
    path.write_text(text.replace("/opt/vllm-vigil/bin/vigil", "/bin/true"))
    return path


def test_systemd_has_nothing_to_say_of_the_unit(tmp_path: Path) -> None:
    """Not even on standard error, where it mentions what it does not know and goes on."""
    done = analyze("verify", installed(tmp_path, UNIT.read_text()))
    assert (0, "", "") == (done.returncode, done.stdout, done.stderr)


def test_systemd_has_nothing_to_say_of_the_drop_in(tmp_path: Path) -> None:
    """Beside the shortest unit that vLLM could have."""
    unit = tmp_path / "vllm.service"
    unit.write_text("[Service]\nExecStart=/bin/true\n")
    folder = tmp_path / "vllm.service.d"
    folder.mkdir()
    (folder / DROP_IN.name).write_text(DROP_IN.read_text())
    done = analyze("verify", unit)
    assert (0, "", "") == (done.returncode, done.stdout, done.stderr)


def test_a_misspelt_key_would_be_noticed(tmp_path: Path) -> None:
    """Each key of the unit, misspelt: systemd names them all, so none of the shipped ones is one that it skips."""
    text = re.sub(r"^(\w+)=", r"\1x=", UNIT.read_text(), flags=re.MULTILINE)
    keys = re.findall(r"^(\w+x)=", text, re.MULTILINE)
    complaints = re.findall(r"Unknown key(?: name)? '(\w+)'", analyze("verify", installed(tmp_path, text)).stderr)
    assert sorted(keys) == sorted(complaints)


def test_the_sandbox_is_rated_1_5_or_better() -> None:
    """On systemd's scale of 10 (bare) to 0."""
    done = analyze("security", "--offline=true", "--threshold=15", UNIT)
    assert 0 == done.returncode, done.stdout[-2000:]


def test_the_unit_is_watched_and_keeps_what_the_sidecar_needs() -> None:
    """Notify and watchdog, a state of its own, secrets from credentials, the GPUs' devices, other processes' /proc."""
    service = dict(directives(UNIT))
    assert {
        "Type": "notify",
        "DynamicUser": "yes",
        "StateDirectory": "vllm-vigil",
        "Restart": "always",
    }.items() <= service.items()
    assert {"WatchdogSec", "LoadCredential"} <= set(service)
    assert "systemd-journal" == service["SupplementaryGroups"], "a group that a host lacks keeps the unit from starting"
    assert not {"ProtectProc", "ProcSubset", "PrivateNetwork", "IPAddressDeny"} & set(service)
    devices = {value for key, value in directives(UNIT) if key == "DeviceAllow"}
    assert {"char-nvidia rw", "char-nvidiactl rw", "char-nvidia-uvm rw", "char-nvidia-caps rw"} < devices


def test_vllm_comes_back_after_an_exit_with_0_and_dies_first_for_memory() -> None:
    """A killed engine makes the API server exit with 0: on-failure would leave it down."""
    vllm = dict(directives(DROP_IN))
    assert ("always", "30") == (vllm["Restart"], vllm["RestartSec"])
    assert int(vllm["OOMScoreAdjust"]) > 0 > int(dict(directives(UNIT))["OOMScoreAdjust"])


@pytest.fixture
def confined(tmp_path: Path) -> Iterator[tuple[Program, Channels, Path]]:
    """The sidecar under the unit's system-call rules, with vLLM, eight GPUs, a log and Slack beside it."""
    gpu = StandInNvml(tmp_path)
    gpu.build()
    gpu.set(machine="h100x8")
    log = tmp_path / "vllm.log"
    log.touch()
    page = (DATA / "captures" / "metrics-0.32.0-busy-preempting.txt").read_text()
    with StandInVllm(page) as vllm, Channels() as channels:
        config = f"vllm: [{{name: llama, url: '{vllm.url}', interval: 200ms, logs: [{{path: {log}}}]}}]\n"
        config += f"notify: {{channels: {{slack: {{url: '{SLACK}'}}}}}}\n"
        environment = {**channels.environment, "LD_LIBRARY_PATH": str(tmp_path), "PYTHONPATH": str(ROOT / "tests")}
        under = [sys.executable, "-m", "standins.unit_sandbox", str(UNIT)]
        program = Program(tmp_path, config, environment, under=under)
        yield program, channels, log
        program.close()


def test_everything_works_under_the_units_system_call_rules(confined: tuple[Program, Channels, Path]) -> None:
    """Series, GPUs (ctypes), log (Hyperscan), page and stop, without memory that is both writable and executable."""
    program, channels, log = confined
    program.start()
    until(60, "vLLM is read", lambda: program.value("vigil_source_up", source="vllm", server="llama") == 1)
    until(60, "the GPUs are read", lambda: len([key for key in program.samples() if key[0] == "gpu_info"]) == 8)
    with log.open("ab") as stream:
        stream.write(CRASH)
    channels.wait_for(SLACK_HOST, 1, 20.0)
    status = Path(f"/proc/{program.process.pid}/status").read_text()
    assert re.search(r"^Seccomp:\s+2$", status, re.MULTILINE), "the rules hold"
    program.stop()
    assert "ot permitted" not in program.output.read_text()
