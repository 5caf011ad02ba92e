"""An ASGI site and an address -> answered HTTP requests, on the loop that everything else runs on.

Promise: no client holds anything up. A connection is given so long to ask, so long to take its answer and so long to
stay idle, then it is cut; uvicorn alone would wait for the first request, and for a reader, without end.
A request that runs into a bug of ours is answered 500 and logged with its traceback: a surprise ends the process
everywhere else, but whoever may send a request must not be able to end the watch.

The only importer of uvicorn.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import uvicorn
from loguru import logger
from uvicorn.protocols.http.h11_impl import H11Protocol

from vllm_vigil.exposition.listen import WebSettings, bind
from vllm_vigil.exposition.web_config import WebConfig

HEAD_BYTES = 16 * 1024
GRACE_SECONDS = 1.0  # what a stop leaves to answers under way
TICK_SECONDS = 1.0

App = Callable[[Any, Any, Any], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Limits:
    """What clients may take of us: time for a request head, for body and answer, between requests; and connections."""

    request_seconds: float = 10.0
    answer_seconds: float = 30.0
    idle_seconds: float = 75.0  # more than the usual minute between two scrapes
    connections: int = 512  # half of the usual limit of open files


class Listener:
    """One address that is answered. `start` binds, `serve` answers until `stop`; all on the loop's thread."""

    def __init__(self, settings: WebSettings, web: WebConfig, app: App, limits: Limits = Limits()) -> None:
        self._settings = settings
        self._web = web
        self._tls: ssl.SSLContext | None = None
        self._socket: socket.socket | None = None
        self._serving = False
        self._server = _Server(
            uvicorn.Config(
                app,
                http=partial(_Connection, limits),  # type: ignore[arg-type]  # it is only ever called
                ws="none",
                interface="asgi3",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=math.ceil(limits.idle_seconds),
                timeout_graceful_shutdown=int(GRACE_SECONDS) + 2,
                h11_max_incomplete_event_size=HEAD_BYTES,
            )
        )

    @property
    def port(self) -> int:
        """The port that is bound; that of port 0 is known after `start`."""
        return int(self._bound().getsockname()[1])

    def start(self) -> None:
        """Take the address; from here on clients may connect.

        Raises `VigilError` if it cannot be had, `ConfigError` if certificate or key cannot be used.
        """
        self._tls = self._web.tls.context() if self._web.tls else None
        self._socket = bind(self._settings.listen)
        _forward_log()
        if not (self._settings.loopback or self._web.protected):
            logger.warning(
                "HTTP on {} is open to everyone who can reach it; basic_auth_users in web.config_file, or a listen "
                "address of this machine only, closes it",
                self._settings.listen,
            )

    async def serve(self) -> None:
        """Answer until `stop`, or until cancelled."""
        self._serving = True
        self._server.config.load()
        self._server.config.ssl = self._tls
        try:
            await self._server.serve(sockets=[self._bound()])
        finally:
            self._close()

    def stop(self) -> None:
        """Take no new connections and let `serve` return, at the latest when the grace is over."""
        self._server.leave()
        if self._serving:
            asyncio.get_running_loop().call_later(GRACE_SECONDS, self._server.abort)
        else:
            self._bound().close()

    def _bound(self) -> socket.socket:
        if self._socket is None:
            raise RuntimeError("the listener has not been started")
        return self._socket

    def _close(self) -> None:
        for server in getattr(self._server, "servers", ()):
            server.close()
        self._server.abort()
        self._bound().close()


class _Server(uvicorn.Server):
    """uvicorn's server without its hand on the process."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._left = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave SIGTERM and SIGINT to the app: it has logs to read to the end and state to commit before it goes."""
        yield

    async def main_loop(self) -> None:
        """Look once a second, for the answers' Date, and when told to leave; uvicorn's own looks ten times as often."""
        while not await self.on_tick(0):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._left.wait(), TICK_SECONDS)

    def leave(self) -> None:
        """Take no new connections, and return when those that are open are answered."""
        self.should_exit = True
        self._left.set()

    def abort(self) -> None:
        """Cut every connection, whatever waits to be written to it."""
        for connection in list(self.server_state.connections):
            if isinstance(connection, _Connection):
                connection.cut()


class _Connection(H11Protocol):
    """uvicorn's connection, with limits."""

    def __init__(self, limits: Limits, **uvicorns: Any) -> None:
        super().__init__(**uvicorns)
        self._limits = limits
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self._limits.connections:
            self.cut()
        else:
            self._allow(self._limits.request_seconds)

    def data_received(self, data: bytes) -> None:
        before = self.cycle
        super().data_received(data)
        if self.cycle is not before:  # a whole head is there; single bytes of one buy no time
            self._allow(self._limits.answer_seconds)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        waiting = self.cycle.response_complete  # else a pipelined request has begun
        # uvicorn closes an idle connection politely; ours is for the one that does not even take its last answer.
        self._allow(self._limits.idle_seconds + 1 if waiting else self._limits.answer_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._deadline is not None:
            self._deadline.cancel()

    def cut(self) -> None:
        """End it now: with a reset, or the kernel would keep trying to bring a deaf client its megabytes."""
        self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    def _allow(self, seconds: float) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = self.loop.call_later(seconds, self.cut)


class _Forward(logging.Handler):
    """uvicorn's log -> ours."""

    def emit(self, record: logging.LogRecord) -> None:
        logger.opt(exception=record.exc_info).log(record.levelname, "HTTP: {}", record.getMessage())


def _forward_log() -> None:
    """Hear errors only: its warnings are written once per malformed request, at the wish of any client."""
    log = logging.getLogger("uvicorn.error")
    log.handlers = [_Forward()]
    log.propagate = False
    log.setLevel(logging.ERROR)
