"""vLLM's own names -> raw/vllm.yml: our series, recorded from every spelling that a vLLM without a sidecar exports.

The spellings come from the sidecar's own table (`series/vllm.py`), so that both know the same.
"""

from __future__ import annotations

from collections.abc import Iterator

from vllm_vigil.series.spec import Kind
from vllm_vigil.series.vllm import VLLM_ROWS, VllmRow
from vllm_vigil.slo.page import Group, Record, page

RAW = {"job": "raw"}
"""The job of every series recorded here: sources of different jobs meet in one."""

WANTED = [
    "llm_requests_running",
    "llm_requests_waiting",
    "llm_kv_cache_usage_ratio",
    "llm_prompt_tokens_total",
    "llm_generation_tokens_total",
    "llm_requests_finished_total",
    "llm_preemptions_total",
    "llm_prefix_cache_queries_total",
    "llm_prefix_cache_hits_total",
    "llm_engine_steps_total",
    "llm_time_to_first_token_seconds",
    "llm_inter_token_latency_seconds",
    "llm_e2e_request_latency_seconds",
    "llm_request_queue_time_seconds",
    "llm_request_generation_tokens",
    "llm_admission_rejections_total",
    "llm_corrupted_requests_total",
    "llm_spec_decode_drafts_total",
    "llm_spec_decode_accepted_tokens_total",
    "llm_nixl_failed_transfers_total",
    "llm_nixl_expired_requests_total",
    "llm_mooncake_failed_transfers_total",
    "llm_mooncake_expired_requests_total",
    "llm_kv_offload_allocation_failures_total",
    "llm_kv_offload_tier_promotion_failures_total",
    "llm_kv_offload_tier_cascade_failures_total",
]
"""What the alerts and records read. Of histograms the buckets and the count: nothing here takes a mean."""

OF_ANY_PROGRAM = [
    "llm_http_requests_total",
    "llm_server_start_time_seconds",
    "llm_server_open_fds",
    "llm_server_max_fds",
]
"""The same, under names that other programs export too: only of targets that are a vLLM."""

HEAD = """\
Generated from alert_rules/vigil_rules/raw_vllm.py by scripts/rules.

For sites without the sidecar: vLLM's own names, in every spelling, recorded as the series that all other rules are
written in. vLLM is a target whose job has `vllm` in its name, and not `vigil`.

job becomes `raw`, instance the host without its port, server the address that is scraped; an engine that V0 does not
number is 0. What only the sidecar can tell (probes, logs, incidents, processes) stays absent."""

IS_VLLM = 'up{job=~".*vllm.*", job!~".*vigil.*"}'
ENGINE = "instance, server, model_name, engine"


def text() -> str:
    """The file."""
    rows = {row.spec.name: row for row in VLLM_ROWS}
    relayed = [record for name in WANTED for record in _records(rows[name])]
    shared = [_of_any_program(rows[name]) for name in OF_ANY_PROGRAM]
    return page(
        HEAD,
        [
            Group("vigil-raw-vllm", [_source_up(), *relayed, *shared, _engine_info()]),
            Group("vigil-raw-vllm-state", list(_states()), "--- what PromQL alone can tell of an engine's state"),
        ],
    )


def _records(row: VllmRow) -> Iterator[Record]:
    ends = ("_bucket", "_count") if row.spec.kind is Kind.HISTOGRAM else ("",)
    for end in ends:
        labels = (*row.spec.labels, *(("le",) if end == "_bucket" else ()))
        yield Record(row.spec.name + end, _normalised(_spellings(row, end), labels, dict(row.renamed)), RAW)


def _spellings(row: VllmRow, end: str) -> list[str]:
    """Every name of a series: vLLM's, Ray's of two ages, NIM's."""
    names = [f"{each.name}{end}" for each in row.upstream]
    dressed = list(names)
    for name in names:
        bare = name.removeprefix("vllm:")
        dressed += [f"ray_vllm_{bare}", f"ray_vllm:{bare}"]
        if row.spec.kind is Kind.COUNTER:
            dressed.append(f"ray_vllm_{bare.removesuffix('_total')}")
        dressed.append(bare)
    return list(dict.fromkeys(dressed))


