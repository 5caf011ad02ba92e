"""`POST /api/v1/alerts/webhook` -> an answer that Alertmanager understands, once the alerts are on the disk.

Alertmanager tries again after a 5xx and never after a 4xx, 429 included. So what cannot be kept now is 503, and what
is no webhook of its version is 400, in words that say what was expected and repeat nothing of it.

Off unless a token is set; without the token nothing is parsed, and no more is read than any refused request is read.
"""

from __future__ import annotations

import hmac
import json
import re
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol

from vllm_vigil.exposition.answer import Answer, plain
from vllm_vigil.exposition.site import Receive, Request, drain, read_body
from vllm_vigil.units import Secret

BODY_BYTES = 1024 * 1024
DEPTH = 16
"""Levels of nesting; Alertmanager's has four."""

_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_BRACKET = re.compile(rb"[\[\]{}]")


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why alerts were not taken; `later` says that they may be sent again."""

    text: str
    later: bool = False


class Inbox(Protocol):
    """Who takes the alerts."""

    def webhook_token(self) -> Secret | None:
        """What the sender must know; None while nothing is taken."""
        ...

    def take_alerts(self, document: object) -> Refusal | None:
        """Keep what a document tells, before this returns; or say why not."""
        ...


class Webhook:
    """The way in for Alertmanager."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox

    async def __call__(self, request: Request, receive: Receive) -> Answer | None:
        """Answer; None while it is off."""
        token = self._inbox.webhook_token()
        if token is None:
            return None
        refused = _refuse(request, token)
        if refused is not None:
            return await drain(request, receive) or refused
        body = await read_body(request, receive, BODY_BYTES)
        if isinstance(body, Answer):
            return body
        try:
            document = parse(body)
        except ValueError as error:
            return plain(400, str(error))
        refusal = self._inbox.take_alerts(document)
        if refusal is None:
            return plain(200, "taken")
        return plain(503, refusal.text, ("Retry-After", "30")) if refusal.later else plain(400, refusal.text)


def parse(body: bytes) -> Any:
    """The JSON document. Raises ValueError, which holds nothing of it."""
    depth = 0
    for bracket in _BRACKET.findall(_STRING.sub(b"", body)):
        depth += 1 if bracket in b"[{" else -1
        if depth > DEPTH:
            raise ValueError(f"the JSON is nested deeper than {DEPTH} levels")
    try:
        return json.loads(body.decode("utf-8"), parse_constant=_no_number)
    except ValueError:
        raise ValueError("the body is not JSON in UTF-8") from None


def _refuse(request: Request, token: Secret) -> Answer | None:
    if request.method != "POST":
        return plain(405, "only POST here", ("Allow", "POST"))
    scheme, _, given = request.header("authorization").partition(" ")
    known = hmac.compare_digest(given.strip().encode("latin-1"), token.reveal().encode("utf-8"))
    if not known or scheme.lower() != "bearer":
        return plain(401, "the bearer token of alertmanager.webhook_token is needed", ("WWW-Authenticate", "Bearer"))
    if request.header("content-type").partition(";")[0].strip().lower() != "application/json":
        return plain(415, "the body must be application/json")
    if request.header("content-encoding").lower() not in ("", "identity"):
        return plain(415, "the body must not be compressed")
    return None


def _no_number(_: str) -> NoReturn:
    raise ValueError("JSON has no such number")
