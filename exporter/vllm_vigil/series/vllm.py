"""The table of what vLLM tells: one row per concept, with every sample name that it ever had and the versions of each.

A name here is the base name of a *sample* as it stands on the wire: counters with `_total`, histograms without
`_bucket`. Parsers strip `_total` from families, and `vllm:iteration_tokens_total` is a histogram: families mislead.
The names of a row stand newest first. Where a server gives two of them at once they carry the same observations, so
the first that is there is taken and never the sum. Versions are those of tests/data/vllm/metrics.json; `last` None
means still there.

A server of V0, or of V1 before 0.8.3, has one engine and no label `engine`. It is given `engine="0"`, which is what
later versions call their only engine, so that one query reads them all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from vllm_vigil.series.spec import Kind, Spec

ENGINE = ("server", "model_name", "engine")
SERVER = ("server",)


@dataclass(frozen=True, slots=True)
class Upstream:
    """One sample name of vLLM and the releases, both ends included, that can give it."""

    name: str
    first: str
    last: str | None = None


@dataclass(frozen=True, slots=True)
class VllmRow:
    """One concept: our series, vLLM's names for it, and how one becomes the other.

    `only` keeps the samples that carry this label value, and takes the label away. `renamed` gives vLLM's name of a
    label that we call otherwise. `change` is applied to each value.
    """

    spec: Spec
    upstream: tuple[Upstream, ...]
    only: tuple[str, str] | None = None
    renamed: tuple[tuple[str, str], ...] = ()
    change: Callable[[float], float] | None = None


def _gauge(name: str, unit: str, text: str, *upstream: Upstream, labels: tuple[str, ...] = ENGINE) -> VllmRow:
    return VllmRow(Spec(name, Kind.GAUGE, unit, text, labels), upstream)


def _counter(name: str, unit: str, text: str, *upstream: Upstream, labels: tuple[str, ...] = ENGINE) -> VllmRow:
    return VllmRow(Spec(name, Kind.COUNTER, unit, text, labels), upstream)


def _histogram(name: str, unit: str, text: str, *upstream: Upstream, labels: tuple[str, ...] = ENGINE) -> VllmRow:
    return VllmRow(Spec(name, Kind.HISTOGRAM, unit, text, labels), upstream)


VLLM_ROWS: tuple[VllmRow, ...] = (
    # --- now
    _gauge(
        "llm_requests_running",
        "requests",
        "Requests in the batch that the engine is executing.",
        Upstream("vllm:num_requests_running", "0.2.3"),
    ),
    _gauge(
        "llm_requests_waiting",
        "requests",
        "Requests that wait for the engine.",
        Upstream("vllm:num_requests_waiting", "0.2.3"),
    ),
    _gauge(
        "llm_requests_waiting_by_reason",
        "requests",
        "Requests that wait, by reason: capacity, or deferred (LoRA budget, KV transfer).",
        Upstream("vllm:num_requests_waiting_by_reason", "0.20.0"),
        labels=(*ENGINE, "reason"),
    ),
    _gauge(
        "llm_requests_swapped",
        "requests",
        "Requests swapped out to host memory (V0 only).",
        Upstream("vllm:num_requests_swapped", "0.2.3", "0.9.0.1"),
    ),
    _gauge(
        "llm_kv_cache_usage_ratio",
        "ratio",
        "Share of the KV cache in use, 0 to 1. Average over engines, never sum; near 1 is normal under load.",
        Upstream("vllm:kv_cache_usage_perc", "0.9.2"),
        Upstream("vllm:gpu_cache_usage_perc", "0.2.3", "0.11.2"),
    ),
    VllmRow(
        Spec("llm_engine_asleep", Kind.GAUGE, "", "Whether the engine was put to sleep (sleep mode).", ENGINE),
        (Upstream("vllm:engine_sleep_state", "0.11.1"),),
        only=("sleep_state", "awake"),
        change=lambda awake: 0.0 if awake else 1.0,
    ),
    # --- tokens and requests
    _counter(
        "llm_prompt_tokens_total",
        "tokens",
        "Prompt tokens processed, those found in the prefix cache included.",
        Upstream("vllm:prompt_tokens_total", "0.3.1"),
    ),
    _counter(
        "llm_prompt_tokens_by_source_total",
        "tokens",
        "Prompt tokens by where they came from: computed, found in the local cache, or transferred.",
        Upstream("vllm:prompt_tokens_by_source_total", "0.16.0"),
        labels=(*ENGINE, "source"),
    ),
    _counter(
        "llm_prompt_tokens_cached_total",
        "tokens",
        "Prompt tokens that a cache, local or external, spared the engine.",
        Upstream("vllm:prompt_tokens_cached_total", "0.16.0"),
    ),
    _counter(
        "llm_generation_tokens_total",
        "tokens",
        "Tokens generated.",
        Upstream("vllm:generation_tokens_total", "0.3.1"),
    ),
    VllmRow(
        Spec(
            "llm_requests_finished_total",
            Kind.COUNTER,
            "requests",
            "Requests that ended in the engine, by reason; stop and length are successes. "
            "A request whose client went away is in none of them.",
            (*ENGINE, "reason"),
        ),
        (Upstream("vllm:request_success_total", "0.4.2"),),
        renamed=(("finished_reason", "reason"),),
    ),
    _counter(
        "llm_preemptions_total",
        "preemptions",
        "Requests pushed out of the running batch for want of KV cache.",
        Upstream("vllm:num_preemptions_total", "0.4.3"),
    ),
    _counter(
        "llm_engine_steps_total",
        "steps",
        "Steps that the engine has taken: its heartbeat.",
        Upstream("vllm:iteration_tokens_total_count", "0.6.4"),
    ),
    _counter(
        "llm_admission_rejections_total",
        "requests",
        "Requests refused because a queue limit was reached, by limit.",
        Upstream("vllm:admission_rejections_total", "0.32.0"),
        labels=("server", "model_name", "reason"),
    ),
    _counter(
        "llm_corrupted_requests_total",
        "requests",
        "Requests with NaN in their logits (only with VLLM_COMPUTE_NANS_IN_LOGITS=1).",
        Upstream("vllm:corrupted_requests_total", "0.11.1"),
    ),
    # --- caches
    _counter(
        "llm_prefix_cache_queries_total",
        "tokens",
        "Tokens looked up in the prefix cache (blocks before 0.9.0: the ratio to hits survives, the rate jumps).",
        Upstream("vllm:prefix_cache_queries_total", "0.9.2"),
        Upstream("vllm:gpu_prefix_cache_queries_total", "0.7.3", "0.11.2"),
    ),
    _counter(
        "llm_prefix_cache_hits_total",
        "tokens",
        "Tokens found in the prefix cache (blocks before 0.9.0).",
        Upstream("vllm:prefix_cache_hits_total", "0.9.2"),
        Upstream("vllm:gpu_prefix_cache_hits_total", "0.7.3", "0.11.2"),
    ),
    _counter(
        "llm_external_prefix_cache_queries_total",
        "tokens",
        "Tokens looked up in the prefix cache of a KV connector.",
        Upstream("vllm:external_prefix_cache_queries_total", "0.11.1"),
    ),
    _counter(
        "llm_external_prefix_cache_hits_total",
        "tokens",
        "Tokens found in the prefix cache of a KV connector.",
        Upstream("vllm:external_prefix_cache_hits_total", "0.11.1"),
    ),
    _counter(
        "llm_multimodal_cache_queries_total",
        "items",
        "Items looked up in the cache of multi-modal inputs.",
        Upstream("vllm:mm_cache_queries_total", "0.11.1"),
    ),
    _counter(
        "llm_multimodal_cache_hits_total",
        "items",
        "Items found in the cache of multi-modal inputs.",
        Upstream("vllm:mm_cache_hits_total", "0.11.1"),
    ),
    # --- speculative decoding
    _counter(
        "llm_spec_decode_drafts_total",
        "drafts",
        "Drafts made by speculative decoding.",
        Upstream("vllm:spec_decode_num_drafts_total", "0.8.5"),
    ),
    _counter(
        "llm_spec_decode_draft_tokens_total",
        "tokens",
        "Tokens that were drafted.",
        Upstream("vllm:spec_decode_num_draft_tokens_total", "0.5.3"),
    ),
    _counter(
        "llm_spec_decode_accepted_tokens_total",
        "tokens",
        "Drafted tokens that the model accepted.",
        Upstream("vllm:spec_decode_num_accepted_tokens_total", "0.5.3"),
    ),
    _counter(
        "llm_spec_decode_accepted_tokens_per_position_total",
        "tokens",
        "Drafted tokens that the model accepted, by their position in the draft.",
        Upstream("vllm:spec_decode_num_accepted_tokens_per_pos_total", "0.8.5"),
        labels=(*ENGINE, "position"),
    ),
    # --- times
    _histogram(
        "llm_time_to_first_token_seconds",
        "seconds",
        "Time from arrival to the first token.",
        Upstream("vllm:time_to_first_token_seconds", "0.3.1"),
    ),
    _histogram(
        "llm_inter_token_latency_seconds",
        "seconds",
        "Time between two steps that gave a request tokens.",
        Upstream("vllm:inter_token_latency_seconds", "0.10.2"),
        Upstream("vllm:time_per_output_token_seconds", "0.3.1", "0.14.1"),
    ),
    _histogram(
        "llm_request_time_per_output_token_seconds",
        "seconds",
        "Mean time per output token of each finished request.",
        Upstream("vllm:request_time_per_output_token_seconds", "0.11.0"),
    ),
    _histogram(
        "llm_e2e_request_latency_seconds",
        "seconds",
        "Time from arrival to the last token, of finished requests.",
        Upstream("vllm:e2e_request_latency_seconds", "0.3.1"),
    ),
    _histogram(
        "llm_request_queue_time_seconds",
        "seconds",
        "Time that finished requests had waited.",
        Upstream("vllm:request_queue_time_seconds", "0.6.4"),
        Upstream("vllm:time_in_queue_requests", "0.6.4", "0.9.0.1"),
    ),
    _histogram(
        "llm_request_inference_time_seconds",
        "seconds",
        "Time that finished requests had run: prefill and decode.",
        Upstream("vllm:request_inference_time_seconds", "0.6.4"),
    ),
    _histogram(
        "llm_request_prefill_time_seconds",
        "seconds",
        "Time that finished requests had spent in prefill.",
        Upstream("vllm:request_prefill_time_seconds", "0.6.4"),
    ),
    _histogram(
        "llm_request_decode_time_seconds",
        "seconds",
        "Time that finished requests had spent in decode.",
        Upstream("vllm:request_decode_time_seconds", "0.6.4"),
    ),
    # --- sizes
    _histogram(
        "llm_request_prompt_tokens",
        "tokens",
        "Prompt tokens of finished requests.",
        Upstream("vllm:request_prompt_tokens", "0.4.2"),
    ),
    _histogram(
        "llm_request_generation_tokens",
        "tokens",
        "Generated tokens of finished requests.",
        Upstream("vllm:request_generation_tokens", "0.4.2"),
    ),
    _histogram(
        "llm_request_max_generation_tokens",
        "tokens",
        "Longest of the sequences that each finished request had asked for.",
        Upstream("vllm:request_max_num_generation_tokens", "0.6.4"),
    ),
    _histogram(
        "llm_request_params_n",
        "",
        "The parameter n of finished requests: sequences asked for.",
        Upstream("vllm:request_params_n", "0.4.2"),
    ),
    _histogram(
        "llm_request_params_max_tokens",
        "tokens",
        "The parameter max_tokens of finished requests.",
        Upstream("vllm:request_params_max_tokens", "0.6.4"),
    ),
    _histogram(
        "llm_request_preemptions",
        "preemptions",
        "How often finished requests had been preempted.",
        Upstream("vllm:request_num_preemptions", "0.30.0"),
    ),
    _histogram(
        "llm_engine_step_tokens",
        "tokens",
        "Tokens in each step of the engine.",
        Upstream("vllm:iteration_tokens_total", "0.6.4"),
    ),
    # --- the server
    VllmRow(
        Spec(
            "llm_http_requests_total",
            Kind.COUNTER,
            "requests",
            "HTTP requests answered, by route, method and class of status (2xx, 4xx, 5xx). "
            "A stream that fails half way is 2xx.",
            (*SERVER, "handler", "method", "code"),
        ),
        (Upstream("http_requests_total", "0.8.3"),),
        renamed=(("status", "code"),),
    ),
    _histogram(
        "llm_http_request_duration_seconds",
        "seconds",
        "Time to answer an HTTP request; a stream counts until its end.",
        Upstream("http_request_duration_seconds", "0.8.3"),
        labels=(*SERVER, "handler", "method"),
    ),
    _gauge(
        "llm_server_start_time_seconds",
        "seconds",
        "When the API server process started, since the epoch. Absent with several API servers.",
        Upstream("process_start_time_seconds", "0.3.3"),
        labels=SERVER,
    ),
    _gauge(
        "llm_server_resident_memory_bytes",
        "bytes",
        "Host memory of the API server process, not of the engine. Absent with several API servers.",
        Upstream("process_resident_memory_bytes", "0.3.3"),
        labels=SERVER,
    ),
    VllmRow(
        Spec(
            "llm_cache_config_info",
            Kind.INFO,
            "",
            "The engine's cache configuration, as labels that vary with the version of vLLM; always 1.",
            ("server", "engine"),
            open_labels=True,
        ),
        (Upstream("vllm:cache_config_info", "0.3.3"),),
    ),
)

ENGINE_INFO = Spec(
    "llm_engine_info",
    Kind.INFO,
    "",
    "The version of vLLM that the server runs, from its /version; always 1.",
    ("server", "vllm_version"),
)
"""Comes from a reading's fact `version`, not from a sample."""