def _normalised(names: list[str], labels: tuple[str, ...], renamed: dict[str, str]) -> str:
    inner = "\nor ".join(names)
    steps = [f'"{new}", "$1", "{old}", "(.+)"' for old, new in renamed.items()]
    if "engine" in labels:
        steps.append('"engine", "0", "engine", ""')
    kept = ", ".join(["instance", *labels])
    return f"max by ({kept}) (\n{_in(_addressed(_replaced(inner, steps)))}\n)"


def _addressed(text: str) -> str:
    """`server` from the address (and Ray's replica), then `instance` without the port."""
    joined = f'label_join(\n{_in(text)},\n  "server", "/", "instance", "ReplicaId"\n)'
    return _replaced(joined, ['"server", "$1", "server", "(.+)/"', '"instance", "$1", "instance", "(.+?)(?::[0-9]+)?"'])


def _replaced(text: str, steps: list[str]) -> str:
    for step in steps:
        text = f"label_replace(\n{_in(text)},\n  {step}\n)"
    return text


def _of_any_program(row: VllmRow) -> Record:
    (name,) = (each.name for each in row.upstream)
    steps = [f'"{new}", "$1", "{old}", "(.+)"' for old, new in row.renamed]
    inner = _replaced(f"{name} and on (job, instance) {IS_VLLM}", steps)
    kept = ", ".join(["instance", *row.spec.labels])
    return Record(row.spec.name, f"max by ({kept}) (\n{_in(_addressed(inner))}\n)", RAW)


def _source_up() -> Record:
    expr = f"max by (instance, server) (\n{_in(_addressed(IS_VLLM))}\n)"
    return Record("vigil_source_up", expr, {**RAW, "source": "vllm"})


def _engine_info() -> Record:
    labels = ("server", "block_size", "cache_dtype", "enable_prefix_caching", "gpu_memory_utilization")
    names = ["vllm:cache_config_info", "ray_vllm_cache_config_info", "ray_vllm:cache_config_info"]
    return Record("llm_engine_info", _normalised(names, labels, {}), RAW)


def _states() -> Iterator[Record]:
    yield Record(
        "llm_engine_state",
        f'group by ({ENGINE}) (last_over_time(llm_requests_running{{job="raw"}}[1h]))\n'
        'and on (instance, server) (vigil_source_up{job="raw", source="vllm"} == 0)',
        {**RAW, "state": "unreachable"},
        "It was there within the hour, and its target is down.",
    )
    yield Record(
        "llm_engine_state",
        f'max by ({ENGINE}) (min_over_time(llm_requests_running{{job="raw"}}[5m])) > bool 0\n'
        f'and on ({ENGINE}) (max by ({ENGINE}) (increase(llm_generation_tokens_total{{job="raw"}}[5m])) == 0)\n'
        f'unless on ({ENGINE}) (max by ({ENGINE}) (increase(llm_engine_steps_total{{job="raw"}}[5m])) > 0)',
        {**RAW, "state": "stalled"},
        "Requests have run for five minutes, and neither tokens nor steps have come of it. Gauges that mass aborts\n"
        "have left behind look the same (vLLM #22545): only a probe tells them apart.",
    )
    yield Record(
        "llm_engine_state",
        f'max by ({ENGINE}) (llm_requests_running{{job="raw"}} >= bool 0)\n'
        f'unless on ({ENGINE}) (llm_engine_state{{job="raw", state=~"stalled|unreachable"}} == 1)\n'
        f'or 0 * max by ({ENGINE}) (llm_engine_state{{job="raw", state=~"stalled|unreachable"}})',
        {**RAW, "state": "healthy"},
        "All else that answers. Idle is not told from it.",
    )


def _in(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())
