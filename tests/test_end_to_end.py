"""The real program as a process: what a user sees from outside, on recorded pages and logs, without a vLLM."""

from __future__ import annotations

import base64
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import bcrypt
import pytest

from standins.channels import PAGERDUTY, PAGERDUTY_HOST, SLACK, SLACK_HOST, Behaviour, Channels
from standins.program import Program, free_port, until
from standins.vllm import StandInVllm

DATA = Path(__file__).parent / "data"
PAGE = (DATA / "captures" / "metrics-0.32.0-busy-preempting.txt").read_text()
CRASH = (DATA / "captures" / "server-0.32.0-engine-killed.log").read_bytes()

CONFIG = """
vllm:
  - name: llama
    url: {url}
    interval: 200ms
    logs: [{{path: {log}}}]
gpu: {{enabled: false}}
notify:
  channels:
    slack: {{url: "{slack}"}}
    pagerduty: {{url: "{pagerduty}"}}
"""


@pytest.fixture
def vllm() -> Iterator[StandInVllm]:
    """A server that shows a recorded page."""
    with StandInVllm(PAGE) as server:
        yield server


@pytest.fixture
def program(vllm: StandInVllm, channels: Channels, log: Path, tmp_path: Path) -> Iterator[Program]:
    """The sidecar beside all of these, not started yet."""
    text = CONFIG.format(url=vllm.url, log=log, slack=SLACK, pagerduty=PAGERDUTY)
    sidecar = Program(tmp_path, text, channels.environment)
    yield sidecar
    sidecar.close()


def crash(log: Path) -> None:
    """Let the log of a real crash be written."""
    with log.open("ab") as stream:
        stream.write(CRASH)


def delivered(program: Program, *channels: str) -> bool:
    """Whether each of them has taken a message, as far as the last tick knows."""
    return all(program.value("vigil_deliveries_total", channel=each, outcome="delivered") for each in channels)


