"""How fast is it, does it keep its promises, and how much of the error budget is left."""

from __future__ import annotations

from dataclasses import dataclass

from vigil_boards import look, scope
from vigil_boards.board import Board, Choice, Row
from vigil_boards.kinds import chart, heat, quantiles, stat
from vigil_boards.panel import NO_TRAFFIC, Panel, Query
from vigil_boards.shared import REQUESTS
from vigil_boards.tables import Column, table

CHOICES = (
    Choice(
        "ttft_slo",
        "First token (s)",
        ("0.25", "0.5", "0.75", "1.0", "2.5", "5.0", "10.0"),
        "2.5",
        "A bound of vLLM's buckets for the time to the first token: between two bounds nothing can be counted.",
    ),
    Choice(
        "itl_slo",
        "Next token (s)",
        ("0.025", "0.05", "0.075", "0.1", "0.15", "0.2", "0.3", "0.5"),
        "0.1",
        "A bound of vLLM's buckets for the time between tokens.",
    ),
    Choice(
        "e2e_slo",
        "Answer (s)",
        ("5.0", "10.0", "15.0", "20.0", "30.0", "60.0", "120.0"),
        "30.0",
        "A bound of vLLM's buckets for the whole request.",
    ),
    Choice("objective", "Objective", ("0.9", "0.95", "0.99", "0.995", "0.999"), "0.99", "The share that must be good."),
    Choice("budget_window", "Window", ("6h", "1d", "7d", "28d", "30d"), "1d", "The time that the budget is for."),
)


@dataclass(frozen=True, slots=True)
class Promise:
    """One objective: which events there are, which of them are good, and the words for it."""

    name: str
    good: str
    every: str
    within: str
    look_at: str

    def bad_share(self, window: str, by: str = "") -> str:
        """The share of the events in a window that broke the promise; nothing where there were none."""
        good = scope.total(f"increase({self.good}[{window}])", by)
        every = scope.total(f"increase({self.every}[{window}])", by)
        return f"1 - {good} / ({every} > 0)"

    def burn(self, window: str) -> str:
        """How many times faster than allowed the budget is spent."""
        return f"({self.bad_share(window)}) / (1 - $objective)"


def _histogram(name: str, series: str, variable: str, look_at: str) -> Promise:
    within = f"within ${variable} s"
    return Promise(name, f'{series}_bucket{{le="${variable}"}}', f"{series}_count", within, look_at)


PROMISES = (
    _histogram("First token", "llm_time_to_first_token_seconds", "ttft_slo", "queue time first, then prefill"),
    _histogram(
        "Next token", "llm_inter_token_latency_seconds", "itl_slo", "prefills in the batch, clocks, preemptions"
    ),
    _histogram("Whole answer", "llm_e2e_request_latency_seconds", "e2e_slo", "where the time goes, below"),
    Promise(
        "Availability",
        'llm_http_requests_total{code!="5xx", handler!~"/metrics|/health|/ping|/version"}',
        'llm_http_requests_total{handler!~"/metrics|/health|/ping|/version"}',
        "not answered with 5xx",
        "the engine's state and the errors in the log",
    ),
)

LATENCY = PROMISES[:3]


def kept(promise: Promise) -> Panel:
    """The share that kept the promise in the time that the board shows."""
    return stat(
        f"{promise.name}: kept",
        "percentunit",
        f"1 - ({promise.bad_share('$__range')})",
        steps=look.below(0.999, 0.99),
        width=6,
        decimals=2,
        no_data=NO_TRAFFIC,
        means=f"Share of the events in the time shown that were {promise.within}.",
        bad=f"Below the objective the promise is broken: look at {promise.look_at}.",
        flag="none: the thresholds are this board's variables, restricted to the bounds of vLLM's buckets",
    )


