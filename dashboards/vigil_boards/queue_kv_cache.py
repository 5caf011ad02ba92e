"""Is there room: the queue, the batch, the KV cache, what is thrown out of it, and the caches behind it."""

from __future__ import annotations

from vigil_boards import look, scope
from vigil_boards.board import Board, Row
from vigil_boards.kinds import bars, chart, heat, quantiles, stat, timeline
from vigil_boards.panel import NO_TRAFFIC, Query
from vigil_boards.shared import ENGINE, ENGINE_NAME, PREFIX_HITS, PREFIX_LOOKUPS
from vigil_boards.tables import Column, table

NO_SPEC = "Off: no --speculative-config"
NO_OFFLOAD = "Off: no OffloadingConnector in --kv-transfer-config"
NO_NIXL = "Off: no NIXL connector in --kv-transfer-config"

GLANCE = (
    stat(
        "Running",
        "short",
        "sum(llm_requests_running)",
        means="Requests in the batches of all chosen engines.",
        bad="At its limit while requests wait: the batch is full.",
        flag="`--max-num-seqs`",
    ),
    stat(
        "Waiting",
        "short",
        "sum(llm_requests_waiting)",
        steps=look.above(10, 50),
        means="Requests that wait for a place in a batch.",
        bad="Above 10 for minutes people notice; above 50 more replicas are the answer.",
        runbooks=("engine_stalled",),
    ),
    stat(
        "Wait, p99",
        "s",
        scope.quantile(0.99, "llm_request_queue_time_seconds"),
        steps=look.above(1, 10),
        no_data=NO_TRAFFIC,
        means="99 % of the requests that finished lately had waited less than this.",
        bad="It says how old the queue is; requests that still wait are not in it yet.",
    ),
    stat(
        "KV cache",
        "percentunit",
        "avg(llm_kv_cache_usage_ratio)",
        steps=look.above(0.9, 0.98),
        means="Share of the KV cache in use, mean over the engines.",
        bad="Near 100 % with waiting requests or preemptions it is too small for this load.",
        flag="`--gpu-memory-utilization`, `--kv-cache-dtype fp8`, `--max-model-len`",
    ),
    stat(
        "Full in",
        "s",
        "min(llm_kv_cache_time_to_full_seconds)",
        steps=look.below(1800, 600),
        no_data="It does not fill up",
        means="When the first KV cache is full if the last minutes go on.",
        bad="Under 10 minutes requests will soon wait or be preempted: shift load now.",
    ),
    stat(
        "Preempted",
        "percentunit",
        "max(llm_preemption_ratio)",
        steps=look.above(0.01, 0.05),
        no_data=NO_TRAFFIC,
        means="Preemptions per finished request in 5 minutes, of the worst engine.",
        bad="Above 5 % the engine works for the bin: each preempted request is computed again.",
    ),
    stat(
        "Prefix hits",
        "percentunit",
        scope.ratio(PREFIX_HITS, PREFIX_LOOKUPS),
        no_data=NO_TRAFFIC,
        means="Share of the prompt tokens that the prefix cache spared.",
        bad="A sudden fall is a changed prompt template, a router that no longer sticks, or a cache that is too small.",
        flag="`--enable-prefix-caching`",
    ),
    stat(
        "Last step",
        "s",
        "max(llm_engine_step_age_seconds)",
        steps=look.above(10, 60),
        no_data="No engine holds work",
        means="How long ago the engine that is furthest behind has taken its last step, while it holds work.",
        bad="Seconds are a long prefill; a minute is a hang, whatever /health says.",
        runbooks=("engine_stalled",),
    ),
)

