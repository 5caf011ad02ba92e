"""The HTTP side of a played server: what the sidecar asks for, and enough of the API for a probe to be answered.

A port that is shut refuses, as that of a dead vLLM does within a second. While the engine hangs, /health says 200 and a
request waits for an answer that never comes.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol

TOKEN_SECONDS = 0.02
WAIT_SECONDS = 0.1
MOST_TOKENS = 64
WORDS = ("All", "is", "well:", "the", "engine", "steps", "and", "every", "request", "gets", "its", "tokens.")


class Played(Protocol):
    """What is to be shown of a server."""

    @property
    def health(self) -> int:
        """The status of /health."""

    @property
    def is_open(self) -> bool:
        """Whether the port answers."""

    @property
    def answers(self) -> bool:
        """Whether a request gets tokens now."""

    @property
    def model_name(self) -> str:
        """What it serves."""

    @property
    def context_tokens(self) -> int:
        """How long a request may be."""


class Port:
    """A port that is opened and shut, and the page that it shows."""

    def __init__(self, port: int, played: Played) -> None:
        self.port = port
        self.page = b""
        self.played = played
        self._open: ThreadingHTTPServer | None = None

    def open(self) -> None:
        """Listen, if it does not yet."""
        if self._open is not None:
            return
        self._open = _Server(("127.0.0.1", self.port), _answers(self))
        self.port = self._open.server_port
        threading.Thread(target=self._open.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def shut(self) -> None:
        """Close the port."""
        if self._open is not None:
            self._open.shutdown()
            self._open.server_close()
            self._open = None


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up early is part of the play."""


def _answers(port: Port) -> type[BaseHTTPRequestHandler]:
    class Bound(Answer):
        @property
        def port(self) -> Port:
            return port

    return Bound


class Answer(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"

    @property
    def port(self) -> Port:
        """The port that this request reached."""
        raise NotImplementedError

    def do_GET(self) -> None:
        """Page, health, version, models."""
        played = self.port.played
        found: dict[str, Callable[[], tuple[int, bytes]]] = {
            "/metrics": lambda: (200, self.port.page),
            "/health": lambda: (played.health, b""),
            "/version": lambda: (200, _json({"version": "0.32.0"})),
            "/v1/models": lambda: (200, _json(_models(played))),
        }
        status, body = found[self.path]() if self.path in found else (404, b'{"detail":"Not Found"}')
        self._whole(status, body, "application/json" if self.path.startswith("/v") else "text/plain; version=0.0.4")

    def do_POST(self) -> None:
        """A completion, whole or as a stream."""
        try:
            asked = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"{}")
        except ValueError:
            asked = None
        played, chat = self.port.played, self.path == "/v1/chat/completions"
        if self.path not in {"/v1/completions", "/v1/chat/completions"}:
            self._whole(404, b'{"detail":"Not Found"}')
        elif not isinstance(asked, dict):
            self._whole(400, _json(_error("the body is not a JSON object", 400)))
        elif asked.get("model", played.model_name) != played.model_name:
            self._whole(404, _json(_error(f"The model `{asked['model']}` does not exist.", 404)))
        elif self._is_let_in():
            count = min(MOST_TOKENS, int(asked.get("max_tokens") or asked.get("max_completion_tokens") or 16))
            if asked.get("stream"):
                self._stream(chat=chat, count=count)
            else:
                time.sleep(TOKEN_SECONDS * count)
                self._whole(200, _json(_completion(played.model_name, chat=chat, count=count)))

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the name is the library's
        """Say nothing: the sidecar asks every few seconds."""

    def _is_let_in(self) -> bool:
        """Wait as long as the engine does not work; false if the server goes before it does."""
        while not self.port.played.answers:
            if not self.port.played.is_open:
                self.close_connection = True
                return False
            time.sleep(WAIT_SECONDS)
        return True

    def _whole(self, status: int, body: bytes, kind: str = "application/json") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _stream(self, *, chat: bool, count: int) -> None:
        self.close_connection = True
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.send_header("Connection", "close")
        self.end_headers()
        for chunk in _chunks(self.port.played.model_name, chat=chat, count=count):
            time.sleep(TOKEN_SECONDS)
            self.wfile.write(b"data: " + _json(chunk) + b"\n\n")
            self.wfile.flush()
        self.wfile.write(b"data: [DONE]\n\n")


# --- the bodies, as vLLM's OpenAI server writes them


def _models(played: Played) -> dict[str, Any]:
    entry = {"id": played.model_name, "object": "model", "owned_by": "vllm", "root": played.model_name}
    return {"object": "list", "data": [{**entry, "max_model_len": played.context_tokens}]}


def _error(message: str, status: int) -> dict[str, Any]:
    kind = "NotFoundError" if status == 404 else "BadRequestError"
    return {"error": {"message": message, "type": kind, "param": None, "code": status}}


def _words(count: int) -> list[str]:
    return [WORDS[index % len(WORDS)] + " " for index in range(count)]


def _completion(model: str, *, chat: bool, count: int) -> dict[str, Any]:
    text = "".join(_words(count))
    said = {"message": {"role": "assistant", "content": text}} if chat else {"text": text}
    usage = {"prompt_tokens": 8, "completion_tokens": count, "total_tokens": 8 + count}
    return {
        **_top(model, chat=chat, part=""),
        "choices": [{"index": 0, **said, "finish_reason": "length"}],
        "usage": usage,
    }


def _chunks(model: str, *, chat: bool, count: int) -> Iterator[dict[str, Any]]:
    for number, word in enumerate(_words(count), 1):
        said = {"delta": {"content": word}} if chat else {"text": word}
        end = "length" if number == count else None
        yield {**_top(model, chat=chat, part=".chunk"), "choices": [{"index": 0, **said, "finish_reason": end}]}


def _top(model: str, *, chat: bool, part: str) -> dict[str, Any]:
    kind = f"chat.completion{part}" if chat else "text_completion"
    return {"id": "cmpl-demo", "object": kind, "created": int(time.time()), "model": model}


def _json(document: object) -> bytes:
    return json.dumps(document).encode()
