"""The table of what a default vLLM 0.32 shows on /metrics for each engine: names, texts, labels, buckets.

Taken from a real page (tests/data/captures), which the tests hold it to. What Python and the HTTP side show stands in
`page.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

GAUGE, COUNTER, HISTOGRAM, SUMMARY = "gauge", "counter", "histogram", "summary"

Buckets = tuple[float, ...]
TOKENS: Buckets = ()
"""1, 2, 5, 10 and so on up to what the model's context holds."""

REQUEST_SECONDS = (
    *(0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0),
    *(60.0, 120.0, 240.0, 480.0, 960.0, 1920.0, 7680.0),
)
FIRST_TOKEN_SECONDS = (
    *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0),
    *(7.5, 10.0, 20.0, 40.0, 80.0, 160.0, 640.0, 2560.0),
)
TOKEN_SECONDS = (
    *(0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0),
    *(7.5, 10.0, 20.0, 40.0, 80.0),
)
STEP_TOKENS = (1.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0, 8192.0, 16384.0)


@dataclass(frozen=True, slots=True)
class Family:
    """One family of an engine. `values` are those of its one label beside engine and model_name, if it has one."""

    name: str
    kind: str
    help: str
    label: str = ""
    values: tuple[str, ...] = ("",)
    buckets: Buckets | None = None
    per_engine: bool = True

    @property
    def has_created(self) -> bool:
        """Whether prometheus_client shows beside it when it was made."""
        return self.kind != GAUGE


def token_buckets(context_tokens: int) -> Buckets:
    """vLLM's buckets for numbers of tokens: 1, 2, 5 times the powers of ten, up to the context's length."""
    found = [digit * 10.0**power for power in range(8) for digit in (1, 2, 5)]
    return tuple(bound for bound in found if bound <= context_tokens)


