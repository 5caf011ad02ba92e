"""docker-compose.monitoring.yml: valid, pinned, confined; its health checks run against real programs where those are.

No container engine runs and no registry can be reached where the tests run: that the images start is not seen here.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from standins.program import free_port, until
from standins.shipped import ROOT

FILE = ROOT / "docker-compose.monitoring.yml"
BIN = ROOT / ".venv" / "bin"
DOCUMENT: dict[str, Any] = yaml.safe_load(FILE.read_text())
SERVICES: dict[str, dict[str, Any]] = DOCUMENT["services"]
ALWAYS = {"prometheus", "alertmanager", "grafana", "loki", "alloy", "node-exporter"}
AS_ROOT = {"promtail", "dcgm-exporter"}  # each says why, beside its `cap_add`


def run(*command: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [str(word) for word in command],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env=os.environ | environment,
        timeout=60,
    )


def test_it_is_a_compose_file() -> None:
    """By the published schema, which knows no misspelt key."""
    done = run(BIN / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", FILE)
    assert 0 == done.returncode, done.stdout


@pytest.mark.parametrize(
    ("profiles", "more"),
    [(["cpu"], {"vigil"}), (["gpu"], {"vigil-gpu"}), (["gpu", "dcgm", "legacy-promtail"], {"vigil-gpu", *AS_ROOT})],
)
def test_each_choice_of_profiles_is_a_whole_stack(profiles: list[str], more: set[str]) -> None:
    """As podman-compose understands them, with every variable at its default."""
    options = [word for profile in profiles for word in ("--profile", profile)]
    done = run(BIN / "podman-compose", "-f", FILE, *options, "config", PATH=f"{BIN}:{os.environ['PATH']}")
    assert 0 == done.returncode, done.stderr
    services = yaml.safe_load(done.stdout)["services"]
    chosen = {name for name, service in services.items() if set(service.get("profiles", profiles)) & set(profiles)}
    assert ALWAYS | more == chosen
    assert "${" not in done.stdout


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_pinned_checked_bounded_and_confined(name: str) -> None:
    """A tag that is a version, a health check, limits; nothing to write on, no powers, no port but on loopback."""
    service = SERVICES[name]
    assert re.search(r":v?\d+\.\d+\.\d+$", service["image"])
    assert {"test", "interval", "timeout", "retries", "start_period"} == set(service["healthcheck"])
    assert {"cpus", "memory", "pids"} == set(service["deploy"]["resources"]["limits"])
    assert service["read_only"]
    assert (["ALL"], ["no-new-privileges:true"]) == (service["cap_drop"], service["security_opt"])
    assert {"max-size", "max-file"} == set(service["logging"]["options"])
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
    assert (name in AS_ROOT) == ("user" not in service) == ("cap_add" in service)
    assert service.get("user", "1:1").split(":")[0] != "0"


def test_what_is_mounted_is_there_and_read_only() -> None:
    """Each path of this repository; dashboards come from the boards' own rows."""
    mounts = {mount for service in SERVICES.values() for mount in service.get("volumes", []) if mount.startswith("./")}
    assert mounts
    assert [mount for mount in mounts if not mount.endswith(":ro")] == []
    assert [path for mount in mounts if not (path := ROOT / mount.split(":")[0]).exists()] == []
    boards = {path.name for path in (ROOT / "dashboards").glob("vigil-*.json")}
    assert boards == {Path(mount.split(":")[0]).name for mount in mounts if "./dashboards/" in mount}


def test_alertmanager_finds_its_configuration_and_the_secrets_that_it_names() -> None:
    """Mounted with its templates; each secret is one that the service is given."""
    service = SERVICES["alertmanager"]
    (option,) = (word for word in service["command"] if word.startswith("--config.file="))
    path = ROOT / "alert_rules" / "alertmanager" / Path(option).name
    assert f"./alert_rules/alertmanager:{Path(option.partition('=')[2]).parent}:ro" in service["volumes"]
    assert set(re.findall(r"^[^#]*_file: /run/secrets/(\w+)", path.read_text(), re.MULTILINE)) <= set(
        service["secrets"]
    )


def test_secrets_are_files_that_prepare_makes(tmp_path: Path) -> None:
    """In a folder closed to others, never overwritten, and never in the repository."""
    shutil.copytree(ROOT / "deploy" / "compose", tmp_path / "compose", ignore=shutil.ignore_patterns("secrets", ".env"))
    prepare = tmp_path / "compose" / "prepare"
    assert 0 == run(prepare).returncode
    names = {Path(secret["file"]).name for secret in DOCUMENT["secrets"].values()}
    secrets = tmp_path / "compose" / "secrets"
    assert names == {path.name for path in secrets.iterdir()}
    assert 0o700 == secrets.stat().st_mode & 0o777
    password = (secrets / "grafana_password").read_text()
    assert len(password) > 20
    assert 0 == run(prepare).returncode
    assert password == (secrets / "grafana_password").read_text()
    assert "COMPOSE_PROFILES=" in (tmp_path / "compose" / ".env").read_text()
    ignored = run("git", "check-ignore", "deploy/compose/secrets/slack_url", "deploy/compose/.env")
    assert 2 == len(ignored.stdout.splitlines())


