"""A file of objectives is read strictly: a bound between two buckets, or a promise of nothing, is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from vllm_vigil.config.load import load_slo
from vllm_vigil.errors import ConfigError
from vllm_vigil.series.vllm import VLLM_ROWS
from vllm_vigil.slo.objectives import DEFAULT, LATENCIES, SloFile


def read(tmp_path: Path, text: str) -> SloFile:
    """The file with that text."""
    path = tmp_path / "slo.yaml"
    path.write_text(text)
    return load_slo(path, {})


def test_an_empty_file_promises_the_defaults(tmp_path: Path) -> None:
    """To the users of every server."""
    assert read(tmp_path, "") == SloFile((DEFAULT,))


def test_a_bound_becomes_the_label_of_its_bucket(tmp_path: Path) -> None:
    """As vLLM writes it: a float."""
    (objective,) = read(
        tmp_path, "objectives: [{tier: gold, time_to_first_token: {within: 1s, target_percent: 99}}]"
    ).objectives
    ((latency, within),) = objective.latencies()
    assert (latency.key, within.le, within.target_percent) == ("time_to_first_token", "1.0", 99.0)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "objectives: [{time_to_first_token: {within: 800ms, target_percent: 99}}]",
            "objectives[0].time_to_first_token.within: vLLM has no bucket that ends at 0.8s; the nearest ends at 0.75s",
        ),
        ("objectives: [{tier: gold}]", "objectives[0]: promises nothing: give one of availability_percent, uptime"),
        ("objectives: [{availability_percent: 100}]", "availability_percent: must be between 50 and 100"),
        ("objectives: [{availability_percent: 0.999}]", "availability_percent: must be between 50 and 100"),
        ("objectives: []", "objectives: is empty"),
        ("objectives: [{tier: 'a b', uptime_percent: 99}]", "objectives[0].tier: 'a b' cannot be a label"),
        (
            "objectives: [{availability_percent: 99}, {availability_percent: 98}]",
            "objectives: tier 'default' of every server stands twice; keep one",
        ),
        ("objectives: [{avail_percent: 99}]", "unknown key; did you mean 'availability_percent'?"),
    ],
)
def test_what_cannot_be_promised_is_told(text: str, said: str, tmp_path: Path) -> None:
    """With the place in the file."""
    with pytest.raises(ConfigError) as error:
        read(tmp_path, text)
    assert said in str(error.value)
    assert "slo.yaml:1" in str(error.value)


def test_a_bound_of_the_server_s_own_is_taken(tmp_path: Path) -> None:
    """vLLM 0.32 and later can be given buckets."""
    text = "objectives: [{e2e_request_latency: {within: 7s, target_percent: 99, custom_bucket: true}}]"
    assert [within.le for _, within in read(tmp_path, text).objectives[0].latencies()] == ["7.0"]


def test_every_latency_is_a_series_of_ours() -> None:
    """And its bounds ascend."""
    assert {latency.series for latency in LATENCIES} <= {row.spec.name for row in VLLM_ROWS}
    assert all(list(latency.bounds) == sorted(latency.bounds) for latency in LATENCIES)
