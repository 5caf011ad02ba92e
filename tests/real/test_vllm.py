"""The whole way once, against a real vLLM: its numbers under our names, its death as a page, its return as the end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from standins.channels import PAGERDUTY, PAGERDUTY_HOST, SLACK, SLACK_HOST, Channels
from standins.program import Program, parse, until
from standins.real_vllm import RealVllm

pytestmark = pytest.mark.real_vllm

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]

# vLLM 0.32's own name -> ours. Written out here and not taken from the tables: two that agree prove something.
COUNTERS = {
    "vllm:prompt_tokens_total": "llm_prompt_tokens_total",
    "vllm:generation_tokens_total": "llm_generation_tokens_total",
    "vllm:num_preemptions_total": "llm_preemptions_total",
    "vllm:prefix_cache_queries_total": "llm_prefix_cache_queries_total",
    "vllm:prefix_cache_hits_total": "llm_prefix_cache_hits_total",
    "vllm:iteration_tokens_total_count": "llm_engine_steps_total",
}
GAUGES = {
    "vllm:num_requests_running": "llm_requests_running",
    "vllm:num_requests_waiting": "llm_requests_waiting",
    "vllm:kv_cache_usage_perc": "llm_kv_cache_usage_ratio",
}
HISTOGRAMS = {
    "vllm:time_to_first_token_seconds": "llm_time_to_first_token_seconds",
    "vllm:inter_token_latency_seconds": "llm_inter_token_latency_seconds",
    "vllm:request_time_per_output_token_seconds": "llm_request_time_per_output_token_seconds",
    "vllm:e2e_request_latency_seconds": "llm_e2e_request_latency_seconds",
    "vllm:request_queue_time_seconds": "llm_request_queue_time_seconds",
    "vllm:request_prefill_time_seconds": "llm_request_prefill_time_seconds",
    "vllm:request_decode_time_seconds": "llm_request_decode_time_seconds",
    "vllm:request_prompt_tokens": "llm_request_prompt_tokens",
    "vllm:request_generation_tokens": "llm_request_generation_tokens",
}
WHICH = {"server": "llama", "model_name": "tiny", "engine": "0"}
CONFIG = """
vllm:
  - name: llama
    url: {url}
    interval: 1s
    logs: [{{path: {log}}}]
notify:
  channels:
    slack: {{url: "{slack}"}}
    pagerduty: {{url: "{pagerduty}"}}
  routes:
    - {{match: {{severity: critical}}, to: [pagerduty, slack], repeat: 30m}}
rules:
  engine_dead: {{quiet: 10s, up: 5s}}
"""


@pytest.fixture
def sidecar(vllm: RealVllm, channels: Channels, tmp_path: Path) -> Iterator[Program]:
    """The program, which watches the real vLLM and tells the played channels."""
    config = CONFIG.format(url=vllm.url, log=vllm.log, slack=SLACK, pagerduty=PAGERDUTY)
    program = Program(tmp_path, config, channels.environment)
    yield program
    program.close()


def theirs(text: str, name: str) -> float:
    """The one sample of vLLM's of that name, whatever its labels."""
    (value,) = [value for (found, _), value in parse(text).items() if found == name]
    return value


def buckets(samples: Samples, name: str) -> dict[str, float]:
    """A histogram's buckets by `le`, with its sum and count."""
    found = {dict(pairs)["le"]: value for (each, pairs), value in samples.items() if each == f"{name}_bucket"}
    rest = {each: value for (each, _), value in samples.items() if each in (f"{name}_sum", f"{name}_count")}
    return found | {each.removeprefix(name): value for each, value in rest.items()}