QUEUE = (
    chart(
        "Waiting by engine",
        "short",
        Query(f"sum by ({ENGINE}) (llm_requests_waiting)", ENGINE_NAME),
        steps=((0.0, look.GOOD), (10.0, look.WARNING), (50.0, look.BAD)),
        means="Requests that wait, by engine.",
        bad="One engine alone: the router is unfair or that engine is ill. All: there is too little of them.",
    ),
    chart(
        "Running by engine",
        "short",
        Query(f"sum by ({ENGINE}) (llm_requests_running)", ENGINE_NAME),
        means="Requests in the batch, by engine.",
        bad="Flat at a line is `--max-num-seqs`; 0 while others are busy is an engine out of rotation.",
        flag="`--max-num-seqs`",
    ),
    quantiles(
        "Time in the queue",
        "llm_request_queue_time_seconds",
        means="How long finished requests had waited. Below 0.3 s it is interpolation.",
        bad="It is the part of the first token that more hardware cures.",
        to=("vigil-latency-slo",),
    ),
    chart(
        "Waiting by reason",
        "short",
        Query("sum by (reason) (llm_requests_waiting_by_reason)", "{{reason}}"),
        stacked=True,
        no_data="This vLLM does not tell: since 0.20",
        means="Waiting requests by why: no capacity, or deferred (LoRA budget, KV that is still on its way).",
        bad="Deferred ones wait for something else than the batch: adapters or a transfer.",
        flag="`--max-loras`, `--kv-transfer-config`",
    ),
    chart(
        "Imbalance between engines",
        "none",
        Query(
            "max by (model_name) (llm_requests_running) / (avg by (model_name) (llm_requests_running) > 0)",
            "{{model_name}}",
        ),
        steps=((0.0, look.GOOD), (2.0, look.WARNING)),
        no_data="Nothing runs",
        means="The busiest engine's running requests over the mean of all that serve the model; 1 is even.",
        bad="Above 2 for long the router sends by something else than load, or a replica is out.",
    ),
    heat(
        "Time in the queue: distribution",
        "llm_request_queue_time_seconds",
        means="How many requests a second had waited as long as each bucket.",
        bad="A second band is a second class of requests, or bursts.",
    ),
    chart(
        "Requests refused by limit",
        "reqps",
        Query(scope.rate("llm_admission_rejections_total", "reason"), "{{reason}}"),
        no_data="None was refused, or this vLLM has no limits: since 0.32",
        means="Requests that were refused because a queue limit was reached; each is also a 5xx.",
        bad="Refusing is better than a queue without end, but it is lost traffic: scale out.",
        runbooks=("http_5xx",),
    ),
    chart(
        "Connections to the API",
        "short",
        Query("sum by (server) (llm_server_connections)", "{{server}}"),
        no_data="The host source does not see the server's port",
        means="Established connections on the server's port.",
        bad="It grows without requests when clients leak connections, and stands still when the process hangs.",
    ),
    chart(
        "Preemptions",
        "ops",
        Query(f"sum by ({ENGINE}) (rate(llm_preemptions_total[$__rate_interval]))", ENGINE_NAME),
        means="Requests pushed out of the running batch a second for want of KV cache.",
        bad="Each is computed again from the start. With a full cache it means that the batch is too large.",
        flag="lower `--max-num-seqs`, or give the cache more: `--gpu-memory-utilization`",
    ),
)

