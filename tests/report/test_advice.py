"""What is said of a server's size follows from its queue, its KV cache and its GPUs, and names the numbers."""

from __future__ import annotations

import pytest

from vllm_vigil.report.advice import advice
from vllm_vigil.report.figures import Gpu, Server

TOKENS = {"generated_tokens": 1e6, "requests": 1000.0}


def server(numbers: dict[str, float], busy_p95: float | None) -> Server:
    """One with these numbers and one GPU."""
    gpu = Gpu("GPU-1", "host", 24.0, None, None if busy_p95 is None else busy_p95 / 2, busy_p95)
    return Server("llama", TOKENS | numbers, {}, (), (), (), {}, (gpu,))


@pytest.mark.parametrize(
    ("numbers", "busy_p95", "said"),
    [
        ({"waiting_p95": 40}, 0.95, "Too small"),
        ({"waiting_p95": 40}, 0.1, "Requests wait while the GPUs are idle"),
        ({"preemptions": 100, "kv_cache_p95": 1.0}, 0.95, "The KV cache is too small for the batch"),
        ({"kv_cache_p95": 0.1}, 0.1, "Larger than it needs to be"),
        ({"kv_cache_p95": 0.97}, 0.9, "Well used"),
        ({"kv_cache_p95": 0.6}, 0.5, "Of the right size"),
        ({"kv_cache_p95": 0.1}, None, "Of the right size"),  # nothing is said of GPUs that nobody measured
    ],
)
def test_advice(numbers: dict[str, float], busy_p95: float | None, said: str) -> None:
    """The first case that fits."""
    text = advice(server(numbers, busy_p95))
    assert text.startswith(said)
    assert f"{numbers.get('waiting_p95', 0):.0f} requests wait" in text


def test_a_server_that_did_nothing_can_go() -> None:
    """Whatever its GPUs did."""
    assert advice(server({"generated_tokens": 0.0}, 0.0)) == "It was not used: it can be switched off."