def test_a_real_vllm_from_first_series_to_resolved_page(vllm: RealVllm, sidecar: Program, channels: Channels) -> None:
    """Series agree under load and at rest; a killed engine pages once, and resolves when vLLM serves again."""
    vllm.start()
    sidecar.start()
    until(10, "vLLM's series are there", lambda: sidecar.value("llm_requests_running", **WHICH) is not None)
    assert sidecar.value("vigil_source_up", source="vllm", server="llama") == 1
    assert sidecar.value("llm_engine_info", server="llama", vllm_version=vllm.version()) == 1

    agree_under_load(vllm, sidecar)
    agree_at_rest(vllm, sidecar)

    threads = vllm.load(clients=40, tokens=450)
    until(30, "requests run", lambda: (sidecar.value("llm_requests_running", **WHICH) or 0) > 0)
    exit_code = vllm.kill_engine()
    for thread in threads:
        thread.join(60)
    assert exit_code == 0, "vLLM's API server has always ended with 0 after its engine's death"

    (page,) = channels.wait_for(PAGERDUTY_HOST, 1, seconds=30)
    assert (page.document["event_action"], page.document["payload"]["severity"]) == ("trigger", "critical")
    (post,) = channels.wait_for(SLACK_HOST, 1, seconds=30)
    assert "llama" in post.body.decode()
    until(30, "vLLM's series are gone", lambda: sidecar.value("llm_requests_running", **WHICH) is None)
    assert sidecar.value("vigil_source_up", source="vllm", server="llama") == 0
    assert sidecar.get("/health").status_code == 503
    (incident,) = sidecar.status()["incidents"]["open"]
    assert (incident["rule"], incident["key"]) == ("engine_dead", page.document["dedup_key"])

    vllm.start()
    until(60, "the incident resolves", lambda: not sidecar.status()["incidents"]["open"])
    trigger, resolve = channels.wait_for(PAGERDUTY_HOST, 2, seconds=30)
    assert [trigger.document["event_action"], resolve.document["event_action"]] == ["trigger", "resolve"]
    assert resolve.document["dedup_key"] == trigger.document["dedup_key"]
    assert len(channels.wait_for(SLACK_HOST, 2, seconds=30)) == 2
    assert sidecar.get("/ready").status_code == 200
    incidents = {
        dict(pairs)["rule"]: value
        for (name, pairs), value in sidecar.samples().items()
        if name == "vigil_incidents_total"
    }
    assert {rule for rule, count in incidents.items() if count} == {"engine_dead"}


def agree_under_load(vllm: RealVllm, sidecar: Program) -> None:
    """While the numbers move, ours lie between what vLLM says before and after."""
    threads = vllm.load(clients=150, tokens=450)
    until(30, "requests wait", lambda: (sidecar.value("llm_requests_waiting", **WHICH) or 0) > 0)
    before = vllm.metrics()
    first = sidecar.value("llm_engine_steps_total", **WHICH) or 0
    until(30, "a later reading", lambda: (sidecar.value("llm_engine_steps_total", **WHICH) or 0) > first + 1)
    ours = sidecar.samples()
    after = vllm.metrics()
    for upstream, name in COUNTERS.items():
        value = ours[(name, frozenset(WHICH.items()))]
        assert theirs(before, upstream) <= value <= theirs(after, upstream), name
    assert ours[("llm_requests_running", frozenset(WHICH.items()))] == 2
    state = {dict(pairs)["state"]: value for (name, pairs), value in ours.items() if name == "llm_engine_state"}
    assert {each for each, value in state.items() if value} == {"healthy"}
    for thread in threads:
        thread.join(120)


def agree_at_rest(vllm: RealVllm, sidecar: Program) -> None:
    """When nothing moves, every number is the same, bucket by bucket."""
    until(30, "nothing runs", lambda: sidecar.value("llm_requests_running", **WHICH) == 0)
    page = vllm.metrics()
    until(30, "the last tokens are in", lambda: _same_tokens(page, sidecar))
    ours = sidecar.samples()
    for upstream, name in (COUNTERS | GAUGES).items():
        assert ours[(name, frozenset(WHICH.items()))] == theirs(page, upstream), name
    for upstream, name in HISTOGRAMS.items():
        expected = buckets(parse(page), upstream)
        assert buckets(ours, name) == expected, name
        assert expected["_count"] > 0, f"{upstream} was not exercised"


def _same_tokens(page: str, sidecar: Program) -> bool:
    ours = sidecar.value("llm_generation_tokens_total", **WHICH)
    return ours == theirs(page, "vllm:generation_tokens_total")