CACHE = (
    chart(
        "KV cache by engine",
        "percentunit",
        Query(f"max by ({ENGINE}) (llm_kv_cache_usage_ratio)", ENGINE_NAME),
        top=1,
        steps=((0.0, look.GOOD), (0.9, look.WARNING), (0.98, look.BAD)),
        means="Share of each engine's KV cache in use. Averages over engines hide the full one.",
        bad="A flat 100 % with preemptions is too small; a slow climb without load is a leak.",
        flag="`--gpu-memory-utilization`, `--num-gpu-blocks-override`",
    ),
    chart(
        "Time until the KV cache is full",
        "s",
        Query(f"min by ({ENGINE}) (llm_kv_cache_time_to_full_seconds)", ENGINE_NAME),
        no_data="No cache fills up: the forecast is absent while usage does not rise",
        means="The forecast at the slope of the last minutes; absent while usage does not rise.",
        bad="A line that falls to 0 is where requests begin to wait.",
    ),
    chart(
        "Preemptions per finished request",
        "percentunit",
        Query(f"max by ({ENGINE}) (llm_preemption_ratio)", ENGINE_NAME),
        steps=((0.0, look.GOOD), (0.05, look.BAD)),
        no_data=NO_TRAFFIC,
        means="Preemptions per finished request over 5 minutes: independent of how much traffic there is.",
        bad="Above 5 % throughput falls although the GPU is busy.",
    ),
    chart(
        "Prefix cache hits by model",
        "percentunit",
        Query(scope.ratio(PREFIX_HITS, PREFIX_LOOKUPS, "server, model_name"), "{{server}} {{model_name}}"),
        top=1,
        no_data=NO_TRAFFIC,
        means="Share of the prompt tokens that were found in the prefix cache.",
        bad="When it halves, the first token slows down and the cache churns: compare with the last rollout.",
        flag="`--enable-prefix-caching`",
    ),
    chart(
        "Prompt tokens by source",
        "cps",
        Query(scope.rate("llm_prompt_tokens_by_source_total", "source"), "{{source}}"),
        stacked=True,
        no_data="This vLLM does not tell: since 0.16",
        means="Prompt tokens a second by where they came from: computed, from the local cache, or transferred.",
        bad="More computed at the same traffic is a colder cache and a slower first token.",
    ),
    quantiles(
        "Prompt tokens that were computed",
        "llm_request_prefill_computed_tokens",
        "short",
        means="Prompt tokens of finished requests that no cache had.",
        bad="This, and not the prompt's length, is what prefill costs.",
    ),
    table(
        "KV cache configuration",
        "max by (server, engine) (llm_kv_cache_capacity_tokens)",
        "max by (server) (llm_context_length_tokens)",
        "max by (server, vllm_version, block_size, cache_dtype, enable_prefix_caching, gpu_memory_utilization) "
        "(llm_engine_info)",
        columns=(
            Column("server", "Server"),
            Column("engine", "Engine", width=80),
            Column("A", "Capacity (tokens)", "locale"),
            Column("B", "Context length (tokens)", "locale"),
            Column("vllm_version", "vLLM"),
            Column("block_size", "Block size"),
            Column("cache_dtype", "Cache dtype"),
            Column("enable_prefix_caching", "Prefix caching"),
            Column("gpu_memory_utilization", "GPU memory share"),
        ),
        height=6,
        means="What each server was started with. Capacity over context length: so many longest requests fit.",
        bad="Replicas of one model that differ here answer differently under load: config drift.",
        flag="`--block-size`, `--kv-cache-dtype`, `--enable-prefix-caching`, `--max-model-len`",
        runbooks=("kv_cache_too_small",),
    ),
)

STEPS = (
    chart(
        "Engine steps",
        "ops",
        Query(f"sum by ({ENGINE}) (rate(llm_engine_steps_total[$__rate_interval]))", ENGINE_NAME),
        means="Steps that each engine takes a second: its heartbeat.",
        bad="0 while requests run is the hang that /health does not see.",
        runbooks=("engine_stalled",),
    ),
    quantiles(
        "Tokens in a step",
        "llm_engine_step_tokens",
        "short",
        means="Tokens in each step of the engine, prefill and decode together.",
        bad="At its bound prefill crowds out decode; very low under load, the batch does not fill.",
        flag="`--max-num-batched-tokens`",
    ),
    chart(
        "Age of the last step",
        "s",
        Query(f"max by ({ENGINE}) (llm_engine_step_age_seconds)", ENGINE_NAME),
        steps=((0.0, look.GOOD), (60.0, look.BAD)),
        no_data="No engine holds work",
        means="Time since each engine's last step, while it holds work.",
        bad="A line that climbs at one second a second is a hang from its foot on.",
        runbooks=("engine_stalled",),
    ),
    timeline(
        "Asleep",
        Query(f"max by ({ENGINE}) (llm_engine_asleep)", ENGINE_NAME),
        mappings={"0": ("awake", look.GOOD), "1": ("asleep", look.ASLEEP)},
        width=12,
        height=5,
        no_data="This vLLM does not tell: since 0.11.1",
        means="Whether the engine was put to sleep, which gives its GPU memory back.",
        bad="An engine that sleeps answers nobody until it is woken: `POST /wake_up`.",
        flag="`--enable-sleep-mode`",
    ),
    heat(
        "Preemptions a request has had",
        "llm_request_preemptions",
        "short",
        width=12,
        height=5,
        means="How often finished requests had been preempted.",
        bad="Requests in the upper buckets were computed again and again: the cache is much too small.",
    ),
)

