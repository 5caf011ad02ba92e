"""One streaming request to a vLLM server -> an Answer, within its deadline, whatever the server does.

Promise: at the deadline the connection is closed, by which vLLM drops the request. What the server says is bounded in
size and its words go nowhere by themselves. Each request carries an id that begins with `vigil-probe-`, so that its
lines in vLLM's log are known.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise

import httpx

from vllm_vigil.clock import Clock
from vllm_vigil.endpoint import Endpoint, trust, words
from vllm_vigil.probe.answer import Answer, Outcome
from vllm_vigil.probe.question import Question
from vllm_vigil.probe.stream import DONE, Events, Piece, piece_of
from vllm_vigil.redact import mask
from vllm_vigil.units import format_duration

MAX_BODY = 8 * 1024 * 1024
SMALL_BODY = 64 * 1024
MAX_WORDS = 200


@dataclass(slots=True)
class _Heard:
    """What has come of an answer so far."""

    began: float
    times: list[float] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    tokens: int | None = None
    finished: bool = False
    wrong: Piece | None = None

    def take(self, piece: Piece, now: float) -> None:
        """One event. The end of an answer counts as a token's time when no text came: its one token may have none."""
        if piece.said or (piece.finish and not self.times):
            self.times.append(now)
            self.texts.append(piece.text)
        self.finished |= bool(piece.finish)
        self.tokens = self.tokens if piece.tokens is None else piece.tokens
        if piece.error:
            self.wrong = piece

    def answer(self, outcome: Outcome, now: float, error: str = "", detail: str = "") -> Answer:
        """What it comes to at its end."""
        gaps = tuple(later - earlier for earlier, later in pairwise(self.times))
        return Answer(
            outcome,
            duration_seconds=now - self.began,
            first_token_seconds=self.times[0] - self.began if self.times else None,
            gaps_seconds=gaps,
            tokens=len(self.times) if self.tokens is None else self.tokens,
            text="".join(self.texts),
            error=mask(error, MAX_WORDS),
            detail=mask(detail, MAX_WORDS),
        )


class Server:
    """A vLLM server that is asked through at most so many connections at a time. Raises OSError if `ca_file` is bad."""

    def __init__(self, client: httpx.AsyncClient, clock: Clock) -> None:
        self._client = client
        self._clock = clock

    async def model(self, timeout_seconds: float) -> str | Answer:
        """The name of the first model that it serves, or the answer that says why it cannot be told."""
        heard = _Heard(self._clock.monotonic())
        try:
            async with asyncio.timeout(timeout_seconds), self._client.stream("GET", "/v1/models") as response:
                body = await _body(response, SMALL_BODY)
        except TimeoutError:
            return self._late(heard, timeout_seconds)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return heard.answer(Outcome.FAILED, self._clock.monotonic(), _broken(error))
        if response.status_code != 200:
            return self._not_taken(heard, "/v1/models", response.status_code, body)
        name = _first_model(body)
        return name or heard.answer(Outcome.REFUSED, self._clock.monotonic(), "/v1/models names no model: set one")

    async def ask(self, question: Question, model: str) -> Answer:
        """Ask once."""
        heard = _Heard(self._clock.monotonic())
        headers = {"X-Request-Id": f"vigil-probe-{uuid.uuid4().hex}"}
        try:
            async with (
                asyncio.timeout(question.timeout_seconds),
                self._client.stream("POST", question.path, json=question.body(model), headers=headers) as response,
            ):
                if response.status_code != 200:
                    body = await _body(response, SMALL_BODY)
                    return self._not_taken(heard, question.path, response.status_code, body)
                await self._hear(response, heard)
        except TimeoutError:
            return self._late(heard, question.timeout_seconds)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return heard.answer(Outcome.FAILED, self._clock.monotonic(), _broken(error))
        return self._judged(heard)

    async def _hear(self, response: httpx.Response, heard: _Heard) -> None:
        """Take in the stream up to its end, its `[DONE]` or its first error."""
        events, size = Events(), 0
        async for raw in response.aiter_raw():
            size += len(raw)
            if size > MAX_BODY:
                heard.wrong = Piece(error="more than 8 MiB")
                return
            for payload in events.feed(raw):
                if payload == DONE:
                    heard.finished = True
                    return
                heard.take(piece_of(payload), self._clock.monotonic())
                if heard.wrong is not None:
                    return
        for payload in events.end():
            if payload == DONE:
                heard.finished = True
            else:
                heard.take(piece_of(payload), self._clock.monotonic())

    def _judged(self, heard: _Heard) -> Answer:
        now = self._clock.monotonic()
        if heard.wrong is not None:
            return heard.answer(Outcome.FAILED, now, f"the stream holds {heard.wrong.error}", heard.wrong.detail)
        if not heard.finished:
            return heard.answer(Outcome.FAILED, now, "the stream ended before the answer did")
        if not heard.times:
            return heard.answer(Outcome.FAILED, now, "the answer holds no token")
        return heard.answer(Outcome.OK, now)

    def _late(self, heard: _Heard, timeout_seconds: float) -> Answer:
        begun = "its end" if heard.times else "a first token"
        text = f"{begun} did not come within {format_duration(timeout_seconds)}"
        return heard.answer(Outcome.TIMEOUT, self._clock.monotonic(), text)

    def _not_taken(self, heard: _Heard, path: str, status: int, body: bytes) -> Answer:
        outcome = Outcome.REFUSED if 400 <= status < 500 else Outcome.FAILED
        detail = piece_of(body.decode("utf-8", "replace")).detail
        return heard.answer(outcome, self._clock.monotonic(), f"{path} answered status {status}", detail)


@asynccontextmanager
async def entered(endpoint: Endpoint, clock: Clock, connections: int = 1) -> AsyncIterator[Server]:
    """The server, for as long as it is asked. Raises OSError when `ca_file` cannot be used."""
    async with httpx.AsyncClient(
        base_url=endpoint.url,
        headers=endpoint.to_send() | {"accept": "*/*"},
        verify=trust(endpoint) or False,
        timeout=None,  # noqa: S113  # one deadline stands around every request
        limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
        trust_env=False,
    ) as client:
        yield Server(client, clock)


async def _body(response: httpx.Response, max_bytes: int) -> bytes:
    """As much of a body as is worth reading."""
    body = bytearray()
    async for piece in response.aiter_raw():
        body += piece
        if len(body) > max_bytes:
            break
    return bytes(body[:max_bytes])


def _broken(error: BaseException) -> str:
    if isinstance(error, httpx.RemoteProtocolError):
        return "the connection was closed before the end of the answer"
    return words(error)


def _first_model(body: bytes) -> str:
    try:
        models = json.loads(body)["data"]
        name = models[0]["id"]
    except (ValueError, RecursionError, LookupError, TypeError):
        return ""
    return name if isinstance(name, str) else ""
