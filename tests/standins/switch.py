"""The far end of a heartbeat: a dead man's switch on this machine that notes who asked."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

CANARY = "c4n4ryXq7"
"""In every address, for tests that look where it went."""


class Switch:
    """The far end; `script` holds the statuses it answers with, the last for ever, 0 for no answer at all."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.script = [200]
        self.release = threading.Event()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self.server.daemon_threads = True
        self.server.scene = self  # type: ignore[attr-defined]  # the handler finds it there
        self.url = f"http://127.0.0.1:{self.server.server_port}/ping/{CANARY}"
        self._thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)

    def start(self) -> None:
        """Answer from now on."""
        self._thread.start()

    def close(self) -> None:
        """No more."""
        self.release.set()
        self.server.shutdown()
        self.server.server_close()


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        scene: Switch = self.server.scene  # type: ignore[attr-defined]
        scene.asked.append((self.command, self.path))
        status = scene.script.pop(0) if len(scene.script) > 1 else scene.script[0]
        if status == 0:
            scene.release.wait(30)
            return
        self.send_response(status)
        if 300 <= status < 400:
            self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base class's name
        """Say nothing."""
