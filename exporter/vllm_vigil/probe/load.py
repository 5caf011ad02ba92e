"""A bounded number of requests, so many at a time -> what a person compares two servers by.

Not a load generator: one process and one loop, which measure a few hundred requests a second before they measure
themselves. A gap is the span between two pieces of a stream, each of one token or, where vLLM sends several at once,
more.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from vllm_vigil.probe.answer import Answer, Outcome
from vllm_vigil.probe.question import Question
from vllm_vigil.probe.request import Server

MAX_REQUESTS = 10_000
MAX_CONCURRENCY = 256
QUANTILES = {"p50": 0.50, "p95": 0.95, "p99": 0.99}


@dataclass(frozen=True, slots=True)
class Figures:
    """What a load came to. The quantiles are those of the answers that came to a good end, and empty without one."""

    seconds: float
    outcomes: Mapping[Outcome, int]
    errors: Mapping[str, int]
    tokens: int
    first_token: Mapping[str, float]
    inter_token: Mapping[str, float]
    total: Mapping[str, float]

    @property
    def requests_per_second(self) -> float:
        """Of those that came to a good end."""
        return self.outcomes.get(Outcome.OK, 0) / self.seconds if self.seconds else 0.0

    @property
    def tokens_per_second(self) -> float:
        """Of all that was generated."""
        return self.tokens / self.seconds if self.seconds else 0.0


async def load(
    server: Server, model: str, questions: Iterable[Question], concurrency: int, ended: Callable[[], None]
) -> list[Answer]:
    """Ask every question, so many at a time; `ended` is called after each."""
    answers: list[Answer] = []
    waiting = iter(questions)

    async def client() -> None:
        for question in waiting:
            answers.append(await server.ask(question, model))
            ended()

    async with asyncio.TaskGroup() as group:
        for _ in range(concurrency):
            group.create_task(client())
    return answers


def figures(answers: Sequence[Answer], seconds: float) -> Figures:
    """What the answers of a load that took so long come to."""
    good = [answer for answer in answers if answer.outcome is Outcome.OK]
    return Figures(
        seconds=seconds,
        outcomes=Counter(answer.outcome for answer in answers),
        errors=Counter(answer.error for answer in answers if answer.error),
        tokens=sum(answer.tokens for answer in answers),
        first_token=_quantiles(each.first_token_seconds for each in good if each.first_token_seconds is not None),
        inter_token=_quantiles(gap for answer in good for gap in answer.gaps_seconds),
        total=_quantiles(answer.duration_seconds for answer in good),
    )


def _quantiles(values: Iterable[float]) -> dict[str, float]:
    ordered = sorted(values)
    return {name: _quantile(ordered, share) for name, share in QUANTILES.items()} if ordered else {}


def _quantile(ordered: Sequence[float], share: float) -> float:
    """Between the two nearest values, as numpy and most load testers have it."""
    place = share * (len(ordered) - 1)
    below, above = math.floor(place), math.ceil(place)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def rounds(questions: Sequence[Question], count: int) -> Iterator[Question]:
    """So many questions, one after the other and from the front again."""
    return (questions[at % len(questions)] for at in range(count))