def budget(promise: Promise) -> Panel:
    """What is left of the budget."""
    return stat(
        f"{promise.name}: budget left",
        "percentunit",
        f"1 - {promise.burn('$budget_window')}",
        steps=look.below(0.5, 0.0),
        width=6,
        decimals=0,
        no_data=NO_TRAFFIC,
        means="What is left of the error budget: 100 % is untouched, 0 % spent, below 0 the promise is broken.",
        bad=f"When it falls fast, stop rolling out and look at {promise.look_at}.",
        flag="none: $objective over $budget_window, from raw series, without recording rules",
    )


def burning(promise: Promise) -> Panel:
    """How fast the budget is spent, in the windows that the alerts use."""
    return chart(
        f"{promise.name}: burn rate",
        "none",
        *(Query(promise.burn(window), window) for window in ("5m", "1h", "6h")),
        steps=((0.0, look.GOOD), (1.0, look.WARNING), (14.4, look.BAD)),
        colours={"5m": look.QUANTILES["p50"], "1h": look.QUANTILES["p95"], "6h": look.QUANTILES["p99"]},
        width=12,
        no_data=NO_TRAFFIC,
        means="How many times faster than the objective allows the budget is spent. 1 spends it exactly in its window.",
        bad="14.4 over 1 h and 5 m together spends 2 % of a month's budget in an hour and pages; 1 is a ticket.",
        flag="none: from raw series, without recording rules",
    )


GUARD = stat(
    "Promises that cannot be measured",
    "short",
    " + ".join(
        f'(count(llm_{series}_count unless ignoring (le) llm_{series}_bucket{{le="${variable}"}}) or vector(0))'
        for series, variable in (
            ("time_to_first_token_seconds", "ttft_slo"),
            ("inter_token_latency_seconds", "itl_slo"),
            ("e2e_request_latency_seconds", "e2e_slo"),
        )
    ),
    steps=look.above(None, 1),
    width=8,
    means="Engines whose buckets have no bound at a chosen threshold, so that their share of good events is unknown.",
    bad="Above 0 the numbers here leave those engines out: choose a bound that they have.",
)

LEFT = tuple(
    stat(
        f"{promise.name}: budget lasts",
        "s",
        f"clamp_min(1 - {promise.burn('$budget_window')}, 0) * {seconds} / ({promise.burn('1h')} > 0)",
        steps=look.below(604_800, 86_400),
        width=4,
        no_data="Nothing is spent now",
        means="When the budget is gone if the last hour goes on.",
        bad=f"Less than a day is a page, less than a week a ticket: look at {promise.look_at}.",
        flag="none: reckons with a budget for 30 days, from raw series",
    )
    for promise, seconds in zip(PROMISES, (30 * 86_400,) * 4, strict=True)
)

PERCENTILES = (
    quantiles(
        "First token: percentiles",
        "llm_time_to_first_token_seconds",
        means="From arrival to the first token. Below 1 ms and between two bounds it is interpolation.",
        bad="p50 that rises is a queue, p99 alone a few long prompts; the mean far above p50 is two kinds of requests.",
        to=("vigil-queue-kv-cache",),
    ),
    quantiles(
        "Next token: percentiles",
        "llm_inter_token_latency_seconds",
        means="From one step that gave a request tokens to its next. Below 10 ms it is interpolation.",
        bad="Everybody reads more slowly: long prefills share the steps, the batch is too large, or clocks are down.",
        flag="`--max-num-batched-tokens`, `--max-num-seqs`",
        to=("vigil-gpu-host",),
    ),
    quantiles(
        "Whole answer: percentiles",
        "llm_e2e_request_latency_seconds",
        means="From arrival to the last token, of finished requests. Below 0.3 s it is interpolation.",
        bad="It follows the length of the answers: compare with the tokens generated before blaming the engine.",
    ),
    heat(
        "First token: distribution",
        "llm_time_to_first_token_seconds",
        means="How many requests a second had their first token in each bucket.",
        bad="Two bands are two kinds of requests, or two engines; a band that climbs is a queue.",
    ),
    heat(
        "Next token: distribution",
        "llm_inter_token_latency_seconds",
        means="How many steps a second took as long as each bucket.",
        bad="A second band far above the first is decode that waits for prefill.",
    ),
    heat(
        "Whole answer: distribution",
        "llm_e2e_request_latency_seconds",
        means="How many requests a second took as long as each bucket.",
        bad="What lies in the topmost buckets runs into the timeouts of clients and balancers.",
    ),
)

