"""One vLLM server, asked over HTTP -> a Reading of everything on its `/metrics`, with three facts beside the numbers.

Facts: `health`, the status of `GET /health` as text ("200", "503") or "unreachable", also when the page failed;
`version`, from `GET /version`, and `max_model_len`, from `GET /v1/models`, both asked again after the server was down,
for it may come back as another.

Promise: `read` ends in bounded time, holds at most `max_body` of the server's text, and tells every failure in words
that stay the same while the failure does. The timeout is one deadline for a whole answer, because a server that
drips a byte a second meets no read timeout.

Only plain text 0.0.4 is asked for: prometheus_client's OpenMetrics writer breaks vLLM's names with colons.
"""

from __future__ import annotations

import asyncio
import os
import re
import socket
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

import httpx

from vllm_vigil.clock import Clock
from vllm_vigil.errors import WorkerBusy
from vllm_vigil.model import Reading, Samples
from vllm_vigil.sources.page import Parser
from vllm_vigil.sources.told import ASKED_ONCE
from vllm_vigil.units import Bytes, Seconds, Secret, format_duration, format_size
from vllm_vigil.worker import Worker

ACCEPT = "text/plain;version=0.0.4"
SMALL_ANSWER = 64 * 1024
"""Bytes that `/health`, `/version` and `/v1/models` may have."""

INLINE_PAGE = 1024 * 1024
"""Bytes of a page that is parsed on the loop, in 3 ms, or 30 ms the first time; larger ones go to a thread."""

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


