"""The play in a directory and on ports of this machine, without waiting."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from standins.log_replay import events_of, incidents_of, records_of
from standins.program import free_port, parse
from vllm_vigil.config.load import Recipe
from vllm_vigil.config.overlay import Given
from vllm_vigil.demo.log import TURNS
from vllm_vigil.demo.play import Play
from vllm_vigil.demo.script import DAY, Act, Mood, Scene, only

SERVING = Scene("traffic", 30)


@pytest.fixture
def play(tmp_path: Path) -> Iterator[Play]:
    """A play that is prepared."""
    found = Play(tmp_path, 0)
    found.prepare()
    yield found
    found.end()


def quick(play: Play, *scenes: Scene) -> None:
    """Play without pauses."""
    play.play(scenes, say=lambda _: None, pause=lambda _: None)


def ask(play: Play, path: str, document: object = None, server: str = "chat") -> tuple[int, bytes]:
    """GET a path, or POST a document to it."""
    body = None if document is None else json.dumps(document).encode()
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{play.ports[server].port}{path}", body, timeout=60) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def body(play: Play, path: str, document: object = None) -> Any:
    """The JSON of an answer."""
    return json.loads(ask(play, path, document)[1])


def test_it_serves_what_the_sidecar_asks_for(play: Play) -> None:
    """Page, health, version, models."""
    quick(play, SERVING)
    assert parse(ask(play, "/metrics")[1].decode())[
        "vllm:generation_tokens_total", frozenset({("engine", "1"), ("model_name", "llama-3.3-70b")})
    ]
    assert (200, b"") == ask(play, "/health")
    assert {"version": "0.32.0"} == body(play, "/version")
    assert ("llama-3.3-70b", 32_768) == tuple(
        body(play, "/v1/models")["data"][0][key] for key in ("id", "max_model_len")
    )
    assert 404 == ask(play, "/nothing")[0]


def test_it_answers_completions_whole_and_as_streams(play: Play) -> None:
    """As vLLM's OpenAI server does, so that a probe can be shown."""
    quick(play, SERVING)
    whole = body(play, "/v1/completions", {"prompt": "Hi", "max_tokens": 3})
    assert ("text_completion", 3) == (whole["object"], whole["usage"]["completion_tokens"])
    chat = body(play, "/v1/chat/completions", {"messages": [], "max_tokens": 2})
    assert "assistant" == chat["choices"][0]["message"]["role"]
    stream = ask(play, "/v1/chat/completions", {"messages": [], "max_tokens": 2, "stream": True})[1].decode()
    events = [line.removeprefix("data: ") for line in stream.splitlines() if line]
    assert [None, "length"] == [json.loads(event)["choices"][0]["finish_reason"] for event in events[:-1]]
    assert "[DONE]" == events[-1]
    assert 404 == ask(play, "/v1/completions", {"model": "another"})[0]
    assert 400 == ask(play, "/v1/completions", [])[0]


def test_a_request_waits_for_an_engine_that_hangs(play: Play) -> None:
    """/health says 200 all the while; when the server goes, the request is cut off."""
    quick(play, SERVING, Scene("", 1, only(chat=Act(Mood.HANGING))))
    assert 200 == ask(play, "/health")[0]
    with pytest.raises(TimeoutError):
        urllib.request.urlopen(f"http://127.0.0.1:{play.ports['chat'].port}/v1/completions", b"{}", timeout=0.5)


def test_a_server_that_is_down_refuses(play: Play) -> None:
    """Its port is closed, the other's is not."""
    quick(play, SERVING, Scene("", 1, only(chat=Act(Mood.DOWN, 0, log="cuda_oom"))))
    with pytest.raises(urllib.error.URLError):
        ask(play, "/health")
    assert 200 == ask(play, "/health", server="code")[0]


def test_its_configuration_is_a_good_one(tmp_path: Path) -> None:
    """It names both servers, their logs and the machine file."""
    Play(tmp_path, 0).prepare()
    config = Recipe(tmp_path / "vigil.yaml", Given("flag --{}"), {}).load().config
    assert ["chat", "code"] == [server.server for server in config.vllm]
    assert [tmp_path / "chat.log", tmp_path / "code.log"] == [Path(str(server.logs[0].path)) for server in config.vllm]
    assert tmp_path / "machine.txt" == config.gpu.machine
    assert tmp_path / "state" == config.state_dir


def test_a_port_that_is_taken_is_said_at_once(play: Play, tmp_path: Path) -> None:
    """Before anything is played."""
    quick(play, SERVING)
    with pytest.raises(OSError, match="in use"):
        Play(tmp_path, play.ports["chat"].port).prepare()


def test_its_crash_reads_as_a_crash(tmp_path: Path) -> None:
    """The built-in patterns and rules tell one OOM, with the death of the engine as its consequence."""
    play = Play(tmp_path, free_port())
    play.prepare()
    quick(play, Scene("", 1, only(chat=Act(Mood.DOWN, 0, log="cuda_oom"))))
    incidents = incidents_of(events_of(records_of((tmp_path / "chat.log").read_bytes())))
    assert ["cuda_oom"] == [incident.rule for incident in incidents]


def test_every_turn_of_the_script_is_known() -> None:
    """A scene cannot name a turn that there is not."""
    turns = {act.log for scene in DAY for act in scene.acts.values() if act.log}
    assert turns <= set(TURNS)
