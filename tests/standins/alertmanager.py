"""The real Alertmanager of the system as a process: alone, with a webhook receiver, and nothing that waits long."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import httpx

from standins.program import free_port, until

CONFIG = """
route:
  receiver: vigil
  group_by: [alertname]
  group_wait: 100ms
  group_interval: 200ms
  repeat_interval: 1h
receivers:
  - name: vigil
    webhook_configs:
      - url: {webhook}
        http_config: {{authorization: {{credentials: {token}}}}}
"""


class Alertmanager:
    """One member without a cluster. Its notification log stays in its directory when it is started again."""

    def __init__(self, directory: Path, webhook: str = "", token: str = "", config: str = "") -> None:
        self.directory = directory
        self.directory.mkdir(exist_ok=True)
        self.url = f"http://127.0.0.1:{free_port()}"
        (directory / "alertmanager.yml").write_text(config or CONFIG.format(webhook=webhook, token=token))
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Alertmanager:
        """Start it, and return when it is ready."""
        with (self.directory / "alertmanager.log").open("ab") as output:
            self._process = subprocess.Popen(
                [
                    "prometheus-alertmanager",
                    f"--config.file={self.directory / 'alertmanager.yml'}",
                    f"--storage.path={self.directory / 'data'}",
                    f"--web.listen-address={self.url.removeprefix('http://')}",
                    "--cluster.listen-address=",
                    "--log.level=debug",
                ],
                stdout=output,
                stderr=output,
            )
        until(60, "Alertmanager is ready", self._ready)
        return self

    def stop(self) -> None:
        """SIGTERM, by which it writes down what it has told."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait(60)

    def query(self) -> list[dict[str, Any]]:
        """`amtool alert query`: the alerts that fire."""
        done = subprocess.run(
            ["amtool", "alert", "query", "--output=json", f"--alertmanager.url={self.url}"],
            capture_output=True,
            check=True,
            timeout=60,
        )
        alerts: list[dict[str, Any]] = json.loads(done.stdout)
        return alerts

    def add(self, *alerts: dict[str, Any]) -> None:
        """Put alerts in, as Prometheus does."""
        httpx.post(f"{self.url}/api/v2/alerts", json=alerts, trust_env=False, timeout=60).raise_for_status()

    def said(self) -> str:
        """Its log."""
        return (self.directory / "alertmanager.log").read_text()

    def _ready(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.said()
        try:
            return httpx.get(f"{self.url}/-/ready", trust_env=False).status_code == 200
        except httpx.HTTPError:
            return False
