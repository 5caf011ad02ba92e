"""A small HTTP server on this machine, of which a test says how it behaves."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Scripted:
    """Listens from the beginning, answers from `start` on; a handler finds it as its server's `scene`.

    A handler that hangs waits for `release`, which comes with the end.
    """

    def __init__(self, handler: type[BaseHTTPRequestHandler]) -> None:
        self.release = threading.Event()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.server.daemon_threads = True
        self.server.scene = self  # type: ignore[attr-defined]  # the handler finds it there
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self._thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)

    def start(self) -> None:
        """Answer from now on."""
        self._thread.start()

    def close(self) -> None:
        """No more."""
        self.release.set()
        self.server.shutdown()
        self.server.server_close()