def vigil(program: Program, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Another command of `vigil` on the same state."""
    command, *rest = arguments
    state = ["--config", str(program.config), "--state-dir", str(program.directory / "state")]
    return subprocess.run(
        [sys.executable, "-m", "vllm_vigil", command, *rest, *state],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_beside_nothing_it_is_up_and_says_so_honestly(tmp_path: Path) -> None:
    """No vLLM, no GPU, no configuration: its own facts, `vigil_source_up` 0, and nothing of anybody else's."""
    program = Program(tmp_path, "vllm: [{url: 'http://127.0.0.1:9'}]\n").start()
    try:
        until(60, "both sources were asked", lambda: program.get("/-/ready").status_code == 200)
        assert program.value("vigil_build_info") == 1
        assert program.value("vigil_source_up", source="vllm") == 0
        assert [name for name, _ in program.samples() if name.startswith(("llm_requests", "gpu_"))] == []
        assert program.get("/health").status_code == 503
        assert "refused" in program.get("/").text
    finally:
        program.close()


def test_series_come_and_go_with_their_source(program: Program, vllm: StandInVllm) -> None:
    """Within 3 intervals of a source's failure its series are gone, and they come back by themselves."""
    program.start()
    until(60, "series", lambda: program.value("llm_requests_waiting", server="llama") == 50)
    vllm.misbehave = lambda request: request.answer(500)
    until(60, "no series", lambda: program.value("llm_requests_waiting") is None)
    assert program.value("vigil_source_up", source="vllm") == 0
    vllm.misbehave = None
    until(60, "series again", lambda: program.value("llm_requests_waiting", server="llama") == 50)
    said = [line for line in program.output.read_text().splitlines() if "500" in line]
    assert len(said) == 1, "the reason stands in the log once"


def test_a_crash_is_one_incident_delivered_once_to_each_channel(
    program: Program, channels: Channels, log: Path
) -> None:
    """The log of a real crash, with dozens of records from two processes, is one page with one key."""
    program.start()
    until(60, "ready", lambda: program.get("/-/ready").status_code == 200)
    crash(log)
    (page,) = channels.wait_for(PAGERDUTY_HOST, 1)
    channels.wait_for(SLACK_HOST, 1)
    (incident,) = program.status()["incidents"]["open"]
    assert (incident["rule"], incident["key"]) == ("engine_dead", page.document["dedup_key"])
    until(60, "a tick that knows of both deliveries", lambda: delivered(program, "slack", "pagerduty"))
    until(60, "the outbox is empty", lambda: program.value("vigil_outbox_pending", channel="slack") == 0)
    assert (len(channels.received(PAGERDUTY_HOST)), len(channels.received(SLACK_HOST))) == (1, 1)
    assert program.value("vigil_incidents_total", rule="engine_dead") == 1
    assert program.value("vigil_deliveries_total", channel="pagerduty", outcome="delivered") == 1


def test_a_page_survives_kill_9_between_detection_and_delivery(program: Program, channels: Channels, log: Path) -> None:
    """The provider is down, the sidecar is killed, both come back: the page arrives, with the key it had."""
    channels.answer(PAGERDUTY_HOST, 503)
    channels.answer(SLACK_HOST, Behaviour.HANG)
    program.start()
    until(60, "ready", lambda: program.get("/-/ready").status_code == 200)
    crash(log)
    channels.wait_for(PAGERDUTY_HOST, 1)
    channels.wait_for(SLACK_HOST, 1)  # its second comes after the kill
    key = program.status()["incidents"]["open"][0]["key"]
    program.kill()
    waiting = [json.loads(line) for line in vigil(program, "outbox", "--json").stdout.splitlines()]
    assert {(row["channel"], row["key"]) for row in waiting} == {("pagerduty", key), ("slack", key)}

    channels.answer(PAGERDUTY_HOST, Behaviour.ACCEPT)
    channels.answer(SLACK_HOST, Behaviour.ACCEPT)
    before = len(channels.received(PAGERDUTY_HOST))
    program.start()
    page = channels.wait_for(PAGERDUTY_HOST, before + 1)[before]
    assert page.document["dedup_key"] == key
    channels.wait_for(SLACK_HOST, 2)
    listed = vigil(program, "incidents", "--json")
    assert [json.loads(line)["key"] for line in listed.stdout.splitlines()] == [key]


def test_the_log_is_read_on_from_where_it_was_left(program: Program, channels: Channels, log: Path) -> None:
    """What was written while the sidecar was away is found; what was judged before is not judged again."""
    program.start()
    until(60, "ready", lambda: program.get("/-/ready").status_code == 200)
    crash(log)
    channels.wait_for(SLACK_HOST, 1)
    program.stop()
    program.start()
    until(60, "ready", lambda: program.get("/-/ready").status_code == 200)
    time.sleep(1)  # time in which a second page would come
    assert len(channels.received(SLACK_HOST)) == 1
    assert program.value("vigil_log_lag_bytes") == 0


def test_sigterm_ends_it_within_5_seconds_while_a_notification_hangs(
    program: Program, channels: Channels, log: Path
) -> None:
    """The stop waits for no channel; the row is still there for the next start."""
    channels.answer(SLACK_HOST, Behaviour.HANG)
    program.start()
    until(60, "ready", lambda: program.get("/-/ready").status_code == 200)
    crash(log)
    channels.wait_for(SLACK_HOST, 1)
    assert program.stop() < 8  # 5, and what a busy machine adds; the channel would take ten
    assert "slack" in vigil(program, "outbox").stdout


def test_what_was_written_last_is_read_before_it_ends(program: Program, log: Path) -> None:
    """A crash in the instant before SIGTERM is in the state file."""
    program.start()
    until(60, "ready", lambda: program.get("/-/ready").status_code == 200)
    crash(log)
    program.stop()
    assert "engine_dead" in vigil(program, "incidents", "--json").stdout


def test_a_second_instance_on_the_same_state_is_refused(program: Program) -> None:
    """Exit code 3, and it says who is in the way."""
    program.start()
    second = vigil(program, "run", "--listen", "127.0.0.1:0")
    assert second.returncode == 3
    assert "another vigil holds the state directory" in second.stderr


def test_a_good_reload_takes_effect_and_a_bad_one_changes_nothing(program: Program) -> None:
    """By POST and by SIGHUP; the metric, the page and the log say how it went."""
    program.start()
    until(60, "series", lambda: program.value("llm_requests_waiting", server="llama") == 50)
    good = program.config.read_text()

    program.config.write_text(good.replace("name: llama", "name: renamed"))
    assert program.post("/-/reload").status_code == 200
    until(60, "the new name", lambda: program.value("llm_requests_waiting", server="renamed") == 50)
    assert program.value("vigil_source_up", server="llama") is None

    program.config.write_text("vlm: []\n")
    answer = program.post("/-/reload")
    assert answer.status_code == 500
    assert "vlm: unknown key; did you mean 'vllm'?" in answer.text
    until(60, "the next tick shows it", lambda: program.value("vigil_config_last_reload_successful") == 0)
    assert "did you mean" in program.get("/").text
    assert "did you mean" in program.output.read_text()
    assert program.value("llm_requests_waiting", server="renamed") == 50

    program.config.write_text(good)
    program.process.send_signal(signal.SIGHUP)
    until(60, "the old name", lambda: program.value("llm_requests_waiting", server="llama") == 50)
    until(60, "the next tick shows it", lambda: program.value("vigil_config_last_reload_successful") == 1)


def test_a_bad_configuration_is_refused_with_exit_2_and_every_problem(program: Program) -> None:
    """File, line, path and the nearest key; nothing is started."""
    program.config.write_text("vllm:\n- urll: http://a\ngpu: {interval: 5}\n")
    refused = vigil(program, "run")
    assert refused.returncode == 2
    assert "vigil.yaml:2: vllm[0].urll: unknown key; did you mean 'url'?" in refused.stderr
    assert "vigil.yaml:3: gpu.interval: 5 has no unit" in refused.stderr


def test_an_address_in_use_is_named(program: Program) -> None:
    """The error names the address and what to do."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        address = f"127.0.0.1:{other.getsockname()[1]}"
        refused = vigil(program, "run", "--listen", address)
    assert refused.returncode == 1
    assert address in refused.stderr


def test_a_web_configuration_asks_for_a_login(program: Program, tmp_path: Path) -> None:
    """In the format of Prometheus' exporter-toolkit; a bad one is refused with its file and key."""
    hashed = bcrypt.hashpw(b"watch", bcrypt.gensalt(4)).decode()
    web = tmp_path / "web.yml"
    web.write_text(f"basic_auth_users: {{prometheus: '{hashed}'}}\n")
    program.config.write_text(program.config.read_text() + f"web: {{config_file: {web}}}\n")
    program.start(until_status=401)
    assert program.get("/metrics").status_code == 401
    login = base64.b64encode(b"prometheus:watch").decode()
    assert program.get("/metrics", Authorization=f"Basic {login}").status_code == 200
    web.write_text("basic_auth_user: {}\n")
    refused = vigil(program, "check")
    assert refused.returncode == 2
    assert f"{web}: basic_auth_user: is not supported" in refused.stderr


def test_the_demo_is_watched_like_real_servers(tmp_path: Path) -> None:
    """`vigil demo` serves and writes its log; the sidecar beside it has the series of both servers and of the GPUs."""
    demo = subprocess.Popen(
        [*(sys.executable, "-m", "vllm_vigil", "demo"), *("--port", str(free_port()), "--directory", str(tmp_path))],
        stderr=subprocess.DEVNULL,
    )
    try:
        until(60, "the demo's configuration", (tmp_path / "vigil.yaml").exists)
        program = Program(tmp_path, (tmp_path / "vigil.yaml").read_text())
        program.start()
        until(60, "the GPUs' series", lambda: program.value("gpu_power_watts", gpu="3") is not None)
        until(60, "the second server's series", lambda: program.value("llm_kv_cache_usage_ratio", server="code"))
        assert program.value("llm_kv_cache_usage_ratio", server="chat", engine="1") is not None
        assert b"Application startup complete" in (tmp_path / "chat.log").read_bytes()
    finally:
        program.close()
        demo.kill()
        demo.wait()


def test_systemd_is_told_ready_watchdog_and_stopping(
    vllm: StandInVllm, channels: Channels, log: Path, tmp_path: Path
) -> None:
    """READY after the first tick, WATCHDOG from then on, STOPPING at the end; levels as journald reads them."""
    address = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(address))
        manager.settimeout(10)
        text = CONFIG.format(url=vllm.url, log=log, slack=SLACK, pagerduty=PAGERDUTY) + "log: {format: journal}\n"
        program = Program(tmp_path, text, channels.environment | {"NOTIFY_SOCKET": str(address)})
        program.start()
        heard = [manager.recv(1000).decode() for _ in range(4)]
        program.stop()
        while not heard[-1].startswith("STOPPING"):
            heard.append(manager.recv(1000).decode())
        program.close()
    assert any(text.startswith("READY=1") for text in heard)
    assert "WATCHDOG=1" in heard
    assert all(line.startswith("<") for line in program.output.read_text().splitlines())


