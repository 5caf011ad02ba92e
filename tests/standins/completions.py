"""How a stand-in vLLM answers a prompt: as vLLM 0.32 does, in pieces, badly, or not at all."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from standins.vllm import Request

Answering = Callable[[Request], None]


def says(text: str, *, finish: str = "length", usage: bool = True) -> Answering:
    """Stream the text, a word a piece; completions or chat, as the path asks."""

    def answer(request: Request) -> None:
        words = text.split(" ")
        pieces = [word if at == 0 else f" {word}" for at, word in enumerate(words)]
        events = [_event(request, piece) for piece in pieces[:-1]]
        events.append(_event(request, pieces[-1], finish))
        if usage:
            counted = {"completion_tokens": len(words), "prompt_tokens": 1}
            events.append({"object": "text_completion", "choices": [], "usage": counted})
        stream(request, [f"data: {json.dumps(event)}\n\n" for event in events] + ["data: [DONE]\n\n"])

    return answer


def by_prompt(answers: dict[str, str]) -> Answering:
    """To each prompt that holds one of these words its text; to others `...`."""

    def answer(request: Request) -> None:
        asked = json.dumps(request.standin.prompts[-1])
        says(next((text for word, text in answers.items() if word in asked), "..."))(request)

    return answer


def streams(*parts: str | bytes, length: int | None = None) -> Answering:
    """Exactly these bytes as an event stream; with a `length` the head promises so many."""

    def answer(request: Request) -> None:
        stream(request, parts, length)

    return answer


def refuses(status: int, document: object) -> Answering:
    """That status, with a JSON body."""
    return lambda request: request.answer(status, json.dumps(document).encode(), "application/json")


def hangs(request: Request) -> None:
    """Begin an answer and never send a token, as a hung engine behind a living API server."""
    request.begin(200, "text/event-stream", None)
    request.wfile.flush()
    request.standin.left.wait()


def stream(request: Request, parts: Sequence[str | bytes], length: int | None = None) -> None:
    """Send the parts one by one."""
    request.begin(200, "text/event-stream", length)
    for part in parts:
        request.wfile.write(part.encode() if isinstance(part, str) else part)
        request.wfile.flush()
    request.close_connection = True


def _event(request: Request, piece: str, finish: str | None = None) -> dict[str, Any]:
    if "chat" in request.path:
        return {"choices": [{"delta": {"content": piece}, "finish_reason": finish}]}
    return {"choices": [{"text": piece, "finish_reason": finish}]}