def test_prometheus_loads_every_rule_and_scrapes_every_service(tmp_path: Path) -> None:
    """promtool reads the file with the rules in their place; no pattern of it takes in what is no rule file."""
    text = (ROOT / "deploy" / "compose" / "prometheus.yml").read_text()
    config = tmp_path / "prometheus.yml"
    config.write_text(text.replace("/etc/prometheus/alert_rules", str(ROOT / "alert_rules")))
    done = run("promtool", "check", "config", config)
    assert 0 == done.returncode, done.stdout + done.stderr
    files = {path for path in (ROOT / "alert_rules").glob("*.yml") if "groups" in yaml.safe_load(path.read_text())}
    assert {str(path) for path in files} == set(re.findall(r"^Checking (.*\.yml)$", done.stdout, re.MULTILINE)) - {
        str(config)
    }
    hosts = set(re.findall(r"(?:\"|\[)([a-z-]+)(?::\d+\"|\])", text.split("scrape_configs:")[1]))
    aliases = {alias for service in SERVICES.values() if isinstance(service["networks"], dict) for alias in ("vigil",)}
    assert hosts <= set(SERVICES) | aliases
    assert set(SERVICES) - {"vigil-gpu", "prometheus"} == hosts


def test_the_sidecar_accepts_its_configuration() -> None:
    """With the variables that the compose file sets."""
    environment = {"VLLM_SERVER": "llama", "VLLM_URL": "http://host.docker.internal:8000"}
    done = run(BIN / "vigil", "check", "--config", ROOT / "deploy" / "compose" / "vigil.yaml", **environment)
    assert 0 == done.returncode, done.stderr
    assert set(environment) == set(SERVICES["vigil"]["environment"])


def test_grafana_is_given_the_data_sources_and_the_folder_of_the_boards() -> None:
    """Addresses of services that are there; boards are not edited in place."""
    provisioning = ROOT / "deploy" / "compose" / "grafana" / "provisioning"
    sources = yaml.safe_load((provisioning / "datasources" / "vigil.yml").read_text())["datasources"]
    assert {"prometheus", "loki", "alertmanager"} == {source["type"] for source in sources}
    assert {re.split(r"[:/]+", source["url"])[1] for source in sources} <= set(SERVICES)
    (provider,) = yaml.safe_load((provisioning / "dashboards" / "vigil.yml").read_text())["providers"]
    mounted = {
        mount.split(":")[1].rpartition("/")[0] for mount in SERVICES["grafana"]["volumes"] if "/dashboards/" in mount
    }
    assert {provider["options"]["path"]} == mounted
    assert not provider["allowUiUpdates"]


class _Answers(BaseHTTPRequestHandler):
    """A server whose status the test sets."""

    status = 200

    def do_GET(self) -> None:
        self.send_response(type(self).status)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base class's name
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[int]:
    """Its port."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Answers) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield http.server_address[1]
        http.shutdown()


def check(name: str, port: int) -> int:
    """The exit status of a service's health check, asked of this port."""
    command, *words = SERVICES[name]["healthcheck"]["test"][1:]
    words = [re.sub(r"(127\.0\.0\.1[:/])\d+", rf"\g<1>{port}", word).replace("$$", "$") for word in words]
    program = shutil.which(command) or str(BIN / command)
    return run(program, *words).returncode


@pytest.mark.parametrize(
    "name", ["vigil", "vigil-gpu", "alloy", "promtail", "dcgm-exporter", "grafana", "node-exporter"]
)
def test_a_health_check_tells_200_from_503_and_from_nobody(name: str, server: int) -> None:
    """With what its image has: Python, bash, or wget."""
    _Answers.status = 200
    assert 0 == check(name, server)
    _Answers.status = 503
    assert 0 != check(name, server)
    assert 0 != check(name, free_port())


def health(name: str, command: list[str], port: int) -> list[bool]:
    """What the service's check says of a real server: before, while and after it runs."""
    before = check(name, port) == 0
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        until(60, f"{name} is ready", lambda: check(name, port) == 0)
    finally:
        process.terminate()
        process.wait(60)
    return [before, True, check(name, port) == 0]


def test_the_health_check_of_prometheus_is_its_own_tool(tmp_path: Path) -> None:
    """Against a real Prometheus."""
    port = free_port()
    (tmp_path / "prometheus.yml").write_text("")
    command = ["prometheus", f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/tsdb"]
    assert [False, True, False] == health("prometheus", [*command, f"--web.listen-address=127.0.0.1:{port}"], port)


def test_the_health_check_of_alertmanager_is_its_own_tool(tmp_path: Path) -> None:
    """Against a real Alertmanager."""
    port = free_port()
    (tmp_path / "alertmanager.yml").write_text("{route: {receiver: none}, receivers: [{name: none}]}")
    command = ["prometheus-alertmanager", f"--config.file={tmp_path}/alertmanager.yml", "--cluster.listen-address="]
    command += [f"--storage.path={tmp_path}/data", f"--web.listen-address=127.0.0.1:{port}"]
    assert [False, True, False] == health("alertmanager", command, port)


def test_the_images_are_listed_for_whoever_renews_them() -> None:
    """One a line, each once."""
    listed = run(ROOT / "scripts" / "compose-images").stdout.splitlines()
    assert sorted({service["image"] for name, service in SERVICES.items() if "build" not in service}) == listed