STAGES = (("queue", look.WARNING), ("prefill", look.ASLEEP), ("decode", look.NEUTRAL))
WHERE = (
    chart(
        "Where the time goes",
        "s",
        *(Query(scope.mean(f"llm_request_{stage}_time_seconds"), stage) for stage, _ in STAGES),
        stacked=True,
        colours=dict(STAGES),
        width=12,
        height=8,
        no_data=NO_TRAFFIC,
        means="Mean time of finished requests in the queue, in prefill and in decode; together about the whole answer.",
        bad="Queue is missing capacity, prefill long prompts or a cold cache, decode large batches or slow GPUs.",
        to=("vigil-queue-kv-cache", "vigil-gpu-host"),
    ),
    quantiles(
        "Queue time",
        "llm_request_queue_time_seconds",
        width=12,
        height=8,
        means="How long finished requests had waited for a place in the batch. Below 0.3 s it is interpolation.",
        bad="Above a second there is not enough capacity: more replicas, or a smaller `--max-model-len`.",
        flag="`--max-num-seqs` limits the batch",
        to=("vigil-queue-kv-cache",),
    ),
    quantiles(
        "Prefill time",
        "llm_request_prefill_time_seconds",
        means="Time of finished requests in prefill, of all their chunks.",
        bad="It follows the prompt's length less what the prefix cache spared; chunks of others make it longer.",
        flag="`--enable-chunked-prefill`, `--max-num-batched-tokens`",
    ),
    quantiles(
        "Decode time",
        "llm_request_decode_time_seconds",
        means="Time of finished requests from first to last token.",
        bad="It follows the answer's length; per token it should be flat.",
    ),
    quantiles(
        "Time per output token of a request",
        "llm_request_time_per_output_token_seconds",
        means="Mean time per output token of each finished request: a long answer weighs no more than a short one.",
        bad="Where it differs much from the time between tokens, some requests are starved.",
    ),
)

BY_MODEL = (
    table(
        "Promises by model",
        *(f"1 - ({promise.bad_share('$__range', 'server, model_name')})" for promise in LATENCY),
        "sum by (server, model_name) (increase(llm_time_to_first_token_seconds_count[$__range]))",
        columns=(
            Column("server", "Server"),
            Column("model_name", "Model"),
            Column("A", "First token kept", "percentunit", steps=look.below(0.999, 0.99), decimals=2),
            Column("B", "Next token kept", "percentunit", steps=look.below(0.999, 0.99), decimals=2),
            Column("C", "Whole answer kept", "percentunit", steps=look.below(0.999, 0.99), decimals=2),
            Column("D", "Requests", "short", decimals=0),
        ),
        height=6,
        no_data=NO_TRAFFIC,
        means="The share that kept each promise in the time shown, by model: whose latency it is.",
        bad="A model with few requests breaks its promise with one of them: read the last column too.",
    ),
    *(
        chart(
            f"{name} p95 by model",
            "s",
            Query(scope.quantile(0.95, series, "server, model_name"), "{{server}} {{model_name}}"),
            no_data=NO_TRAFFIC,
            means=f"95th percentile of {what}, one line per server and model.",
            bad="One line above the rest is that model's trouble; all together are the machine's or the load's.",
        )
        for name, series, what in (
            ("First token", "llm_time_to_first_token_seconds", "the time to the first token"),
            ("Next token", "llm_inter_token_latency_seconds", "the time between tokens"),
            ("Whole answer", "llm_e2e_request_latency_seconds", "the whole request"),
        )
    ),
)

