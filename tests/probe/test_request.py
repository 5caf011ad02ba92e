"""One request gives one answer within its deadline, whatever the server does."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from standins.completions import Answering, hangs, refuses, says, streams
from standins.program import free_port
from standins.vllm import StandInVllm
from vllm_vigil.clock import RealClock
from vllm_vigil.endpoint import Endpoint
from vllm_vigil.probe.answer import Answer, Outcome
from vllm_vigil.probe.question import Api, Question
from vllm_vigil.probe.request import entered
from vllm_vigil.units import Secret

CANARY = "c4n4ry-d0-n0t-sh0w"


@pytest.fixture
def vllm() -> Iterator[StandInVllm]:
    """One that serves `tiny` and says a few words."""
    with StandInVllm() as server:
        server.model = "tiny"
        server.complete = says("once upon a time")
        yield server


def ask(endpoint: Endpoint, question: Question | None = None, model: str = "") -> Answer:
    """One request, after the model's name where none is given."""

    async def run() -> Answer:
        async with entered(endpoint, RealClock()) as server:
            name = model or await server.model(5.0)
            return name if isinstance(name, Answer) else await server.ask(question or Question(), name)

    return asyncio.run(run())


def test_an_answer_holds_its_text_its_times_and_the_servers_count(vllm: StandInVllm) -> None:
    """Four pieces: one first token and three gaps."""
    found = ask(Endpoint(url=vllm.url))
    assert (Outcome.OK, "once upon a time", 4, "") == (found.outcome, found.text, found.tokens, found.error)
    assert found.first_token_seconds is not None
    assert 0 < found.first_token_seconds + sum(found.gaps_seconds) <= found.duration_seconds
    assert 3 == len(found.gaps_seconds)


def test_without_a_count_of_the_servers_the_pieces_are_counted(vllm: StandInVllm) -> None:
    """As of a vLLM that was not asked for usage."""
    vllm.complete = says("a b", usage=False)
    assert 2 == ask(Endpoint(url=vllm.url)).tokens


def test_the_one_token_is_asked_for_and_nothing_else(vllm: StandInVllm) -> None:
    """The least that makes an engine take a step; the request can be told in vLLM's log by its id."""
    ask(Endpoint(url=vllm.url))
    assert [{"model": "tiny", "prompt": "1", "max_tokens": 1, "temperature": 0.0, "stream": True}] == vllm.prompts
    path, headers = vllm.requests[-1]
    assert "/v1/completions" == path
    assert headers["x-request-id"].startswith("vigil-probe-")


def test_a_chat_has_its_messages(vllm: StandInVllm) -> None:
    """The system's words first."""
    found = ask(Endpoint(url=vllm.url), Question("hello", "be brief", Api.CHAT, counted=True))
    assert "once upon a time" == found.text
    assert [("system", "be brief"), ("user", "hello")] == [
        (each["role"], each["content"]) for each in vllm.prompts[0]["messages"]
    ]
    assert {"include_usage": True} == vllm.prompts[0]["stream_options"]


def test_it_enters_as_the_scrape_does(vllm: StandInVllm) -> None:
    """With the headers and the token of the configuration."""
    ask(Endpoint(url=vllm.url, headers={"X-Team": Secret("infra")}, bearer=Secret(CANARY)))
    _, headers = vllm.requests[-1]
    assert ("infra", f"Bearer {CANARY}") == (headers["x-team"], headers["authorization"])


PIECE = 'data: {"choices": [{"text": "a", "finish_reason": null}]}\n\n'
LAST = 'data: {"choices": [{"text": "", "finish_reason": "stop"}]}\n\n'


