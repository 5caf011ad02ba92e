"""The figures of a load are what its answers say, by the usual arithmetic."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from vllm_vigil.clock import RealClock, settle
from vllm_vigil.probe.answer import Answer, Outcome
from vllm_vigil.probe.load import Figures, figures, load, rounds
from vllm_vigil.probe.question import Question
from vllm_vigil.probe.request import Server


def of(*answers: Answer, seconds: float = 2.0) -> Figures:
    """Of a load that took two seconds."""
    return figures(answers, seconds)


def good(total: float, first: float = 0.1, gaps: tuple[float, ...] = (), tokens: int = 1) -> Answer:
    """One that came to its end."""
    return Answer(Outcome.OK, total, first, gaps, tokens)


def test_quantiles_lie_between_the_nearest_values() -> None:
    """As numpy's: of 0 to 100 the p99 is 99."""
    found = of(*(good(float(value)) for value in range(101)))
    assert {"p50": 50.0, "p95": 95.0, "p99": 99.0} == found.total
    two = of(good(1.0), good(2.0)).total
    assert {"p50": 1.5, "p95": 1.95, "p99": 1.99} == pytest.approx(two)


def test_rates_are_of_what_came_to_its_end_and_of_every_token() -> None:
    """Two of three requests, and the tokens of the broken one too."""
    broken = Answer(Outcome.TIMEOUT, 9.0, 0.1, (8.0,), 3, error="its end did not come within 9s")
    found = of(good(1.0, tokens=4), good(1.5, gaps=(0.2, 0.4), tokens=3), broken)
    assert (1.0, 5.0) == (found.requests_per_second, found.tokens_per_second)
    assert {Outcome.OK: 2, Outcome.TIMEOUT: 1} == found.outcomes
    assert {"its end did not come within 9s": 1} == found.errors
    assert 0.3 == pytest.approx(found.inter_token["p50"])
    assert 1.5 >= found.total["p99"]


def test_nothing_gives_nothing() -> None:
    """And divides by nothing."""
    found = of(seconds=0.0)
    assert ({}, {}, {}, 0.0, 0.0) == (
        found.first_token,
        found.inter_token,
        found.total,
        found.requests_per_second,
        found.tokens_per_second,
    )


def test_the_prompts_are_asked_in_turn() -> None:
    """As many as are wanted."""
    a, b = Question("a"), Question("b")
    assert [a, b, a, b, a] == list(rounds([a, b], 5))


def test_so_many_are_on_their_way_at_a_time_and_no_more() -> None:
    """Each client asks its next when its last has been answered."""
    busy: list[int] = []

    class Counting(Server):
        """Keeps how many are being asked."""

        now = 0

        async def ask(self, question: Question, model: str) -> Answer:
            """Take a few turns of the loop."""
            assert ("1", "m") == (question.prompt, model)
            self.now += 1
            busy.append(self.now)
            await settle()
            self.now -= 1
            return good(1.0)

    async def run() -> list[Answer]:
        async with httpx.AsyncClient() as client:
            return await load(Counting(client, RealClock()), "m", rounds([Question()], 20), 3, lambda: None)

    assert 20 == len(asyncio.run(run()))
    assert 3 == max(busy)
