"""One HTTP request -> its answer: the doors that it must pass, then the routes of the contract.

Three doors, in this order: a body no longer than anyone needs; a Host that is ours, because a page in a browser on
this machine may point a name of its own at 127.0.0.1 and read what answers (DNS rebinding); and the login, if there
are users. A POST that a browser sends from another site is refused besides.

A plain ASGI application: it knows HTTP, and no server.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qs

from vllm_vigil.exposition import health
from vllm_vigil.exposition.answer import HTML, Answer, document, plain
from vllm_vigil.exposition.listen import WebSettings
from vllm_vigil.exposition.login import Login
from vllm_vigil.exposition.metrics import Metrics
from vllm_vigil.exposition.page import CONTENT_SECURITY_POLICY, page
from vllm_vigil.exposition.status import Sidecar, observe
from vllm_vigil.exposition.web_config import WebConfig

BODY_BYTES = 64 * 1024
DRAINED_BYTES = 1024 * 1024  # read on so far after a refusal, so that a client that is still sending hears of it
BODY_SECONDS = 5.0

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
CLOSE = ("Connection", "close")


@dataclass(frozen=True, slots=True)
class Request:
    """The parts of a request that answers depend on; header names in lower case."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]

    @classmethod
    def read(cls, scope: Mapping[str, Any]) -> Request:
        """From an ASGI scope. A header that comes twice is one list, as in RFC 9110."""
        headers: dict[str, str] = {}
        for raw_name, raw_value in scope["headers"]:
            name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        return cls(scope["method"], scope["path"], scope["query_string"].decode("latin-1"), headers)

    def header(self, name: str) -> str:
        """Its value, "" without it."""
        return self.headers.get(name, "")

    @property
    def server(self) -> str | None:
        """The `?server=` that is asked for."""
        found = parse_qs(self.query, keep_blank_values=True).get("server")
        return found[0] if found else None


Route = Callable[[Request], Awaitable[Answer]]
WEBHOOK = "/api/v1/alerts/webhook"
Webhook = Callable[[Request, Receive], Awaitable[Answer | None]]
"""Answers what is sent to `WEBHOOK`, which has a body and a login of its own; None while it is off."""