@dataclass(frozen=True, slots=True)
class VllmSettings:
    """How one server is asked. `name` becomes the label `server`; without one it is the URL's host:port.

    Of what it gives, `max_series` become series; with `passthrough` its families go out under vLLM's own names too.
    """

    name: str = ""
    url: str = "http://127.0.0.1:8000"
    interval: Seconds = Seconds(5.0)
    timeout: Seconds = Seconds(5.0)
    stale_after: Seconds | None = None
    headers: Mapping[str, Secret] = field(default_factory=dict)
    bearer: Secret | None = None
    ca_file: Path | None = None
    max_body: Bytes = Bytes(32 * 1024 * 1024)
    max_series: int = 5000
    passthrough: bool = False

    @property
    def server(self) -> str:
        """The label `server`."""
        if self.name:
            return self.name
        parts = urlsplit(self.url)
        host = parts.netloc.rpartition("@")[2]
        return host if parts.port else f"{host}:{443 if parts.scheme == 'https' else 80}"

    def problems(self) -> Iterator[tuple[str, str]]:
        """What cannot be used, as (field, message)."""
        yield from _url_problems(self.url)
        for name in ("interval", "timeout", "stale_after", "max_body", "max_series"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                yield name, "must be more than 0"
        if self.stale_after is not None and self.stale_after < self.interval:
            yield "stale_after", "must not be shorter than interval, or every reading is stale before the next one"
        yield from self._header_problems()
        if self.ca_file is not None and not self.ca_file.is_file():
            yield "ca_file", f"there is no file {self.ca_file}"

    def _header_problems(self) -> Iterator[tuple[str, str]]:
        for name, value in self.headers.items():
            if not _HEADER_NAME.fullmatch(name):
                yield f"headers.{name}", "is not the name of an HTTP header"
            if not _can_be_sent(value):
                yield f"headers.{name}", "holds characters that an HTTP header cannot carry"
        if self.bearer is not None and not _can_be_sent(self.bearer):
            yield "bearer", "holds characters that an HTTP header cannot carry"
        if self.bearer is not None and any(name.lower() == "authorization" for name in self.headers):
            yield "bearer", "would be sent beside the header Authorization: give one of the two"


@dataclass(frozen=True, slots=True)
class _Answer:
    """What one request came to: a status and a body, or the words why not."""

    status: int = 0
    body: bytes = b""
    location: str = ""
    error: str | None = None


class Vllm:
    """One server. `read` asks it once; kept are the connection, what it told of itself, and the shape of its page."""

    source = "vllm"

    def __init__(self, settings: VllmSettings, clock: Clock, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self.server = settings.server
        self._settings = settings
        self._clock = clock
        self._transport = transport
        self._client: httpx.AsyncClient | None = None
        self._worker = Worker(f"parse {self.server}")
        self._parser = Parser()
        self._told: dict[str, str | None] = dict.fromkeys(ASKED_ONCE)
        self._path = "/metrics"

    async def read(self) -> Reading:
        """Ask for the page, the health and, if it is not known, the version, at the same time."""
        started = self._clock.monotonic()
        samples, error, facts = await self._ask()
        now = self._clock.monotonic()
        return Reading(self.source, self.server, now, now - started, samples, facts, error)

    async def close(self) -> None:
        """Give the connections back."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    async def _ask(self) -> tuple[Samples, str | None, dict[str, str]]:
        try:
            client = self._connected()
        except OSError as cause:  # ssl.SSLError is one
            return Samples(), f"cannot use ca_file {self._settings.ca_file}: {_words(cause)}", {"health": "unreachable"}
        page, health, told = await asyncio.gather(
            self._page(client),
            self._health(client),
            asyncio.gather(*(self._ask_once(client, fact) for fact in ASKED_ONCE)),
        )
        samples = Samples()
        error = page.error
        if error is None:
            samples, error = await self._parse(page.body)
        self._told = dict.fromkeys(ASKED_ONCE) if error else dict(zip(ASKED_ONCE, told, strict=True))
        return samples, error, {"health": health, **{fact: text for fact, text in self._told.items() if text}}

    def _connected(self) -> httpx.AsyncClient:
        if self._client is None:
            settings = self._settings
            headers = {name: value.reveal() for name, value in settings.headers.items()}
            if settings.bearer is not None:
                headers["Authorization"] = f"Bearer {settings.bearer.reveal()}"
            # A page from the same host is not worth compressing, and one that is not compressed cannot be a bomb.
            headers |= {"Accept": ACCEPT, "Accept-Encoding": "identity", "User-Agent": "vllm-vigil"}
            self._client = httpx.AsyncClient(
                base_url=settings.url,
                headers=headers,
                transport=self._transport,
                verify=_trust(settings),
                timeout=None,  # noqa: S113  # one deadline stands around every request
                trust_env=False,
            )
        return self._client

    # --- the questions

    async def _page(self, client: httpx.AsyncClient) -> _Answer:
        answer = await self._get(client, self._path, self._settings.max_body)
        if answer.status in {307, 308} and urlsplit(answer.location).path.endswith("/metrics/"):
            self._path = "/metrics/"  # vLLM 0.4 sends there
            answer = await self._get(client, self._path, self._settings.max_body)
        if answer.status == 404:
            at_nim = await self._get(client, "/v1/metrics", self._settings.max_body)
            if at_nim.status == 200:
                self._path, answer = "/v1/metrics", at_nim
        if answer.error is None and answer.status != 200:
            return _Answer(error=f"{self._path} answered status {answer.status}")
        return answer

    async def _health(self, client: httpx.AsyncClient) -> str:
        answer = await self._get(client, "/health", SMALL_ANSWER)
        return str(answer.status) if answer.status else "unreachable"

    async def _ask_once(self, client: httpx.AsyncClient, fact: str) -> str | None:
        """None: no answer, ask again. "": the server does not tell."""
        known = self._told[fact]
        if known is not None:
            return known
        path, found_in = ASKED_ONCE[fact]
        answer = await self._get(client, path, SMALL_ANSWER)
        if answer.error is not None:
            return None
        return found_in(answer.body) if answer.status == 200 else ""

    async def _get(self, client: httpx.AsyncClient, path: str, max_bytes: int) -> _Answer:
        seconds = self._settings.timeout
        try:
            async with asyncio.timeout(seconds), client.stream("GET", path) as response:
                return await _read_body(response, max_bytes)
        except TimeoutError:
            return _Answer(error=f"{path} timed out after {format_duration(seconds)}")
        except httpx.RemoteProtocolError:
            return _Answer(error=f"{path} was cut short, or is not HTTP")
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return _Answer(error=_words(error))

    # --- the page

    async def _parse(self, body: bytes) -> tuple[Samples, str | None]:
        if len(body) <= INLINE_PAGE:
            return self._parser.parse(body)
        seconds = self._settings.timeout
        try:
            return await self._worker.run(lambda: self._parser.parse(body), seconds)
        except TimeoutError:
            return Samples(), f"a page over {format_size(INLINE_PAGE)} was not parsed within {format_duration(seconds)}"
        except WorkerBusy:
            return Samples(), f"an earlier page over {format_size(INLINE_PAGE)} is still being parsed"


async def _read_body(response: httpx.Response, max_bytes: int) -> _Answer:
    if response.headers.get("Content-Encoding", "identity") != "identity":
        return _Answer(error=f"{response.url.path} came compressed, which was not asked for")
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > max_bytes:
            return _Answer(error=f"the body of {response.url.path} is larger than {format_size(max_bytes)}")
    return _Answer(response.status_code, bytes(body), response.headers.get("Location", ""))


def _trust(settings: VllmSettings) -> ssl.SSLContext | bool:
    if settings.ca_file is not None:
        return ssl.create_default_context(cafile=settings.ca_file)
    return settings.url.startswith("https:")  # loading certificates takes 20 ms and 3 MB that http does not need


def _words(error: BaseException) -> str:
    """The operating system's words at the root of a failure; the libraries between say less."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"certificate refused: {cause.verify_message}"
        if isinstance(cause, socket.gaierror):
            return f"cannot resolve the host: {cause.strerror}"
        if isinstance(cause, ssl.SSLError):
            return f"TLS failed: {cause.reason}"
        if isinstance(cause, OSError) and cause.errno:
            return os.strerror(cause.errno).lower()
        cause = cause.__cause__ or cause.__context__
    return f"{error}" or type(error).__name__


def _can_be_sent(value: Secret) -> bool:
    text = value.reveal()
    return text.isascii() and text.isprintable()


def _url_problems(url: str) -> Iterator[tuple[str, str]]:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number, half an IPv6 address
        usable, parts = False, SplitResult("", "", "", "", "")
    if not usable:
        yield "url", "must be the address of a vLLM server, such as http://127.0.0.1:8000"
    if parts.username is not None or parts.password is not None:
        yield "url", "must not hold a user or password: use bearer, or headers"
    if parts.query or parts.fragment:
        yield "url", "must not have a query or fragment"
    if parts.path.rstrip("/").endswith("/metrics"):
        yield "url", "must be the server's root: leave out /metrics, which is added"
