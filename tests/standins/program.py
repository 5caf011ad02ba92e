"""The real program: `vigil run` as a process of its own, with a configuration, a state directory and a port."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import httpx
from prometheus_client.parser import text_string_to_metric_families

T = TypeVar("T")


PORTS = range(10_240, 32_768)
"""Below those that the kernel gives to whoever connects, or binds to none in particular."""


def free_port() -> int:
    """A port that nobody listens on now, and that is hardly given to anybody else before it is used."""
    for port in random.SystemRandom().sample(PORTS, 100):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("of a hundred ports none is free")


def until(seconds: float, what: str, look: Callable[[], T | None]) -> T:
    """What `look` gives once it gives something; fails by name when the time is up."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds} s: {what}")


class Program:
    """One sidecar. Its output goes to `vigil.log` in its directory."""

    def __init__(
        self, directory: Path, config: str, environment: Mapping[str, str] | None = None, under: Sequence[str] = ()
    ) -> None:
        """`under` is a command that starts the sidecar as its own last arguments say."""
        self.directory = directory
        self.config = directory / "vigil.yaml"
        self.config.write_text(config)
        self.port = free_port()
        self.output = directory / "vigil.log"
        self._under = under
        self._environment = os.environ | dict(environment or {})
        self._process: subprocess.Popen[bytes] | None = None
        self._client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=60, trust_env=False)

    def start(self, until_status: int = 200) -> Program:
        """Start it, and return when it answers as expected."""
        with self.output.open("ab") as output:
            self._process = subprocess.Popen(
                [*self._under, sys.executable, "-m", "vllm_vigil", "run", *self.arguments],
                stderr=output,
                env=self._environment,
            )
        until(60, "the sidecar answers", lambda: self.answers(until_status))
        return self

    @property
    def arguments(self) -> list[str]:
        """The options that make it this one and no other."""
        state = str(self.directory / "state")
        return ["--config", str(self.config), "--listen", f"127.0.0.1:{self.port}", "--state-dir", state]

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The process that was started last."""
        assert self._process is not None
        return self._process

    def answers(self, status: int = 200) -> bool:
        """Whether it says that it is alive; fails at once if the process has ended."""
        assert self.process.poll() is None, self.output.read_text()
        try:
            return self.get("/-/healthy").status_code == status
        except httpx.HTTPError:
            return False

    def get(self, path: str, **headers: str) -> httpx.Response:
        """Ask it."""
        return self._client.get(path, headers=headers)

    def post(self, path: str) -> httpx.Response:
        """Tell it."""
        return self._client.post(path)

    def status(self) -> dict[str, Any]:
        """The document of `/api/v1/status`."""
        document: dict[str, Any] = self.get("/api/v1/status").json()
        return document

    def samples(self) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        """Every sample of `/metrics`, by name and labels."""
        return parse(self.get("/metrics").text)

    def value(self, name: str, **labels: str) -> float | None:
        """The one sample of that name whose labels include these, or None."""
        found = [v for (n, pairs), v in self.samples().items() if n == name and frozenset(labels.items()) <= pairs]
        assert len(found) < 2, f"{name} {labels}: {found}"
        return found[0] if found else None

    def kill(self) -> None:
        """`kill -9`."""
        self.process.kill()
        self.process.wait(30)

    def stop(self) -> float:
        """SIGTERM; how long it took to end, in seconds."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(30) == 0, self.output.read_text()
        return time.monotonic() - began

    def close(self) -> None:
        """End it, however it is."""
        self._client.close()
        if self._process is not None and self._process.poll() is None:
            self.kill()


def parse(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Every sample of an exposition, by name and labels."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
