"""The catalogue holds every series of the contract, once, and docs/metrics.md is drawn from it.

After a change of a table: python -c "from vllm_vigil.series.catalogue import markdown; print(markdown(), end='')"
> docs/metrics.md
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from vllm_vigil.model import EngineState
from vllm_vigil.series.catalogue import SPECS, markdown, spec_of, unique
from vllm_vigil.series.gpu import GPU, GPU_ROWS
from vllm_vigil.series.spec import Kind, Spec

CONTRACT = {
    Kind.GAUGE: """
        llm_requests_running llm_requests_waiting llm_kv_cache_usage_ratio llm_engine_asleep
        gpu_utilization_ratio gpu_memory_utilization_ratio gpu_memory_used_bytes gpu_memory_reserved_bytes
        gpu_memory_free_bytes gpu_memory_total_bytes gpu_temperature_celsius gpu_power_watts gpu_power_limit_watts
        gpu_clock_hertz
    """,
    Kind.STATESET: "llm_engine_state gpu_throttle_active",
    Kind.COUNTER: """
        llm_prompt_tokens_total llm_generation_tokens_total llm_requests_finished_total llm_preemptions_total
        llm_prefix_cache_queries_total llm_prefix_cache_hits_total llm_http_requests_total llm_engine_steps_total
        gpu_energy_joules_total
    """,
    Kind.HISTOGRAM: """
        llm_time_to_first_token_seconds llm_inter_token_latency_seconds llm_request_time_per_output_token_seconds
        llm_e2e_request_latency_seconds llm_request_queue_time_seconds llm_request_prefill_time_seconds
        llm_request_decode_time_seconds llm_request_prompt_tokens llm_request_generation_tokens
    """,
    Kind.INFO: "llm_engine_info llm_cache_config_info gpu_info",
}


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind in CONTRACT for name in CONTRACT[kind].split()])
def test_every_series_of_the_contract_is_declared_with_its_kind(kind: Kind, name: str) -> None:
    """What dashboards rely on is in the catalogue."""
    assert kind is spec_of(name).kind


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS.keys())
def test_every_series_of_the_model_names_its_server(spec: Spec) -> None:
    """Several servers stand side by side, so each llm_ series has the label, and each gpu_ series its GPU."""
    expected = {"llm": ("server",), "gpu": GPU}.get(spec.name.partition("_")[0], ())
    assert expected == spec.labels[: len(expected)]


def test_one_name_cannot_be_declared_in_two_ways() -> None:
    """Two tables that disagree on a name end the import."""
    spec = spec_of("llm_requests_running")
    with pytest.raises(ValueError, match="declared twice"):
        unique([spec, replace(spec, help="Another.")])


def test_the_help_of_a_gpu_series_names_the_call_that_gives_it() -> None:
    """A person can look the number up in NVML's own documentation."""
    assert [] == [row.spec.name for row in GPU_ROWS if not re.search(r"nvml(Device|Gpm)\w+", row.spec.help)]


def test_the_engine_state_lists_every_state() -> None:
    """The help of the state set is complete."""
    assert [] == [state for state in EngineState if state not in spec_of("llm_engine_state").help]


def test_the_page_of_series_is_the_one_in_the_repository() -> None:
    """docs/metrics.md has not drifted from the tables."""
    page = Path(__file__).parents[2] / "docs" / "metrics.md"
    assert markdown() == page.read_text()


def test_the_page_lists_the_sidecars_own_series_too() -> None:
    """Facts about the sidecar stand beside those that it relays."""
    assert "`vigil_source_up`" in markdown()
    assert "`vigil_incidents_total`" in markdown()