ACCEPTED = "rate(llm_spec_decode_accepted_tokens_total[$__rate_interval])"
DRAFTED = "rate(llm_spec_decode_draft_tokens_total[$__rate_interval])"
DRAFTS = "rate(llm_spec_decode_drafts_total[$__rate_interval])"
SPECULATION = (
    chart(
        "Drafted tokens accepted",
        "percentunit",
        Query(scope.ratio(ACCEPTED, DRAFTED, "server, model_name"), "{{server}} {{model_name}}"),
        top=1,
        no_data=NO_SPEC,
        means="Share of the drafted tokens that the model accepted.",
        bad="Below a third drafting costs more than it gives.",
    ),
    chart(
        "Tokens per draft",
        "none",
        Query(f"1 + {scope.ratio(ACCEPTED, DRAFTS, 'server, model_name')}", "{{server}} {{model_name}}"),
        steps=((0.0, look.BAD), (1.2, look.GOOD)),
        no_data=NO_SPEC,
        means="Tokens that one step gives: those accepted and the model's own.",
        bad="Below 1.2 for half an hour speculative decoding does not pay: switch it off or draft fewer.",
    ),
    chart(
        "Accepted by position",
        "percentunit",
        Query(
            "sum by (position) (rate(llm_spec_decode_accepted_tokens_per_position_total[$__rate_interval])) "
            f"/ on () group_left () (sum({DRAFTS}) > 0)",
            "{{position}}",
        ),
        top=1,
        no_data=NO_SPEC,
        means="Share of the drafts whose token at each position was accepted.",
        bad="Positions that are hardly ever accepted only cost: lower num_speculative_tokens.",
    ),
)

BLOCKS = tuple(
    quantiles(
        title,
        series,
        no_data="Off: no --kv-cache-metrics",
        means=means,
        bad=bad,
        flag="`--kv-cache-metrics`, `--kv-cache-metrics-sample`",
    )
    for title, series, means, bad in (
        (
            "Life of a KV block",
            "llm_kv_block_lifetime_seconds",
            "From a block's allocation to its eviction, sampled.",
            "Seconds mean that the cache turns over faster than people ask again.",
        ),
        (
            "Idle before eviction",
            "llm_kv_block_idle_before_evict_seconds",
            "How long evicted blocks had lain idle, sampled.",
            "Short is a cache that evicts what it will need again: it is too small.",
        ),
        (
            "Time between two uses of a block",
            "llm_kv_block_reuse_gap_seconds",
            "From one use of a block to the next, sampled.",
            "Longer than the life of a block, prefixes are gone before they are asked for again.",
        ),
    )
)

OFFLOAD = (
    chart(
        "Offload traffic",
        "Bps",
        Query(scope.rate("llm_kv_offload_store_bytes_total"), "to the store"),
        Query(scope.rate("llm_kv_offload_load_bytes_total"), "back to the GPU"),
        no_data=NO_OFFLOAD,
        means="KV cache moved to host memory or storage, and back, a second.",
        bad="Much stored and little loaded is work for nothing.",
    ),
    chart(
        "Offload speed",
        "Bps",
        Query(
            scope.ratio(
                "rate(llm_kv_offload_load_bytes_total[$__rate_interval])",
                "rate(llm_kv_offload_load_seconds_total[$__rate_interval])",
            ),
            "load",
        ),
        Query(
            scope.ratio(
                "rate(llm_kv_offload_store_bytes_total[$__rate_interval])",
                "rate(llm_kv_offload_store_seconds_total[$__rate_interval])",
            ),
            "store",
        ),
        no_data=NO_OFFLOAD,
        means="Bytes per second of transfer time.",
        bad="Far below what PCIe gives, small blocks or a busy bus are the reason.",
        to=("vigil-gpu-host",),
    ),
    chart(
        "Offload stores without room",
        "ops",
        Query(scope.rate("llm_kv_offload_allocation_failures_total"), "no room"),
        Query(scope.rate("llm_kv_offload_stores_skipped_total"), "skipped"),
        colours={"no room": look.BAD, "skipped": look.WARNING},
        no_data=NO_OFFLOAD,
        means="Stores that found no room, and that were skipped.",
        bad="Offloading has stopped helping: give it more memory.",
    ),
)


