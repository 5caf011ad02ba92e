"""A suite: prompts with what is expected of their answers, asked one after the other -> a result each."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

from vllm_vigil.probe.answer import Answer
from vllm_vigil.probe.checks import PromptSettings, Unmet, unmet
from vllm_vigil.probe.question import Api, Question
from vllm_vigil.units import Seconds

MAX_TOKENS = 4096
MAX_PROMPTS = 200


@dataclass(frozen=True, slots=True)
class Suite:
    """As written in a file of its own. Without `model` it is the first that the server names."""

    IN_A_FILE: ClassVar[bool] = True
    """A configuration may name the file in its place."""

    model: str | None = None
    api: Api = Api.COMPLETIONS
    max_tokens: int = 64
    temperature: float = 0.0
    timeout: Seconds = Seconds(60.0)
    prompts: Mapping[str, PromptSettings] = field(default_factory=dict)

    def problems(self) -> Iterator[tuple[str, str]]:
        """What cannot be asked."""
        if not 1 <= len(self.prompts) <= MAX_PROMPTS:
            yield "prompts", f"must hold from 1 to {MAX_PROMPTS} prompts"
        if not 1 <= self.max_tokens <= MAX_TOKENS:
            yield "max_tokens", f"must be from 1 to {MAX_TOKENS}"
        if not 0 <= self.temperature <= 2:
            yield "temperature", "must be from 0 to 2"
        if self.timeout <= 0:
            yield "timeout", "must be more than 0s"
        for name, prompt in self.prompts.items():
            if prompt.system is not None and self.api is not Api.CHAT:
                yield f"prompts.{name}.system", "needs `api: chat`: a completion has no system message"
            if (prompt.max_tokens or 0) > MAX_TOKENS:
                yield f"prompts.{name}.max_tokens", f"must be from 1 to {MAX_TOKENS}"

    def question(self, name: str) -> Question:
        """The prompt of that name, as it is asked."""
        prompt = self.prompts[name]
        return Question(
            prompt=prompt.prompt,
            system=prompt.system,
            api=self.api,
            max_tokens=self.max_tokens if prompt.max_tokens is None else prompt.max_tokens,
            temperature=self.temperature if prompt.temperature is None else prompt.temperature,
            timeout_seconds=self.timeout,
            counted=True,
        )


@dataclass(frozen=True, slots=True)
class Result:
    """One prompt of a suite: the answer, and which checks it does not meet."""

    name: str
    answer: Answer
    unmet: tuple[Unmet, ...]


class Server(Protocol):
    """Who is asked."""

    async def ask(self, question: Question, model: str) -> Answer:
        """Ask once."""
        ...


async def results(suite: Suite, server: Server, model: str) -> AsyncIterator[Result]:
    """Ask every prompt of a suite, one after the other."""
    for name, expected in suite.prompts.items():
        answer = await server.ask(suite.question(name), model)
        yield Result(name, answer, unmet(answer, expected))
