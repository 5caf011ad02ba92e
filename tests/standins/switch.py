"""The far end of a heartbeat: a dead man's switch on this machine that notes who asked."""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler
from typing import Any

from standins.scripted import Scripted

CANARY = "c4n4ryXq7"
"""In every address, for tests that look where it went."""


class Switch(Scripted):
    """The far end; `script` holds the statuses it answers with, the last for ever, 0 for no answer at all."""

    def __init__(self) -> None:
        super().__init__(_Handler)
        self.asked: list[tuple[str, str]] = []
        self.script = [200]
        self.url += f"/ping/{CANARY}"


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