NIXL = (
    quantiles(
        "NIXL transfer time",
        "llm_nixl_transfer_time_seconds",
        no_data=NO_NIXL,
        means="Time of each KV transfer between prefill and decode servers.",
        bad="It is added to the first token; seconds are a network that is not RDMA.",
    ),
    quantiles(
        "NIXL transfer size",
        "llm_nixl_transfer_size_bytes",
        "bytes",
        no_data=NO_NIXL,
        means="Size of each KV transfer.",
        bad="It follows prompt length; with the time it says what the link gives.",
    ),
    chart(
        "NIXL trouble",
        "ops",
        Query(scope.rate("llm_nixl_failed_transfers_total"), "failed transfers"),
        Query(scope.rate("llm_nixl_expired_requests_total"), "expired before read"),
        colours={"failed transfers": look.BAD, "expired before read": look.WARNING},
        no_data=NO_NIXL,
        means="Transfers that failed, and requests whose KV expired before it was read.",
        bad="Each is a prompt that is computed twice, or an error to a client.",
    ),
)

OTHERS = (
    chart(
        "External prefix cache hits",
        "percentunit",
        Query(
            scope.ratio(
                "rate(llm_external_prefix_cache_hits_total[$__rate_interval])",
                "rate(llm_external_prefix_cache_queries_total[$__rate_interval])",
            ),
            "hits",
        ),
        top=1,
        no_data="Off: no KV connector",
        means="Share of the tokens looked up behind the KV connector that were found there.",
        bad="Near 0 the shared cache is cold, or the replicas hash differently.",
        flag="`--kv-transfer-config`, the same `PYTHONHASHSEED` everywhere",
    ),
    chart(
        "Multi-modal cache hits",
        "percentunit",
        Query(
            scope.ratio(
                "rate(llm_multimodal_cache_hits_total[$__rate_interval])",
                "rate(llm_multimodal_cache_queries_total[$__rate_interval])",
            ),
            "hits",
        ),
        top=1,
        no_data="No multi-modal input",
        means="Share of the images and sounds that were found in the cache of processed inputs.",
        bad="Repeated images that miss are processed again on the CPU.",
        flag="`--mm-processor-cache-gb`",
    ),
    bars(
        "Context that fits at once",
        "none",
        Query(
            "llm_kv_cache_capacity_tokens / on (job, instance, server) group_left () llm_context_length_tokens",
            ENGINE_NAME,
        ),
        steps=look.below(2, 1),
        no_data="The server does not tell its capacity",
        means="How many requests of the greatest length the KV cache holds at once.",
        bad="Below 1 the server would not have started; below 2 one long request starves the rest.",
        flag="`--max-model-len`",
        runbooks=("kv_cache_too_small",),
    ),
)

QUEUE_KV_CACHE = Board(
    uid="vigil-queue-kv-cache",
    title="Queue and KV cache",
    question="Is there room: in the batch, in the KV cache, and in the caches behind it?",
    hours=3,
    rows=(
        Row("At a glance", GLANCE),
        Row("Queue", QUEUE),
        Row("KV cache", CACHE),
        Row("Engine steps", STEPS),
        Row("Speculative decoding", SPECULATION, needs="--speculative-config"),
        Row("Life of KV blocks", BLOCKS, needs="--kv-cache-metrics"),
        Row("KV offloading", OFFLOAD, needs="--kv-transfer-config with an OffloadingConnector"),
        Row("KV transfer with NIXL", NIXL, needs="--kv-transfer-config with the NixlConnector"),
        Row("Other caches", OTHERS, needs="a KV connector, or multi-modal input"),
    ),
)