@pytest.mark.parametrize(
    ("complete", "outcome", "error"),
    [
        (streams(PIECE, LAST), Outcome.OK, ""),
        (streams(PIECE, "data: [DONE]"), Outcome.OK, ""),
        (streams(LAST), Outcome.OK, ""),
        (streams(*(bytes([byte]) for byte in (PIECE + LAST).encode())), Outcome.OK, ""),
        (streams(PIECE), Outcome.FAILED, "the stream ended before the answer did"),
        (streams(PIECE, length=1000), Outcome.FAILED, "the connection was closed before the end of the answer"),
        (streams("data: [DONE]\n\n"), Outcome.FAILED, "the answer holds no token"),
        (streams("<html>Sign in</html>"), Outcome.FAILED, "the stream ended before the answer did"),
        (streams("data: <html>\n\n"), Outcome.FAILED, "the stream holds an event that is not JSON"),
        (
            streams(PIECE, 'data: {"error": {"type": "InternalServerError", "message": "c4n4ry-d0-n0t-sh0w"}}\n\n'),
            Outcome.FAILED,
            "the stream holds an error of type InternalServerError",
        ),
        (refuses(500, {}), Outcome.FAILED, "/v1/completions answered status 500"),
        (refuses(503, {}), Outcome.FAILED, "/v1/completions answered status 503"),
        (refuses(400, {"error": {"message": CANARY}}), Outcome.REFUSED, "/v1/completions answered status 400"),
        (refuses(401, {}), Outcome.REFUSED, "/v1/completions answered status 401"),
        (refuses(429, []), Outcome.REFUSED, "/v1/completions answered status 429"),
        (streams(PIECE * 200_000), Outcome.FAILED, "the stream holds more than 8 MiB"),
    ],
)
def test_every_end_has_its_outcome_and_its_words(
    vllm: StandInVllm, complete: Answering, outcome: Outcome, error: str
) -> None:
    """And nothing that the server said is among the words."""
    vllm.complete = complete
    found = ask(Endpoint(url=vllm.url), Question(timeout_seconds=60.0))
    assert (outcome, error) == (found.outcome, found.error)


def test_what_the_server_says_of_a_refusal_is_kept_for_the_person_who_asked(vllm: StandInVllm) -> None:
    """Beside the words, and masked."""
    vllm.complete = refuses(400, {"error": {"message": "max_tokens is too large\x1b[2J"}})
    assert "max_tokens is too large" == ask(Endpoint(url=vllm.url)).detail.strip()


def test_at_the_deadline_the_connection_is_closed(vllm: StandInVllm) -> None:
    """So that vLLM drops the request; a first token that came is kept."""
    vllm.complete = hangs
    found = ask(Endpoint(url=vllm.url), Question(timeout_seconds=1))
    assert (Outcome.TIMEOUT, "a first token did not come within 1s") == (found.outcome, found.error)
    assert found.first_token_seconds is None
    assert found.duration_seconds >= 1


def test_a_server_that_cannot_be_reached_has_failed() -> None:
    """In the operating system's words."""
    found = ask(Endpoint(url=f"http://127.0.0.1:{free_port()}"), model="tiny")
    assert (Outcome.FAILED, "connection refused") == (found.outcome, found.error)


def test_a_server_that_names_no_model_is_not_asked(vllm: StandInVllm) -> None:
    """With what to do about it."""
    vllm.model = None
    found = ask(Endpoint(url=vllm.url))
    assert (Outcome.REFUSED, "/v1/models answered status 404") == (found.outcome, found.error)
    assert [] == vllm.prompts


def test_a_ca_file_that_is_none_is_an_oserror(tmp_path: Path) -> None:
    """Of the caller's."""
    (tmp_path / "ca.pem").write_text("nonsense")
    with pytest.raises(OSError, match=r"."):
        ask(Endpoint(url="https://127.0.0.1:9", ca_file=tmp_path / "ca.pem"))


def test_a_question_is_json_that_vllm_takes() -> None:
    """A prompt of any text."""
    assert '"prompt": "\\ud83d\\ude00\\n"' in json.dumps(Question("😀\n").body("m"))
