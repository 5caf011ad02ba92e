"""The answers for load balancers and supervisors, state by state."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from standins.scenes import engine
from vllm_vigil.exposition.answer import Answer
from vllm_vigil.exposition.health import HEARTBEAT_LIMIT_SECONDS, alive, begun, health, ready
from vllm_vigil.model import EngineState

TABLE = {  # state: status of /health, of /ready
    EngineState.HEALTHY: (200, 200),
    EngineState.IDLE: (200, 200),
    EngineState.STARTING: (200, 503),
    EngineState.ASLEEP: (200, 503),
    EngineState.STALLED: (200, 503),
    EngineState.SPINNING: (200, 503),
    EngineState.FROZEN_METRICS: (200, 200),
    EngineState.DEAD: (503, 503),
    EngineState.UNREACHABLE: (503, 503),
}


def read(answer: Answer) -> dict[str, Any]:
    """The body, as its reader gets it."""
    found: dict[str, Any] = json.loads(answer.body)
    return found


@pytest.mark.parametrize("state", EngineState)
def test_every_state_has_its_two_answers(state: EngineState) -> None:
    """`/health` fails for what a restart would help, `/ready` for all that cannot infer; both name the state."""
    answers = [ask(["llama"], [engine(state)], None) for ask in (health, ready)]
    assert TABLE[state] == tuple(answer.status for answer in answers)
    for answer in answers:
        body = read(answer)
        assert body["ok"] is (answer.status == 200)
        assert body["servers"][0]["engines"][0]["state"] == state
        assert body["ok"] or body["why"] == f"llama: engine 0 is {state} (3 running, 18 tokens/s)"


@pytest.mark.parametrize("ask", [health, ready])
def test_what_is_not_known_is_not_healthy(ask: Callable[..., Answer]) -> None:
    """No server, or one of which nothing was heard, is 503 with the reason."""
    assert (503, "no vLLM server is configured") == (ask([], [], None).status, read(ask([], [], None))["why"])
    silent = ask(["a", "b"], [engine(EngineState.HEALTHY, "a")], None)
    assert (503, "b: nothing has been heard of it yet") == (silent.status, read(silent)["why"])


@pytest.mark.parametrize("ask", [health, ready])
def test_one_bad_engine_of_several_spoils_the_answer(ask: Callable[..., Answer]) -> None:
    """All engines of all servers must be fine; a server asked for by name answers for itself alone."""
    engines = [engine(EngineState.HEALTHY, "a"), engine(EngineState.DEAD, "a"), engine(EngineState.IDLE, "b")]
    answers = [ask(["a", "b"], engines, wanted) for wanted in (None, "a", "b")]
    assert [503, 503, 200] == [answer.status for answer in answers]
    assert ["b"] == [each["server"] for each in read(answers[2])["servers"]]


def test_an_unknown_server_is_404_and_its_name_is_not_repeated() -> None:
    """What was asked for is not reflected."""
    answer = health(["llama"], [engine(EngineState.HEALTHY)], "<b>qwen")
    assert answer.status == 404
    assert b"qwen" not in answer.body


def test_reasons_are_masked() -> None:
    """A reason that quotes a log gives no secret away and no control characters."""
    hostile = engine(EngineState.DEAD, why="died: api_key=sk-abcdef123456 \x1b[31m")
    assert b"abcdef" not in health(["llama"], [hostile], None).body
    assert b"u001b" not in health(["llama"], [hostile], None).body


def test_the_loop_is_alive_while_the_sampler_goes_round() -> None:
    """A heartbeat older than the limit is 503."""
    ages = (0.0, HEARTBEAT_LIMIT_SECONDS - 0.1, HEARTBEAT_LIMIT_SECONDS)
    assert [200, 200, 503] == [alive(age).status for age in ages]


def test_ready_after_the_first_tick_of_every_part() -> None:
    """Until then 503, with the parts that are waited for."""
    waiting = begun(["vllm llama", "nvml"])
    assert (503, b"not ready: waiting for vllm llama, nvml\n") == (waiting.status, waiting.body)
    assert (200, b"ready\n") == (begun([]).status, begun([]).body)