class Site:
    """Everything that is answered."""

    def __init__(
        self,
        sidecar: Sidecar,
        metrics: Metrics,
        settings: WebSettings,
        web: WebConfig,
        webhook: Webhook | None = None,
    ) -> None:
        self._sidecar = sidecar
        self._metrics = metrics
        self._webhook = webhook
        self._login = Login(web.users) if web.users else None
        self._guards_host = settings.loopback and not web.protected
        self._headers = {
            "Cache-Control": "no-store",
            "Content-Security-Policy": CONTENT_SECURITY_POLICY,
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
        } | dict(web.headers)
        self._routes: dict[str, dict[str, Route]] = {
            "/": {"GET": self._page},
            "/metrics": {"GET": self._scrape},
            "/api/v1/status": {"GET": self._status},
            "/health": {"GET": self._health},
            "/ready": {"GET": self._ready},
            "/-/healthy": {"GET": self._alive},
            "/-/ready": {"GET": self._begun},
            "/-/reload": {"POST": self._reload},
        }

    async def __call__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request."""
        request = Request.read(scope)
        answer = await self._answer(request, receive)
        headers = {"Content-Type": answer.content_type, "Content-Length": str(len(answer.body))}
        headers |= self._headers | dict(answer.headers)
        raw = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": answer.status, "headers": raw})
        await send({"type": "http.response.body", "body": answer.body})

    async def _answer(self, request: Request, receive: Receive) -> Answer:
        if self._webhook is not None and request.path == WEBHOOK and not self._guard(request):
            answer = await self._webhook(request, receive)
            if answer is not None:
                return answer
        return await drain(request, receive) or await self._admit(request) or await self._route(request)

    async def _admit(self, request: Request) -> Answer | None:
        refused = self._guard(request)
        if refused is None and self._login:
            return await self._login.refuse(request.header("authorization"))
        return refused

    def _guard(self, request: Request) -> Answer | None:
        if self._guards_host and not is_ours(request.header("host")):
            return plain(
                421,
                "this address answers to IP addresses and localhost only; a proxy in front must send such a Host, "
                "or web.config_file must name users",
            )
        if request.method == "POST" and is_foreign(request):
            return plain(403, "a page of another site may not ask this")
        return None

    async def _route(self, request: Request) -> Answer:
        methods = self._routes.get(request.path)
        if methods is None:
            return plain(404, "there is nothing here; / shows the status, /metrics the metrics")
        route = methods.get("GET" if request.method == "HEAD" else request.method)
        if route is None:
            allowed = "GET, HEAD" if "GET" in methods else ", ".join(methods)
            return plain(405, f"only {allowed} here", ("Allow", allowed))
        return await route(request)

    async def _scrape(self, request: Request) -> Answer:
        accept, encoding = request.header("accept"), request.header("accept-encoding")
        return self._metrics.answer(self._sidecar.snapshot(), accept, encoding)

    async def _page(self, _: Request) -> Answer:
        return Answer(200, page(observe(self._sidecar)).encode("utf-8", "replace"), HTML)

    async def _status(self, _: Request) -> Answer:
        return document(200, observe(self._sidecar).to_json())

    async def _health(self, request: Request) -> Answer:
        return health.health(self._sidecar.servers(), self._sidecar.engines(), request.server)

    async def _ready(self, request: Request) -> Answer:
        return health.ready(self._sidecar.servers(), self._sidecar.engines(), request.server)

    async def _alive(self, _: Request) -> Answer:
        return health.alive(self._sidecar.heartbeat_seconds())

    async def _begun(self, _: Request) -> Answer:
        return health.begun(self._sidecar.missing())

    async def _reload(self, _: Request) -> Answer:
        error = await self._sidecar.reload()
        return plain(200, "reloaded") if error is None else plain(500, f"the last good one stays: {error}")


async def drain(request: Request, receive: Receive) -> Answer | None:
    """Read the body away, which most here does without; the refusal of one too long or too slow."""
    found = await read_body(request, receive, BODY_BYTES)
    return found if isinstance(found, Answer) else None


async def read_body(request: Request, receive: Receive, limit_bytes: int) -> bytes | Answer:
    """The body, or the refusal of one too long or too slow."""
    length = request.header("content-length") or "0"
    if length == "0" and not request.header("transfer-encoding"):
        return b""
    too_long = int(length) > limit_bytes
    if too_long and request.header("expect"):  # the client waits for our word before it sends anything
        return plain(413, "the body is too long", CLOSE)
    body, size_bytes, whole = bytearray(), 0, False
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(BODY_SECONDS):
            while not whole and size_bytes <= limit_bytes + DRAINED_BYTES:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return plain(400, "the client went away", CLOSE)
                piece = message.get("body", b"")
                size_bytes += len(piece)
                body += piece if size_bytes <= limit_bytes else b""
                whole = not message.get("more_body", False)
    if too_long or size_bytes > limit_bytes:
        return plain(413, "the body is too long", CLOSE)
    return bytes(body) if whole else plain(408, "the body did not come in time", CLOSE)


@lru_cache(maxsize=64)  # whoever asks, asks again under the same name
def is_ours(host: str) -> bool:
    """Whether a Host header can only mean this machine: none, an IP address, localhost, or a name without a dot.

    A name without a dot is none that a stranger can own, and a short name in /etc/hosts keeps working.
    """
    name = host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host
    if "." not in name or name.lower().rstrip(".").endswith(".localhost"):
        return True
    with contextlib.suppress(ValueError):
        return bool(ipaddress.ip_address(name.strip("[]")))
    return False


def is_foreign(request: Request) -> bool:
    """Whether a browser sent this from a page of another site. Programs send neither header."""
    if request.header("sec-fetch-site") not in ("", "same-origin", "none"):
        return True
    origin = request.header("origin")
    return origin != "" and origin.partition("://")[2] != request.header("host")