def test_the_command_line_tells_its_version_and_its_commands() -> None:
    """As the installed script, too."""
    script = Path(sys.executable).with_name("vigil")
    version = subprocess.run([script, "--version"], capture_output=True, text=True, check=True, timeout=60).stdout
    assert version.startswith("vllm-vigil ")
    shown = subprocess.run([script, "--help"], capture_output=True, text=True, check=True, timeout=60).stdout
    assert all(name in shown for name in ("run", "check", "doctor", "replay", "incidents", "outbox", "test-notify"))


def test_what_a_server_lacks_and_what_nobody_knows_is_told(program: Program, vllm: StandInVllm) -> None:
    """An older server with a strange family: the status and a series say so, and raw names go out only when asked."""
    page = 'vllm:strange 7\nvllm:num_requests_running{model_name="m"} 1\n'
    vllm.page, vllm.version = page, "0.4.3"
    program.start()
    until(60, "the page is read", lambda: program.value("vigil_source_unknown_families", source="vllm"))
    (source,) = (each for each in program.status()["sources"] if each["source"] == "vllm")
    assert source["unknown_families"] == ["vllm:strange"]
    assert "older than 0.6.4" in source["blank"]["llm_engine_steps_total"]
    assert program.value("vllm:strange") is None
    text = program.config.read_text().replace("interval: 200ms", "interval: 200ms\n    passthrough: true")
    program.config.write_text(text)
    program.post("/-/reload")
    assert until(60, "the family passes through", lambda: program.value("vllm:strange", server="llama")) == 7


