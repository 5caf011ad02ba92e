"""Real processes that look like vLLM's: a script called `vllm` that listens, and below it a child with vLLM's title."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Self

from standins.program import until

SERVER = """
import os, socket, subprocess, sys, time
listener = socket.create_server(("127.0.0.1", 0))


def start():
    return subprocess.Popen(["VLLM::EngineCore", "-c", "input()"], executable=sys.executable, stdin=subprocess.PIPE)


engine = start()
print(listener.getsockname()[1], flush=True)
try:
    for line in sys.stdin:
        engine.kill()
        engine.wait()
        time.sleep(2 / os.sysconf("SC_CLK_TCK"))  # two starts within one tick of the kernel are one to whoever looks
        engine = start()
        print("restarted", flush=True)
finally:
    engine.kill()
"""


class VllmProcesses:
    """An API server and its engine core, until the `with` block ends."""

    def __init__(self, directory: Path) -> None:
        self._script = directory / "vllm"
        self._script.write_text(SERVER)
        self._process: subprocess.Popen[str] | None = None
        self.port = 0

    def __enter__(self) -> Self:
        """Start them."""
        self._process = subprocess.Popen(
            [sys.executable, str(self._script), "serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.port = int(self._say())
        return self

    def __exit__(self, *_: object) -> None:
        """End them."""
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(60)
        self._process.stdout.close()

    def restart_engine(self) -> None:
        """End the engine core and start another."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write("restart\n")
        self._process.stdin.flush()
        assert self._say() == "restarted"

    @property
    def pid(self) -> int:
        """Of the API server."""
        assert self._process is not None
        return self._process.pid

    def _say(self) -> str:
        assert self._process is not None
        assert self._process.stdout is not None
        return until(60, "the stand-in answers", self._process.stdout.readline).strip()
