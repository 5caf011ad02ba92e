"""What a server is asked: a prompt, where it is sent, and the body of the request as vLLM takes it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Api(StrEnum):
    """Where a prompt is sent. Not every model has a chat template; every one that generates has completions."""

    COMPLETIONS = "completions"
    CHAT = "chat"


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked. `counted` wants the server's own count of tokens, which vLLM has from 0.4.3 on."""

    prompt: str = "1"
    system: str | None = None
    api: Api = Api.COMPLETIONS
    max_tokens: int = 1
    temperature: float = 0.0
    timeout_seconds: float = 10.0
    counted: bool = False

    @property
    def path(self) -> str:
        """Where it is sent."""
        return "/v1/chat/completions" if self.api is Api.CHAT else "/v1/completions"

    def body(self, model: str) -> dict[str, Any]:
        """As vLLM takes it."""
        says: dict[str, Any] = {"prompt": self.prompt}
        if self.api is Api.CHAT:
            system = [{"role": "system", "content": self.system}] if self.system is not None else []
            says = {"messages": [*system, {"role": "user", "content": self.prompt}]}
        usage = {"stream_options": {"include_usage": True}} if self.counted else {}
        options = {"model": model, "max_tokens": self.max_tokens, "temperature": self.temperature, "stream": True}
        return says | options | usage
