"""Dockerfile: built for real, and the sidecar started from it as the user and with the command that the image names.

No container engine runs and no registry can be reached where the tests run: buildah builds, in a chroot, on a Debian 12
with Python that scripts/base-image makes. The image that people get stands on python:3.13-slim instead.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from standins.program import free_port, until
from standins.shipped import ROOT

BIN = ROOT / ".venv" / "bin"
pytestmark = pytest.mark.timeout(600)  # the first run makes the Debian it stands on


class Image:
    """The image, in a store of the tests' own."""

    def __init__(self) -> None:
        self._options = run(ROOT / "scripts" / "base-image").split()
        self._environment = os.environ | {"BUILDAH_ISOLATION": "chroot"}
        self._container = ""

    def build(self, wheels: Path) -> None:
        """Build it as a site without internet does: from a folder of wheels."""
        run(BIN / "pip", "wheel", "--quiet", "--disable-pip-version-check", "--wheel-dir", wheels, ROOT, "hatchling")
        offline = ["--build-arg=PIP_NO_INDEX=1", "--build-arg=PIP_FIND_LINKS=/wheels", f"--volume={wheels}:/wheels:ro"]
        base = "--build-arg=BASE=localhost/vigil-base"
        self._buildah("build", "--format=docker", "--tag=localhost/vllm-vigil", base, *offline, str(ROOT))
        self._container = self._buildah("from", "localhost/vllm-vigil").strip()

    def config(self) -> dict[str, Any]:
        """What the image says of itself."""
        document = json.loads(self._buildah("inspect", "--type=image", "localhost/vllm-vigil"))
        config: dict[str, Any] = document["Docker"]["config"]
        return config

    def run(self, *command: str) -> str:
        """What a command in it prints."""
        return self._buildah("run", self._container, "--", *command)

    def start(self, *command: str) -> subprocess.Popen[str]:
        """Start a command in it, and go on."""
        arguments = ["buildah", *self._options, "run", self._container, "--", *command]
        return subprocess.Popen(arguments, env=self._environment, text=True, stderr=subprocess.DEVNULL)

    def remove(self) -> None:
        """The container and the image; what they stand on stays for the next run."""
        self._buildah("rm", self._container)
        self._buildah("rmi", "--force", "localhost/vllm-vigil")

    def _buildah(self, *arguments: str) -> str:
        return run("buildah", *self._options, *arguments, environment=self._environment)


def run(*command: str | Path, environment: dict[str, str] | None = None) -> str:
    """What a command prints; it must go well."""
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, check=False, env=environment, timeout=500
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    """Built once for all the tests here."""
    made = Image()
    made.build(tmp_path_factory.mktemp("wheels"))
    yield made
    made.remove()


def test_hadolint_has_nothing_to_say() -> None:
    """Of the Dockerfile."""
    assert "" == run(BIN / "hadolint", ROOT / "Dockerfile")


def test_the_image_runs_as_nobody_and_says_how_it_is_checked(image: Image) -> None:
    """A user without rights, a health check that needs no shell, a volume for the state, one entry point."""
    config = image.config()
    assert ("65532:65532", ["vigil"]) == (config["User"], config["Entrypoint"])
    assert ["run", "--listen", "0.0.0.0:9877"] == config["Cmd"]
    assert {"/var/lib/vllm-vigil": {}} == config["Volumes"]
    assert ["CMD", "python"] == config["Healthcheck"]["Test"][:2]
    assert "NVIDIA_DRIVER_CAPABILITIES=utility" in config["Env"]


def test_nothing_in_it_builds_or_installs(image: Image) -> None:
    """Neither compiler nor pip, and nothing that the user may write but its state and /tmp."""
    image.run("sh", "-c", "! command -v gcc cc make git pip /opt/vllm-vigil/bin/pip")
    assert "" == image.run("sh", "-c", "find /opt /etc /usr -writable ! -type l 2>/dev/null || true")
    assert "65532" == image.run("id", "-u").strip()


def test_the_sidecar_starts_from_it_answers_and_stops(image: Image) -> None:
    """Ready without a configuration; its own health check agrees; SIGTERM ends it with 0."""
    port = free_port()
    running = image.start("vigil", "run", "--listen", f"127.0.0.1:{port}")
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
        until(60, "the sidecar in the container is ready", lambda: answers(client))
        assert "vigil_build_info" in client.get("/metrics").text
    check = image.config()["Healthcheck"]["Test"][1:]
    image.run(*(word.replace("9877", str(port)) for word in check))
    (sidecar,) = (pid for pid in descendants(running.pid) if "vigil" in name(pid))
    os.kill(sidecar, signal.SIGTERM)
    assert 0 == running.wait(30)


def answers(client: httpx.Client) -> bool:
    """Whether it says that it is ready."""
    try:
        return client.get("/-/ready").status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False


def descendants(pid: int) -> Iterator[int]:
    """The processes below one."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(path.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        if parent == pid:
            child = int(path.parent.name)
            yield child
            yield from descendants(child)


def name(pid: int) -> str:
    """The command line of a process, without the buildah that started it."""
    words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    return "" if b"buildah" in words[0] else words[1].decode() if len(words) > 1 else ""
