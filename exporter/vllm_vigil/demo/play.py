"""The play on this machine: ports that answer, logs that grow, a machine file that changes, in real time.

Everything lies in one directory, with the configuration that makes a sidecar watch it: `vigil run --config` on it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path

from vllm_vigil.demo.front import Port
from vllm_vigil.demo.processes import ProcTree
from vllm_vigil.demo.script import Scene
from vllm_vigil.demo.stage import Stage

STEP_SECONDS = 0.25

CONFIG = """\
# Written by `vigil demo`: what a sidecar needs to watch it.
vllm:
{servers}
gpu: {{machine: {directory}/machine.txt}}
host: {{proc: {directory}/proc}}
state_dir: {directory}/state
zone: UTC
"""
SERVER = """\
  - name: {name}
    url: http://127.0.0.1:{port}
    interval: 2s
    probe: {{enabled: true, at_most_every: 30s}}
    logs: [{{path: {directory}/{name}.log}}]
"""


class Play:
    """Plays scenes. `port` is that of the first server, the next one has the next; 0 lets the system choose."""

    def __init__(self, directory: Path, port: int, seed: int = 7) -> None:
        self._directory = directory
        self._processes: ProcTree | None = None
        self._stage = Stage(directory, seed, tells_each=True)
        self.ports = {
            name: Port(port + number if port else 0, server)
            for number, (name, server) in enumerate(self._stage.servers.items())
        }

    def prepare(self) -> Path:
        """Make the directory's files, and see that the ports can be had. Returns the configuration's path."""
        self._directory.mkdir(parents=True, exist_ok=True)
        for name, port in self.ports.items():
            port.open()
            port.shut()
            (self._directory / f"{name}.log").touch()
        self._show_machine()
        servers = "".join(
            SERVER.format(name=name, port=port.port, directory=self._directory) for name, port in self.ports.items()
        )
        self._processes = ProcTree(self._directory / "proc", {name: port.port for name, port in self.ports.items()})
        self._processes.begin()
        config = self._directory / "vigil.yaml"
        config.write_text(CONFIG.format(servers=servers, directory=self._directory), encoding="utf-8")
        return config

    def play(
        self, scenes: Iterable[Scene], say: Callable[[str], None], pause: Callable[[float], None] = time.sleep
    ) -> None:
        """One scene after the other; `pause` lets time pass."""
        now = time.time()
        for scene in scenes:
            say(scene.title)
            self._stage.enter(scene, now)
            for _ in range(max(1, round(scene.seconds / STEP_SECONDS))):
                now += STEP_SECONDS
                self._stage.live(now, STEP_SECONDS, scene)
                self._show(now)
                pause(max(0.0, now - time.time()) if pause is time.sleep else STEP_SECONDS)

    def end(self) -> None:
        """Give the ports back."""
        for port in self.ports.values():
            port.shut()

    def _show(self, now: float) -> None:
        for name, port in self.ports.items():
            server = self._stage.servers[name]
            if server.is_open:
                port.page = server.page().encode()
                port.open()
            else:
                port.shut()
        if self._processes is not None:
            self._processes.show(self._stage.servers.values(), now)
        self._show_machine()

    def _show_machine(self) -> None:
        """Exchange the file as a whole: a reader sees the old one or the new one."""
        new = self._directory / "machine.new"
        new.write_text(self._stage.machine.text(), encoding="utf-8")
        new.replace(self._directory / "machine.txt")