FAMILIES = (
    Family(
        "estimated_flops_per_gpu_total",
        COUNTER,
        "Estimated number of floating point operations per GPU (for Model Flops Utilization calculations).",
    ),
    Family(
        "estimated_read_bytes_per_gpu_total",
        COUNTER,
        "Estimated number of bytes read from memory per GPU (for Model Flops Utilization calculations).",
    ),
    Family(
        "estimated_write_bytes_per_gpu_total",
        COUNTER,
        "Estimated number of bytes written to memory per GPU (for Model Flops Utilization calculations).",
    ),
    Family("num_requests_running", GAUGE, "Number of requests in model execution batches."),
    Family("num_requests_waiting", GAUGE, "Number of requests waiting to be processed."),
    Family(
        "num_requests_waiting_by_reason",
        GAUGE,
        "Number of waiting requests by reason. Reason labels: 'capacity' = waiting for scheduling capacity; "
        "'deferred' = deferred by transient constraints (LoRA budget, KV transfer, blocked status). Sum of "
        "all reasons equals vllm:num_requests_waiting.",
        label="reason",
        values=(
            "capacity",
            "deferred",
        ),
    ),
    Family(
        "engine_sleep_state",
        GAUGE,
        "Engine sleep state; awake = 0 means engine is sleeping; awake = 1 means engine is awake; "
        "weights_offloaded = 1 means sleep level 1; discard_all = 1 means sleep level 2.",
        label="sleep_state",
        values=(
            "awake",
            "weights_offloaded",
            "discard_all",
        ),
    ),
    Family("kv_cache_usage_perc", GAUGE, "KV-cache usage. 1 means 100 percent usage."),
    Family("prefix_cache_queries_total", COUNTER, "Prefix cache queries, in terms of number of queried tokens."),
    Family("prefix_cache_hits_total", COUNTER, "Prefix cache hits, in terms of number of cached tokens."),
    Family(
        "external_prefix_cache_queries_total",
        COUNTER,
        "External prefix cache queries from KV connector cross-instance cache sharing, in terms of number of "
        "queried tokens.",
    ),
    Family(
        "external_prefix_cache_hits_total",
        COUNTER,
        "External prefix cache hits from KV connector cross-instance cache sharing, in terms of number of "
        "cached tokens.",
    ),
    Family("mm_cache_queries_total", COUNTER, "Multi-modal cache queries, in terms of number of queried items."),
    Family("mm_cache_hits_total", COUNTER, "Multi-modal cache hits, in terms of number of cached items."),
    Family("num_preemptions_total", COUNTER, "Cumulative number of preemption from the engine."),
    Family("prompt_tokens_total", COUNTER, "Number of prefill tokens processed."),
    Family(
        "prompt_tokens_by_source_total",
        COUNTER,
        "Number of prompt tokens by source.",
        label="source",
        values=(
            "local_compute",
            "local_cache_hit",
            "external_kv_transfer",
        ),
    ),
    Family("prompt_tokens_cached_total", COUNTER, "Number of cached prompt tokens (local + external)."),
    Family(
        "prompt_tokens_cached_by_source_total",
        COUNTER,
        "Prefix-cache hit tokens by the cache tier that supplied them: device (local HBM), host (offloaded to"
        " DRAM), disk, p2p (transferred from another vLLM instance) or external_unspecified. Counted at "
        "admission; sums to vllm:prefix_cache_hits + vllm:external_prefix_cache_hits.",
        label="source",
        values=(
            "device",
            "host",
            "p2p",
            "disk",
            "external_unspecified",
        ),
    ),
    Family("generation_tokens_total", COUNTER, "Number of generation tokens processed."),
    Family(
        "request_success_total",
        COUNTER,
        "Count of successfully processed requests.",
        label="finished_reason",
        values=(
            "stop",
            "length",
            "abort",
            "error",
            "repetition",
        ),
    ),
    Family(
        "admission_rejections_total",
        COUNTER,
        "Number of admission attempts rejected by a queue limit, by reason.",
        label="reason",
        values=(
            "max_num_queued_reqs",
            "max_num_queued_tokens",
        ),
        per_engine=False,
    ),
    Family("request_prompt_tokens", HISTOGRAM, "Number of prefill tokens processed.", buckets=TOKENS),
    Family("request_generation_tokens", HISTOGRAM, "Number of generation tokens processed.", buckets=TOKENS),
    Family("iteration_tokens_total", HISTOGRAM, "Histogram of number of tokens per engine_step.", buckets=STEP_TOKENS),
    Family(
        "request_max_num_generation_tokens",
        HISTOGRAM,
        "Histogram of maximum number of requested generation tokens.",
        buckets=TOKENS,
    ),
    Family("request_params_n", HISTOGRAM, "Histogram of the n request parameter.", buckets=(1.0, 2.0, 5.0, 10.0, 20.0)),
    Family("request_params_max_tokens", HISTOGRAM, "Histogram of the max_tokens request parameter.", buckets=TOKENS),
    Family(
        "time_to_first_token_seconds",
        HISTOGRAM,
        "Histogram of time to first token in seconds.",
        buckets=FIRST_TOKEN_SECONDS,
    ),
    Family(
        "inter_token_latency_seconds", HISTOGRAM, "Histogram of inter-token latency in seconds.", buckets=TOKEN_SECONDS
    ),
    Family(
        "request_time_per_output_token_seconds",
        HISTOGRAM,
        "Histogram of time_per_output_token_seconds per request.",
        buckets=TOKEN_SECONDS,
    ),
    Family(
        "e2e_request_latency_seconds",
        HISTOGRAM,
        "Histogram of e2e request latency in seconds.",
        buckets=REQUEST_SECONDS,
    ),
    Family(
        "request_queue_time_seconds",
        HISTOGRAM,
        "Histogram of time spent in WAITING phase for request.",
        buckets=REQUEST_SECONDS,
    ),
    Family(
        "request_inference_time_seconds",
        HISTOGRAM,
        "Histogram of time spent in RUNNING phase for request.",
        buckets=REQUEST_SECONDS,
    ),
    Family(
        "request_prefill_time_seconds",
        HISTOGRAM,
        "Histogram of time spent in PREFILL phase for request.",
        buckets=REQUEST_SECONDS,
    ),
    Family(
        "request_decode_time_seconds",
        HISTOGRAM,
        "Histogram of time spent in DECODE phase for request.",
        buckets=REQUEST_SECONDS,
    ),
    Family(
        "request_num_preemptions",
        HISTOGRAM,
        "Histogram of the number of times a request was preempted.",
        buckets=(1.0, 2.0, 3.0, 4.0, 5.0, 10.0, 20.0),
    ),
    Family(
        "request_prefill_kv_computed_tokens",
        HISTOGRAM,
        "Histogram of new KV tokens computed during prefill (excluding cached tokens).",
        buckets=TOKENS,
    ),
)
