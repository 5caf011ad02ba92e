"""One client's bytes -> requests for an ASGI application, one after the other, and its answers. h11 knows HTTP.

Promise: a client holds nobody up. It is given so long to ask, so long to take its answer and so long to stay idle, then
it is cut; of a body no more is held than the application has room for. A request that runs into a bug of ours is
answered 500 and logged with its traceback: a surprise ends the process everywhere else, but whoever may send a request
must not be able to end the watch.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus
from typing import Any, cast
from urllib.parse import unquote

import h11
from loguru import logger

HEAD_BYTES = 16 * 1024
BODY_BYTES = 64 * 1024
LAST_SECONDS = 1.0

App = Callable[[Any, Any, Any], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Limits:
    """What clients may take of us: time for a request head, for body and answer, between requests; and connections."""

    request_seconds: float = 10.0
    answer_seconds: float = 30.0
    idle_seconds: float = 75.0  # more than the usual minute between two scrapes
    connections: int = 512  # half of the usual limit of open files


class Connection(asyncio.Protocol):
    """One client. `others` are the connections that are open, this one among them while it is."""

    def __init__(self, app: App, limits: Limits, others: set[Connection]) -> None:
        self._app = app
        self._limits = limits
        self._others = others
        self._http = h11.Connection(h11.SERVER, HEAD_BYTES)
        self._deadline: asyncio.TimerHandle | None = None
        self._answering: asyncio.Task[None] | None = None
        self._body = bytearray()
        self._head = b""
        self._bodiless = False
        self._leaving = False  # after this answer
        self._over = False
        self._heard, self._writable, self.ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    # --- what asyncio tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is there."""
        self._transport = cast("asyncio.Transport", transport)
        self._writable.set()
        self._others.add(self)
        if len(self._others) > self._limits.connections:
            self.cut()
        else:
            self._allow(self._limits.request_seconds)

    def data_received(self, data: bytes) -> None:
        """Bytes have come."""
        self._http.receive_data(data)
        self._read()

    def pause_writing(self) -> None:
        """The client takes its answer more slowly than we give it."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """It has taken most of it."""
        self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # why is no matter
        """The client is gone; an answer under way goes on into nothing."""
        self._over = True
        self._others.discard(self)
        self._heard.set()
        self._writable.set()
        self.ended.set()
        if self._deadline is not None:
            self._deadline.cancel()

    # --- how it ends

    def cut(self) -> None:
        """End it now: with a reset, or the kernel would keep trying to bring a deaf client its megabytes."""
        self._transport.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
        )
        self._transport.abort()

    def leave(self) -> None:
        """End it after the answer under way, if there is one."""
        self._leaving = True
        if self._answering is None:
            self._part()

    def _part(self) -> None:
        """End it once what was written is taken, which must not take long. What is said from now on goes nowhere."""
        if not self._over:
            self._over = True
            self._heard.set()
            self._transport.close()
            self._allow(LAST_SECONDS)

    def _allow(self, seconds: float, then: Callable[[], None] | None = None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = asyncio.get_running_loop().call_later(seconds, then or self.cut)

    # --- requests

    def _read(self) -> None:
        """Take in what is there, up to the end of a request; what comes after it waits."""
        try:
            while self._take(self._http.next_event()):
                pass
        except h11.RemoteProtocolError:
            self._refuse(400)
        self._heard.set()

    def _take(self, event: h11.Event | type[h11.NEED_DATA | h11.PAUSED]) -> bool:
        """Take in one thing; whether there may be more."""
        if isinstance(event, h11.Request):
            self._begin(event)
        elif isinstance(event, h11.Data):
            self._body += event.data
        elif isinstance(event, h11.ConnectionClosed):
            self._part()
        if event is h11.PAUSED or len(self._body) > BODY_BYTES:
            self._transport.pause_reading()
        return event not in (h11.NEED_DATA, h11.PAUSED) and not self._over

    def _begin(self, request: h11.Request) -> None:
        self._body, self._bodiless = bytearray(), request.method == b"HEAD"
        self._allow(self._limits.answer_seconds)  # for a whole head; single bytes of one buy no time
        path, _, query = request.target.partition(b"?")
        scope = {
            "type": "http",
            "method": request.method.decode("ascii"),
            "path": unquote(path.decode("ascii")),
            "query_string": query,
            "headers": list(request.headers),
        }
        self._answering = asyncio.create_task(self._answer(scope))
        self._answering.add_done_callback(self._answered)

    async def _answer(self, scope: dict[str, Any]) -> None:
        await self._app(scope, self._receive, self._send)

    async def _receive(self) -> dict[str, Any]:
        """The next piece of the body."""
        if self._http.they_are_waiting_for_100_continue:
            go_on = h11.InformationalResponse(status_code=100, headers=[], reason=b"Continue")
            self._transport.write(self._http.send(go_on) or b"")
        while not self._body and self._http.their_state is h11.SEND_BODY and not self._over:
            self._heard.clear()
            await self._heard.wait()
        if self._over:
            return {"type": "http.disconnect"}
        body, self._body = bytes(self._body), bytearray()
        self._transport.resume_reading()
        return {"type": "http.request", "body": body, "more_body": self._http.their_state is h11.SEND_BODY}

    # --- answers

    async def _send(self, message: dict[str, Any]) -> None:
        """The head of an answer, then pieces of its body; head and first piece leave together."""
        if self._over:
            return
        if message["type"] == "http.response.start":
            self._head = self._written(message["status"], message["headers"])
            return
        piece = self._head + self._written_body(message.get("body", b""))
        if not message.get("more_body", False):
            piece += self._http.send(h11.EndOfMessage()) or b""
        self._head = b""
        self._transport.write(piece)
        await self._writable.wait()

    def _written_body(self, body: bytes) -> bytes:
        return self._http.send(h11.Data(data=b"" if self._bodiless else body)) or b""

    def _written(self, status: int, headers: list[tuple[bytes, bytes]]) -> bytes:
        said = [*headers, (b"date", formatdate(usegmt=True).encode("ascii"))]
        if self._leaving:
            said.append((b"connection", b"close"))
        reason = HTTPStatus(status).phrase.encode("ascii")
        return self._http.send(h11.Response(status_code=status, headers=said, reason=reason)) or b""

    def _answered(self, task: asyncio.Task[None]) -> None:
        """Go on with the next request, or part."""
        self._answering = None
        error = None if task.cancelled() else task.exception()
        if error is not None:
            logger.opt(exception=error).error("HTTP: a request met a fault of ours")
            self._refuse(500)
        elif self._http.our_state is self._http.their_state is h11.DONE and not (self._leaving or self._over):
            self._http.start_next_cycle()
            self._allow(self._limits.idle_seconds, self._part)
            self._transport.resume_reading()
            self._read()
        else:
            self._part()

    def _refuse(self, status: int) -> None:
        """Say what is wrong with the request, or with us, where it can still be said; and part."""
        if self._http.our_state in (h11.IDLE, h11.SEND_RESPONSE) and not self._over:
            text = f"{HTTPStatus(status).phrase}\n".encode("ascii")
            headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(text))]
            self._leaving = True
            head = self._written(status, headers)
            self._transport.write(head + self._written_body(text))
        self._part()