def test_the_two_flags_are_enough(vllm: StandInVllm, log: Path, tmp_path: Path) -> None:
    """`--vllm URL --log PATH --notify URL` without any file; a secret is not shown by `vigil check`."""
    environment = os.environ | {"VIGIL_NOTIFY": SLACK}
    shown = subprocess.run(
        [sys.executable, "-m", "vllm_vigil", "check", "--vllm", vllm.url, "--log", str(log)],
        capture_output=True,
        text=True,
        env=environment,
        cwd=tmp_path,
        timeout=60,
        check=True,
    ).stdout
    assert f'path: "{log}"' in shown
    assert "flag --log" in shown
    assert "environment VIGIL_NOTIFY" in shown
    assert SLACK.rsplit("/", 1)[-1] not in shown


def test_a_person_resolves_an_incident(program: Program, channels: Channels, log: Path) -> None:
    """While it runs the pager is told at once; while it does not, the next start takes the wish."""
    program.start()
    until(60, "ready", lambda: program.get("/-/ready").status_code == 200)
    crash(log)
    (page,) = channels.wait_for(PAGERDUTY_HOST, 1)
    key = page.document["dedup_key"]
    refused = vigil(program, "incidents", "resolve", "vigil-unknown")
    assert (refused.returncode, key in refused.stderr) == (2, True)
    assert vigil(program, "incidents", "resolve", key).returncode == 0
    end = channels.wait_for(PAGERDUTY_HOST, 2)[1].document
    assert (end["event_action"], end["dedup_key"]) == ("resolve", key)
    assert program.status()["incidents"]["open"] == []
    crash(log)
    again = channels.wait_for(PAGERDUTY_HOST, 3)[2].document["dedup_key"]
    assert again != key
    program.stop()
    assert vigil(program, "incidents", "resolve", again).returncode == 0
    program.start()
    end = channels.wait_for(PAGERDUTY_HOST, 4)[3].document
    assert (end["event_action"], end["dedup_key"]) == ("resolve", again)
