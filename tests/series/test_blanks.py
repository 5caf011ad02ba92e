"""A panel without data has a reason that a person can act on."""

from __future__ import annotations

from pathlib import Path

import pytest

from vllm_vigil.model import Reading
from vllm_vigil.series.blanks import Blank, blanks
from vllm_vigil.series.normalise import normalise
from vllm_vigil.sources.page import parse

CAPTURES = sorted((Path(__file__).parents[1] / "data" / "captures").glob("metrics-*.txt"))
V1 = 'vllm:num_requests_running{engine="0",model_name="m"} 1\n'
V0 = 'vllm:num_requests_running{model_name="m"} 1\n'


def blank_of(page: str, version: str) -> dict[str, Blank]:
    """What such a server does not feed."""
    samples, error = parse(page.encode())
    assert error is None
    facts = {"version": version} if version else {}
    reading = Reading("vllm", "llama", 0.0, 0.0, samples, facts)
    return {blank.series: blank for blank in blanks(normalise([reading]).snapshot.series, reading)}


@pytest.mark.parametrize("capture", CAPTURES, ids=lambda path: path.stem)
def test_a_healthy_server_lacks_nothing_of_the_contract(capture: Path) -> None:
    """A recorded 0.32 feeds every series, but for what has had no traffic."""
    found = blank_of(capture.read_text(), "0.32.0")
    assert {"no traffic yet"} >= {blank.cause.split(":")[0] for blank in found.values()}


@pytest.mark.parametrize(
    ("series", "page", "version", "cause", "wrong"),
    [
        ("llm_engine_asleep", V1, "0.10.2", "vLLM 0.10.2 is older than 0.11.1", False),
        (
            "llm_requests_finished_total",
            V1 + "# TYPE vllm:request_success_total counter\n",
            "0.32.0",
            "no traffic yet",
            False,
        ),
        ("llm_kv_cache_usage_ratio", V1, "0.32.0", "not on the page, though vLLM 0.32.0 should give it", True),
        ("llm_prefix_cache_hits_total", V0, "0.10.2", "the engine V0 does not have it", False),
        ("llm_engine_asleep", V1, "0.33.0", "the engine Rust does not have it", False),
        ("llm_requests_running", "python_info 1\n", "0.32.0", "none of its engine's metrics", True),
        ("llm_requests_running", "python_info 1\n", "0.5.4", "none of its engine's metrics", True),
        ("llm_engine_asleep", V1, "", "does not tell its version", False),
        ("llm_engine_asleep", V1, "dev", "does not tell its version", False),
    ],
)
def test_the_cause_is_told(series: str, page: str, version: str, cause: str, wrong: bool) -> None:  # noqa: FBT001  # a column
    """Older, no traffic, another engine, switched off, or not explained: each in its own words, with a remedy."""
    blank = blank_of(page, version)[series]
    assert cause in blank.cause
    assert wrong is blank.wrong
    assert blank.remedy


def test_only_a_server_of_vllm_has_a_contract() -> None:
    """A reading of the GPUs lacks nothing."""
    assert () == blanks(set(), Reading("nvml", "", 0.0, 0.0))