WORKLOAD = (
    quantiles(
        "Prompt length",
        "llm_request_prompt_tokens",
        "short",
        means="Prompt tokens of finished requests.",
        bad="Longer prompts explain a slower first token; above the context length requests are refused with 400.",
        flag="`--max-model-len`",
    ),
    quantiles(
        "Answer length",
        "llm_request_generation_tokens",
        "short",
        means="Generated tokens of finished requests.",
        bad="Longer answers explain slower requests; a p99 at the limit is answers that were cut.",
    ),
    chart(
        "Answers cut or given up",
        "percentunit",
        Query(
            scope.ratio(
                'rate(llm_requests_finished_total{reason="length"}[$__rate_interval])',
                "rate(llm_requests_finished_total[$__rate_interval])",
            ),
            "cut at the length limit",
        ),
        Query(
            scope.ratio(
                'rate(llm_requests_finished_total{reason="abort"}[$__rate_interval])',
                "rate(llm_requests_finished_total[$__rate_interval])",
            ),
            "client gave up",
        ),
        colours={"cut at the length limit": look.NEUTRAL, "client gave up": look.WARNING},
        top=1,
        no_data=NO_TRAFFIC,
        means="Share of the finished requests that ran into max_tokens, and that clients abandoned.",
        bad="People give up before averages move: a rise of aborts is the earliest sign of a bad first token.",
    ),
    heat(
        "Prompt length: distribution",
        "llm_request_prompt_tokens",
        "short",
        means="How many prompts a second had each length.",
        bad="A new band is a new kind of use: it may need its own replica.",
    ),
    heat(
        "Answer length: distribution",
        "llm_request_generation_tokens",
        "short",
        means="How many answers a second had each length.",
        bad="Everything in one bucket at the limit is a client whose max_tokens is too small.",
    ),
    quantiles(
        "Tokens asked for",
        "llm_request_params_max_tokens",
        "short",
        means="The parameter max_tokens of finished requests.",
        bad="Far above the answers' length it only hides what the queue will hold.",
    ),
)

HTTP_BY_ROUTE = (
    'rate(llm_http_request_duration_seconds_{part}{{handler!~"/metrics|/health|/ping|/version"}}[$__rate_interval])'
)
HTTP = (
    chart(
        "HTTP requests by route",
        "reqps",
        Query(scope.total(REQUESTS, "handler"), "{{handler}}"),
        stacked=True,
        no_data=NO_TRAFFIC,
        means="HTTP requests a second by route; health checks and scrapes are left out.",
        bad="A route that nobody should use, or one that falls to 0: look at the balancer.",
    ),
    chart(
        "HTTP errors by route",
        "percentunit",
        Query(
            scope.ratio('rate(llm_http_requests_total{code="5xx"}[$__rate_interval])', REQUESTS, "handler"),
            "{{handler}}",
        ),
        top=1,
        no_data=NO_TRAFFIC,
        means="Share of the answers of each route that were 5xx; a route without one shows nothing.",
        bad="One route alone is a bug in it, all of them are the engine.",
        runbooks=("http_5xx",),
    ),
    chart(
        "HTTP mean duration by route",
        "s",
        Query(
            scope.ratio(HTTP_BY_ROUTE.format(part="sum"), HTTP_BY_ROUTE.format(part="count"), "handler"), "{{handler}}"
        ),
        no_data=NO_TRAFFIC,
        means="Mean time to answer, by route; a stream counts until its end.",
        bad="Above the engine's own time the API process is the bottleneck: more API servers.",
        flag="`--api-server-count`",
    ),
)

LATENCY_SLO = Board(
    uid="vigil-latency-slo",
    title="Latency and SLO",
    question="How fast is it, does it keep its promises, and how much error budget is left?",
    choices=CHOICES,
    hours=6,
    rows=(
        Row("Promises", (*map(kept, PROMISES), *map(budget, PROMISES))),
        Row("Latency", PERCENTILES),
        Row("Error budget", (*map(burning, PROMISES), *LEFT, GUARD)),
        Row("Where the time goes", WHERE),
        Row("By model", BY_MODEL),
        Row("Workload", WORKLOAD),
        Row("HTTP", HTTP),
    ),
)
