"""The demo's HTTP side, open and shut as the script says, and the loop that plays the script."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable, Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from vllm_vigil.demo.engine import Engine
from vllm_vigil.demo.log import write_turn
from vllm_vigil.demo.script import Mood, Scene

STEP_SECONDS = 0.25


class Server:
    """A port that can be opened and shut, and the page that it shows."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.page = b""
        self._open: ThreadingHTTPServer | None = None

    def open(self) -> None:
        """Listen, if it does not yet."""
        if self._open is not None:
            return
        self._open = ThreadingHTTPServer(("127.0.0.1", self.port), _answers(lambda: self.page))
        self.port = self._open.server_port
        threading.Thread(target=self._open.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def shut(self) -> None:
        """Close the port, as a dead vLLM does within a second."""
        if self._open is not None:
            self._open.shutdown()
            self._open.server_close()
            self._open = None


class Play:
    """Plays scenes on a server and into a log."""

    def __init__(self, server: Server, log: Path, seed: int = 7) -> None:
        self._server = server
        self._log = log
        self._chance = random.Random(seed)
        self._engine = Engine(self._chance)

    def play(
        self, scenes: Iterable[Scene], say: Callable[[str], None], pause: Callable[[float], None] = time.sleep
    ) -> None:
        """One scene after the other; `pause` lets time pass."""
        for scene in scenes:
            say(scene.title)
            if scene.log:
                write_turn(self._log, scene.log)
            if scene.mood is Mood.DOWN:
                self._server.shut()
                self._engine = Engine(self._chance)
            for _ in range(int(scene.seconds / STEP_SECONDS)):
                self._live(scene)
                pause(STEP_SECONDS)

    def _live(self, scene: Scene) -> None:
        if scene.mood is Mood.DOWN:
            return
        self._engine.ask(STEP_SECONDS, scene.requests_per_second)
        if scene.mood is Mood.SERVING:
            self._engine.step(STEP_SECONDS)
        self._engine.show()
        self._server.page = self._engine.page()
        self._server.open()


def _answers(page: Callable[[], bytes]) -> type[BaseHTTPRequestHandler]:
    class Answer(BaseHTTPRequestHandler):
        """vLLM's three addresses that the sidecar asks."""

        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            found = {"/metrics": page, "/health": lambda: b"", "/version": _version}.get(self.path)
            body = found() if found else b"not found"
            self.send_response(200 if found else 404)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the name is the library's
            """Say nothing: the sidecar asks every few seconds."""

    return Answer


def _version() -> bytes:
    return json.dumps({"version": "0.32.0"}).encode()
