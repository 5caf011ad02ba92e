"""The stand-in's page is a real 0.32's in all but its numbers."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from vllm_vigil.demo.engine import Engine, Model
from vllm_vigil.demo.numbers import Front
from vllm_vigil.demo.page import Page

CAPTURES = Path(__file__).parents[1] / "data" / "captures"
LIKE_THE_CAPTURE = Model(
    "tiny", sequences=8, kv_tokens=1_048_576, context_tokens=512, prompt_tokens=20, answer_tokens=60
)
PLATFORM = {"python_info"}


def played(engines: int = 1, seconds: int = 60) -> str:
    """A page after some traffic."""
    front, chance = Front(1_780_000_000.0), random.Random(1)
    all_of_them = [Engine(LIKE_THE_CAPTURE, front, chance, 1_780_000_000.0) for _ in range(engines)]
    for second in range(seconds):
        for engine in all_of_them:
            engine.ask(second + 1.0, 1.0, 4.0)
            engine.step(second + 1.0, 1.0)
    front.answered("/v1/completions", "4xx", 0.01)
    return Page("tiny", [engine.numbers for engine in all_of_them], front, LIKE_THE_CAPTURE.kv_tokens).render()


def families(text: str) -> dict[str, tuple[str, str, tuple[str, ...]]]:
    """Of every family, in the page's order: kind, help, and its samples' names with labels, but not their values."""
    found: dict[str, tuple[str, str, list[str]]] = {}
    help_ = name = ""
    for line in text.splitlines():
        if line.startswith("# HELP "):
            _, _, name, help_ = line.split(" ", 3)
        elif line.startswith("# TYPE "):
            found[name] = (line.rsplit(" ", 1)[1], help_, [])
        else:
            found[name][2].append(line.rsplit(" ", 1)[0])
    return {name: (kind, text, tuple(keys)) for name, (kind, text, keys) in found.items()}


CAPTURED = families((CAPTURES / "metrics-0.32.0-after-load.txt").read_text())
PLAYED = families(played())


def test_it_has_the_families_of_a_real_page_and_no_other() -> None:
    """In the same order."""
    assert list(CAPTURED) == list(PLAYED)


@pytest.mark.parametrize("name", CAPTURED)
def test_a_family_is_that_of_a_real_page(name: str) -> None:
    """Kind, help, labels, buckets; what a label says of another machine aside."""
    kind, text, keys = CAPTURED[name]
    got_kind, got_text, got_keys = PLAYED[name]
    assert (kind, text) == (got_kind, got_text)
    if name.startswith("http_"):  # it serves chat as well, and the real one was asked for completions only
        assert set(keys) <= set(got_keys)
    elif name in PLATFORM | {"vllm:cache_config_info"}:
        assert label_names(keys) == label_names(got_keys)
    else:
        assert keys == got_keys


def label_names(keys: tuple[str, ...]) -> list[list[str]]:
    """The labels of samples, without what they say."""
    return [[pair.split("=")[0] for pair in key.split("{")[-1].split(",")] for key in keys]


def test_numbers_agree_with_each_other() -> None:
    """Buckets rise to their count, what is finished was begun, tokens by source are all tokens."""
    values = {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in played().splitlines() if line[0] != "#"}
    which = '{engine="0",model_name="tiny"}'
    finished = sum(value for key, value in values.items() if key.startswith("vllm:request_success_total"))
    assert finished > 100
    assert finished == values[f"vllm:e2e_request_latency_seconds_count{which}"]
    assert values[f"vllm:time_to_first_token_seconds_count{which}"] >= finished
    sources = [value for key, value in values.items() if key.startswith("vllm:prompt_tokens_by_source_total")]
    assert values[f"vllm:prompt_tokens_total{which}"] == pytest.approx(sum(sources))
    assert values[f"vllm:inter_token_latency_seconds_count{which}"] == pytest.approx(
        values[f"vllm:generation_tokens_total{which}"]
    )


def test_two_engines_show_every_series_twice() -> None:
    """As a server with data-parallel engines does; what is of the server stays single."""
    one, two = families(played(1))["vllm:num_requests_running"][2], families(played(2))["vllm:num_requests_running"][2]
    assert (1, 2) == (len(one), len(two))
    assert 2 == len(families(played(2))["vllm:admission_rejections_total"][2])
