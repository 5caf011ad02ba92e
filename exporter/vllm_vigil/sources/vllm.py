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
from urllib.parse import urlsplit

from vllm_vigil.clock import Clock
from vllm_vigil.endpoint import words
from vllm_vigil.errors import WorkerBusy
from vllm_vigil.model import Reading, Samples
from vllm_vigil.sources.http import Answer, Client
from vllm_vigil.sources.page import Parser
from vllm_vigil.sources.settings import VllmSettings
from vllm_vigil.sources.told import ASKED_ONCE
from vllm_vigil.units import format_duration, format_size
from vllm_vigil.worker import Worker

ACCEPT = "text/plain;version=0.0.4"
SMALL_ANSWER = 64 * 1024
"""Bytes that `/health`, `/version` and `/v1/models` may have."""

INLINE_PAGE = 1024 * 1024
"""Bytes of a page that is parsed on the loop, in 3 ms, or 25 ms the first time; larger ones go to a thread."""


class Vllm:
    """One server. `read` asks it once; kept are the connection, what it told of itself, and the shape of its page."""

    source = "vllm"

    def __init__(self, settings: VllmSettings, clock: Clock) -> None:
        self.server = settings.server
        self._settings = settings
        self._clock = clock
        self._client: Client | None = None
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
            self._client.close()
            self._client = None

    async def _ask(self) -> tuple[Samples, str | None, dict[str, str]]:
        try:
            client = self._client = self._client or Client(self._settings, ACCEPT)
        except OSError as cause:  # ssl.SSLError is one
            return Samples(), f"cannot use ca_file {self._settings.ca_file}: {words(cause)}", {"health": "unreachable"}
        page, health, told = await asyncio.gather(self._page(client), self._health(client), self._untold(client))
        samples = Samples()
        error = page.error
        if error is None:
            samples, error = await self._parse(page.body)
        self._told = dict.fromkeys(ASKED_ONCE) if error else self._told | told
        return samples, error, {"health": health, **{fact: text for fact, text in self._told.items() if text}}

    # --- the questions

    async def _page(self, client: Client) -> Answer:
        answer = await self._get(client, self._path, self._settings.max_body)
        if answer.status in {307, 308} and urlsplit(answer.location).path.endswith("/metrics/"):
            self._path = "/metrics/"  # vLLM 0.4 sends there
            answer = await self._get(client, self._path, self._settings.max_body)
        if answer.status == 404:
            at_nim = await self._get(client, "/v1/metrics", self._settings.max_body)
            if at_nim.status == 200:
                self._path, answer = "/v1/metrics", at_nim
        if answer.error is None and answer.status != 200:
            return Answer(error=f"{self._path} answered status {answer.status}")
        return answer

    async def _health(self, client: Client) -> str:
        answer = await self._get(client, "/health", SMALL_ANSWER)
        return str(answer.status) if answer.status else "unreachable"

    async def _untold(self, client: Client) -> dict[str, str | None]:
        """What the server tells of itself and has not told yet."""
        untold = [fact for fact, text in self._told.items() if text is None]
        texts = await asyncio.gather(*(self._ask_once(client, fact) for fact in untold))
        return dict(zip(untold, texts, strict=True))

    async def _ask_once(self, client: Client, fact: str) -> str | None:
        """None: no answer, ask again. "": the server does not tell."""
        path, found_in = ASKED_ONCE[fact]
        answer = await self._get(client, path, SMALL_ANSWER)
        if answer.error is not None:
            return None
        return found_in(answer.body) if answer.status == 200 else ""

    async def _get(self, client: Client, path: str, max_bytes: int) -> Answer:
        return await client.get(path, max_bytes, self._settings.timeout)

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
