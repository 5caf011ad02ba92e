"""A local HTTP server that stands for vLLM: it serves a page, a health and a version, and misbehaves when told to.

    with StandInVllm(page) as server:
        server.url, server.page, server.health, server.version      may be changed while it runs
        server.misbehave = drip                                     what `/metrics` does instead
        server.bodies["/v1/models"] = b"["                          what another path is answered with, whatever it is
    server.model, server.complete = "tiny", says("a day")       what it serves, and how a prompt is answered

A misbehaviour is a function that is given the request's handler. Those that hang let go when the server is left.
"""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self


class StandInVllm:
    """One server on 127.0.0.1, on a free port unless told which."""

    def __init__(
        self,
        page: str | bytes = "",
        *,
        health: int = 200,
        version: str = "0.32.0",
        port: int = 0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.page = page
        self.health = health
        self.version: str | None = version
        self.misbehave: Callable[[Request], None] | None = None
        self.bodies: dict[str, bytes] = {}
        self.model: str | None = None
        self.complete: Callable[[Request], None] | None = None
        self.prompts: list[dict[str, Any]] = []
        self.left = threading.Event()
        self.requests: list[tuple[str, dict[str, str]]] = []
        self._wanted_port = port
        self._tls = tls
        self._server: ThreadingHTTPServer | None = None
        self._thread: threading.Thread | None = None

    @property
    def port(self) -> int:
        """Where it listens."""
        assert self._server is not None
        return self._server.server_port

    @property
    def url(self) -> str:
        """What a user would configure."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    def asked(self, path: str) -> int:
        """How often a path was asked for."""
        return sum(1 for asked, _ in self.requests if asked == path)

    def __enter__(self) -> Self:
        standin = self

        class Bound(Request):
            @property
            def standin(self) -> StandInVllm:
                return standin

        self._server = _Server(("127.0.0.1", self._wanted_port), Bound)
        if self._tls is not None:
            self._server.socket = self._tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        assert self._server is not None
        assert self._thread is not None
        self.left.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up early is part of the play."""


class Request(BaseHTTPRequestHandler):
    """One request; what a misbehaviour is given."""

    protocol_version = "HTTP/1.1"

    @property
    def standin(self) -> StandInVllm:
        """The server that this request reached."""
        raise NotImplementedError

    def do_GET(self) -> None:
        """Answer, or misbehave."""
        standin = self.standin
        standin.requests.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
        if self.path == "/metrics" and standin.misbehave is not None:
            standin.misbehave(self)
        elif self.path in standin.bodies:
            self.answer(200, standin.bodies[self.path])
        elif self.path in {"/metrics", "/metrics/"}:
            page = standin.page
            self.answer(200, page.encode() if isinstance(page, str) else page, "text/plain; version=0.0.4")
        elif self.path == "/health":
            self.answer(standin.health)
        elif self.path == "/version" and standin.version is not None:
            self.answer(200, json.dumps({"version": standin.version}).encode(), "application/json")
        elif self.path == "/v1/models" and standin.model is not None:
            self.answer(200, json.dumps({"data": [{"id": standin.model}]}).encode(), "application/json")
        else:
            self.answer(404)

    def do_POST(self) -> None:
        """Answer a prompt as told, see `standins/completions.py`."""
        standin = self.standin
        standin.requests.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
        standin.prompts.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        if standin.complete is None:
            self.answer(404)
        else:
            standin.complete(self)

    def answer(self, status: int, body: bytes = b"", content_type: str = "text/plain", **headers: str) -> None:
        """A whole answer."""
        self.begin(status, content_type, len(body), **headers)
        self.wfile.write(body)

    def begin(self, status: int, content_type: str, size_bytes: int | None, **headers: str) -> None:
        """The head of an answer; without a size the body ends with the connection."""
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        for name, value in headers.items():
            self.send_header(name, value)
        if size_bytes is None:
            self.send_header("Connection", "close")
            self.close_connection = True
        else:
            self.send_header("Content-Length", str(size_bytes))
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the standard library's name
        """Say nothing."""


# --- misbehaviours of /metrics


def fail(request: Request) -> None:
    """Answer 500."""
    request.answer(500, b"Internal Server Error")


def know_nothing(request: Request) -> None:
    """Answer 404."""
    request.answer(404)


def give_html(request: Request) -> None:
    """Answer 200 with a web page, as a proxy's login form does."""
    request.answer(200, b"<!doctype html>\n<html><body>Sign in</body></html>\n", "text/html")


def redirect_to_slash(request: Request) -> None:
    """Send to /metrics/, as vLLM 0.4 does."""
    request.answer(307, Location=f"{request.standin.url}/metrics/")


def redirect_elsewhere(request: Request) -> None:
    """Send to another place."""
    request.answer(302, Location="http://192.0.2.1/login")


def say_nothing(request: Request) -> None:
    """Accept the request and never answer."""
    request.standin.left.wait()


def drip(request: Request) -> None:
    """Send a byte now and then, for ever."""
    request.begin(200, "text/plain", None)
    while not request.standin.left.wait(0.01):
        request.wfile.write(b"#")
        request.wfile.flush()


def never_end(request: Request) -> None:
    """Send good lines as fast as they are taken, for ever."""
    request.begin(200, "text/plain", None)
    lines = b"vllm:num_requests_running 1\n" * 4096
    while not request.standin.left.is_set():
        request.wfile.write(lines)


def end_in_half_a_line(request: Request) -> None:
    """End the body inside a number, with a length that fits."""
    request.answer(200, b"vllm:num_requests_running 1.0\nvllm:num_requests_waiting 12")


def close_in_the_body(request: Request) -> None:
    """Promise more than is sent."""
    request.begin(200, "text/plain", 1000)
    request.wfile.write(b"vllm:num_requests_running 1.0\n")
    request.close_connection = True


def compress(request: Request) -> None:
    """Claim that the body is compressed."""
    request.answer(200, b"\x1f\x8b", "text/plain", **{"Content-Encoding": "gzip"})
