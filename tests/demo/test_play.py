"""The stand-in vLLM of the demo, played without waiting."""

from __future__ import annotations

import urllib.request
from pathlib import Path

import pytest

from standins.program import free_port, parse
from vllm_vigil.demo.log import TURNS
from vllm_vigil.demo.script import DAY, Mood, Scene
from vllm_vigil.demo.server import Play, Server
from vllm_vigil.model import Reading
from vllm_vigil.series.normalise import normalise
from vllm_vigil.sources.page import parse as parse_page

SERVING = Scene("traffic", 30, Mood.SERVING, 14)


@pytest.fixture
def server() -> Server:
    """A port that nobody listens on yet."""
    return Server(free_port())


def quick(server: Server, log: Path, *scenes: Scene) -> None:
    """Play without pauses."""
    Play(server, log).play(scenes, say=lambda _: None, pause=lambda _: None)


def test_its_page_feeds_our_series(server: Server, tmp_path: Path) -> None:
    """Names, labels and types are vLLM's, and a queue builds up when more comes than it takes."""
    quick(server, tmp_path / "log", SERVING)
    samples, error = parse_page(server.page)
    series = normalise([Reading("vllm", "demo", 0.0, 0.0, samples)]).snapshot.series
    server.shut()
    assert error is None
    assert series["llm_requests_running"].points[0].value == 8
    assert series["llm_requests_waiting"].points[0].value > 50
    assert {"llm_engine_steps_total", "llm_time_to_first_token_seconds", "llm_kv_cache_usage_ratio"} <= set(series)


def test_a_hang_shows_numbers_that_stand_still(server: Server, tmp_path: Path) -> None:
    """It answers, it holds work, it takes no step."""
    quick(server, tmp_path / "log", SERVING)
    before = parse(server.page.decode())
    play = Play(server, tmp_path / "log")
    play.play([SERVING], say=lambda _: None, pause=lambda _: None)
    before = parse(server.page.decode())
    play.play([Scene("hang", 30, Mood.HANGING, 0)], say=lambda _: None, pause=lambda _: None)
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/health", timeout=5) as answer:
        assert answer.status == 200
    steps = ("vllm:iteration_tokens_total_count", frozenset({("engine", "0"), ("model_name", "demo-70b")}))
    server.shut()
    assert parse(server.page.decode())[steps] == before[steps]


def test_when_it_is_down_its_port_is_closed(server: Server, tmp_path: Path) -> None:
    """As a vLLM whose engine died."""
    quick(server, tmp_path / "log", SERVING, Scene("down", 1, Mood.DOWN, 0, log="cuda_oom"))
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(f"http://127.0.0.1:{server.port}/health", timeout=5)
    assert b"CUDA out of memory" in (tmp_path / "log").read_bytes()


def test_every_scene_s_log_is_written_somewhere() -> None:
    """The script names turns that exist."""
    assert {scene.log for scene in DAY} - {""} == set(TURNS)
