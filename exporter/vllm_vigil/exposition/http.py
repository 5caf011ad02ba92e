"""An ASGI application and an address -> answered HTTP requests, on the loop that everything else runs on.

Promise: the port is bound when `start` returns, and free when `serve` does, whatever its clients do.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl

from loguru import logger

from vllm_vigil.exposition.connection import App, Connection, Limits
from vllm_vigil.exposition.listen import BACKLOG, WebSettings, bind, split
from vllm_vigil.exposition.web_config import WebConfig

GRACE_SECONDS = 1.0  # what a stop leaves to answers under way
DEFAULT = Limits()


class Listener:
    """One address that is answered. `start` binds, `serve` answers until `stop`; all on the loop's thread."""

    def __init__(self, settings: WebSettings, web: WebConfig, app: App, limits: Limits = DEFAULT) -> None:
        self._settings = settings
        self._web = web
        self._app = app
        self._limits = limits
        self._tls: ssl.SSLContext | None = None
        self._socket: socket.socket | None = None
        self._serving = False
        self._stopped = asyncio.Event()
        self._connections: set[Connection] = set()

    @property
    def port(self) -> int:
        """The port that is bound; that of port 0 is known after `start`."""
        return int(self._bound().getsockname()[1])

    @property
    def url(self) -> str:
        """The page's address, of which a terminal makes a link; who listens on all is found on localhost too."""
        host = split(self._settings.listen)[0] or "localhost"
        host = f"[{host}]" if ":" in host else host
        return f"{'https' if self._web.tls else 'http'}://{host}:{self.port}/"

    def start(self) -> None:
        """Take the address; from here on clients may connect.

        Raises `VigilError` if it cannot be had, `ConfigError` if certificate or key cannot be used.
        """
        self._tls = self._web.tls.context() if self._web.tls else None
        self._socket = bind(self._settings.listen)
        if not (self._settings.loopback or self._web.protected):
            logger.warning(
                "HTTP on {} is open to everyone who can reach it; basic_auth_users in web.config_file, or a listen "
                "address of this machine only, closes it",
                self._settings.listen,
            )

    async def serve(self) -> None:
        """Answer until `stop`, or until cancelled."""
        if self._stopped.is_set():
            return
        self._serving = True
        loop = asyncio.get_running_loop()
        server = await loop.create_server(self._met, sock=self._bound(), ssl=self._tls, backlog=BACKLOG)
        try:
            await self._stopped.wait()
            server.close()
            await self._part()
        finally:
            server.close()
            for connection in list(self._connections):
                connection.cut()
            self._bound().close()

    def stop(self) -> None:
        """Take no new connections and let `serve` return, at the latest when the grace is over."""
        self._stopped.set()
        if not self._serving:
            self._bound().close()

    def _met(self) -> Connection:
        return Connection(self._app, self._limits, self._connections)

    async def _part(self) -> None:
        """Let those who are being answered have their answers."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GRACE_SECONDS):
                for connection in list(self._connections):
                    connection.leave()
                for connection in list(self._connections):
                    await connection.ended.wait()

    def _bound(self) -> socket.socket:
        if self._socket is None:
            raise RuntimeError("the listener has not been started")
        return self._socket
