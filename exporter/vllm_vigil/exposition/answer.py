"""What one request is answered with, before any server knows of it: status, body, type, headers."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

TEXT = "text/plain; charset=utf-8"
HTML = "text/html; charset=utf-8"
JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer. `headers` are those beside Content-Type, Content-Length and what every answer carries."""

    status: int
    body: bytes
    content_type: str = TEXT
    headers: tuple[tuple[str, str], ...] = ()


def plain(status: int, text: str, *headers: tuple[str, str]) -> Answer:
    """One line for people. Never with words of the request in it: what is not reflected cannot be abused."""
    return Answer(status, f"{text}\n".encode("utf-8", "replace"), TEXT, headers)


def document(status: int, body: dict[str, Any]) -> Answer:
    """A JSON document. In ASCII, so that no text can break its encoding."""
    return Answer(status, json.dumps(body, ensure_ascii=True, allow_nan=False).encode("ascii") + b"\n", JSON)
