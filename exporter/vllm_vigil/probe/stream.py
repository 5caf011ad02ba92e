"""Bytes of a server-sent event stream -> the payloads of its events, and what vLLM means by one.

The bytes may be cut anywhere, also within a line end or a character. Of the standard only `data` is used; comments
(proxies send them to keep a connection open), `event`, `id` and `retry` are passed over.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

DONE = "[DONE]"
_KIND = re.compile(r"[\w.-]{1,60}")


class Events:
    """Takes a stream in pieces."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest = ""
        self._data: list[str] = []

    def feed(self, piece: bytes) -> Iterator[str]:
        """The payloads of the events that this piece completes."""
        text = self._rest + self._decoder.decode(piece)
        if text.endswith("\r"):  # the other half of its line end may come
            text, kept = text[:-1], "\r"
        else:
            kept = ""
        *lines, self._rest = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        self._rest += kept
        for line in lines:
            yield from self._line(line)

    def end(self) -> Iterator[str]:
        """The payload of an event that was not closed by an empty line, which some servers leave out at the end."""
        yield from self._line(self._rest.rstrip("\r"))
        yield from self._line("")
        self._rest = ""

    def _line(self, line: str) -> Iterator[str]:
        if line:
            name, _, value = line.partition(":")
            if name == "data":
                self._data.append(value.removeprefix(" "))
        elif self._data:
            yield "\n".join(self._data)
            self._data = []


@dataclass(frozen=True, slots=True)
class Piece:
    """One event of a completion: `said` whether it carries tokens, `finish` why it ended, `tokens` the usage if told.

    `error` is its kind if the server reports one, and `detail` what it says of it.
    """

    text: str = ""
    said: bool = False
    finish: str = ""
    tokens: int | None = None
    error: str = ""
    detail: str = ""


def piece_of(payload: str) -> Piece:
    """What a payload of `/v1/completions` or `/v1/chat/completions` says; one that is no JSON object is an error."""
    try:
        document = json.loads(payload)
    except (ValueError, RecursionError):
        return Piece(error="an event that is not JSON")
    if not isinstance(document, dict):
        return Piece(error="an event that is not a JSON object")
    if "error" in document or document.get("object") == "error":
        return _error(document)
    choice = _first(document.get("choices"))
    delta = _mapping(choice.get("delta"))
    text = choice.get("text") or delta.get("content") or ""
    thought = delta.get("reasoning_content") or delta.get("reasoning") or ""
    tokens = _mapping(document.get("usage")).get("completion_tokens")
    return Piece(
        text=text if isinstance(text, str) else "",
        said=bool(text or thought),
        finish=str(choice.get("finish_reason") or ""),
        tokens=tokens if type(tokens) is int and tokens >= 0 else None,
    )


def _error(document: dict[str, Any]) -> Piece:
    """vLLM writes `{"error": {"type", "code", "message"}}`; before 0.10 the same without the outer object."""
    inner = _mapping(document.get("error")) or document
    kind = str(inner.get("type") or inner.get("code") or "")
    named = f" of type {kind}" if _KIND.fullmatch(kind) else ""  # a word, and no place for what somebody wrote
    return Piece(error=f"an error{named}", detail=str(inner.get("message") or ""))


def _first(choices: object) -> dict[str, Any]:
    return _mapping(choices[0]) if isinstance(choices, list) and choices else {}


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
