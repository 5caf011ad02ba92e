"""The traps of shipped PromQL, each a check of its own: an expression -> what is wrong with it, in words.

Neither promtool nor Prometheus says a word about any of them. Each check stands with an expression that it must find
(`CHECKS`), taken from what dashboards and rules of others have in use.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from datetime import timedelta

import promql_parser as promql

from standins.promql import nodes, selectors
from standins.shipped import ROOT
from vllm_vigil.clock import CrankedClock
from vllm_vigil.series.catalogue import SPECS
from vllm_vigil.series.spec import Kind
from vllm_vigil.telemetry import Telemetry

Check = Callable[[promql.Expr], Iterator[str]]

SCRAPE = timedelta(seconds=15)
OF_COUNTERS = {"rate", "increase", "irate", "resets"}
OF_GAUGES = {"delta", "idelta", "deriv", "predict_linear", "avg_over_time", "quantile_over_time"}
OF_BOTH_MAJORS = {
    *("rate", "increase", "resets", "changes", "deriv", "predict_linear", "time", "vector", "round"),
    *("avg_over_time", "max_over_time", "min_over_time", "last_over_time", "quantile_over_time"),
    *("histogram_quantile", "label_replace", "label_join"),
}
"""Functions that 2.42 and 3 have, with the same meaning."""

_FAMILIES = json.loads((ROOT / "tests" / "data" / "vllm" / "metrics.json").read_text())["bucket_families"]
BUCKETS = {
    "llm_time_to_first_token_seconds": "time_to_first_token",
    "llm_inter_token_latency_seconds": "inter_token_latency",
    "llm_e2e_request_latency_seconds": "request_latency",
    "llm_request_queue_time_seconds": "request_latency",
}
_TELEMETRY = {
    family.name + ("_total" if family.type == "counter" else ""): family.type
    for family in Telemetry(CrankedClock()).registry.collect()
}


def kind_of(name: str) -> str:
    """counter, gauge, or "" for what is not ours."""
    base = re.sub(r"_(bucket|sum|count)$", "", name)
    if base != name and base in SPECS and SPECS[base].kind is Kind.HISTOGRAM:
        return "counter"
    if name in SPECS:
        return "counter" if SPECS[name].kind is Kind.COUNTER else "gauge"
    return _TELEMETRY.get(name, "counter" if name.endswith("_total") else "")


def calls(expr: promql.Expr) -> Iterator[promql.Call]:
    """Every function that is called."""
    return (node for node in nodes(expr) if isinstance(node, promql.Call))


def binaries(expr: promql.Expr, *operators: str) -> Iterator[promql.BinaryExpr]:
    """Every operation with one of these operators."""
    return (node for node in nodes(expr) if isinstance(node, promql.BinaryExpr) and str(node.op) in operators)


def bare(expr: promql.Expr) -> promql.Expr:
    """Without parentheses."""
    while isinstance(expr, promql.ParenExpr):
        expr = expr.expr
    return expr


# --- the checks


def rate_of_gauge(expr: promql.Expr) -> Iterator[str]:
    """`increase(last_xid[15m])`: a gauge that changes is no counter that grows."""
    for call in calls(expr):
        for selector in selectors(call) if call.func.name in OF_COUNTERS else ():
            if kind_of(str(selector.name)) == "gauge":
                yield f"{call.func.name}() of the gauge {selector.name}"


def slope_of_counter(expr: promql.Expr) -> Iterator[str]:
    """`deriv` and averages of a counter forget its resets."""
    for call in calls(expr):
        direct = [arg for arg in call.args if isinstance(arg, promql.MatrixSelector)]
        for matrix in direct if call.func.name in OF_GAUGES else ():
            if kind_of(str(matrix.vector_selector.name)) == "counter":
                yield f"{call.func.name}() of the counter {matrix.vector_selector.name}"


def counter_as_it_stands(expr: promql.Expr) -> Iterator[str]:
    """Totals since the start: an average over them never moves in an incident."""
    in_ranges = {id(s) for node in nodes(expr) if isinstance(node, promql.MatrixSelector) for s in selectors(node)}
    counted = {str(s.name) for node in nodes(expr) if _only_counts(node) for s in selectors(node)}
    ranged = [str(m.vector_selector.name) for m in nodes(expr) if isinstance(m, promql.MatrixSelector)]
    for selector in selectors(expr):
        name = str(selector.name)
        free = id(selector) not in in_ranges and name not in ranged and name not in counted
        if free and kind_of(name) == "counter":
            yield f"{name} without rate() or increase()"


def _only_counts(node: promql.Expr) -> bool:
    return isinstance(node, promql.AggregateExpr) and str(node.op) in {"group", "count"}


def total_forgotten(expr: promql.Expr) -> Iterator[str]:
    """prometheus_client adds `_total` to every counter; vLLM's source shows the name without it."""
    for selector in selectors(expr):
        name = str(selector.name)
        if not kind_of(name) and f"{name}_total" in {*SPECS, *_TELEMETRY}:
            yield f"{name} is exported as {name}_total"


def bucket_that_is_none(expr: promql.Expr) -> Iterator[str]:
    """`le="0.8"` of TTFT, `le="1"`: no such bucket, no data, no alert."""
    for selector in selectors(expr):
        for matcher in selector.matchers.matchers:
            if matcher.name == "le":
                yield from _bucket_problems(str(selector.name).removesuffix("_bucket"), str(matcher.value))


def _bucket_problems(series: str, bound: str) -> Iterator[str]:
    if bound != "+Inf" and bound != str(float(bound)):
        yield f'le="{bound}" is written le="{float(bound)}", in Prometheus 2 and 3'
    family = _FAMILIES[BUCKETS[series]]["edges_by_version"][-1]["edges"] if series in BUCKETS else None
    if family and float(bound) not in family:
        yield f"{series} has no bucket {bound}"


def percent_for_ratio(expr: promql.Expr) -> Iterator[str]:
    """A share is 0 to 1: `> 90` never fires."""
    for node in binaries(expr, ">", "<", ">=", "<="):
        limit, names = bare(node.rhs), [str(selector.name) for selector in selectors(node.lhs)]
        shares = bool(names) and all(re.search(r"_ratio$|:(ratio|avg)", name) for name in names)
        if isinstance(limit, promql.NumberLiteral) and shares and limit.val > 1.5 and "per_step" not in names[0]:
            yield f"the share {names[0]} is compared with {limit.val:g}"


def milliseconds_for_seconds(expr: promql.Expr) -> Iterator[str]:
    """TTFT is in seconds: `> 2000` never fires."""
    for node in binaries(expr, ">", ">="):
        limit, names = bare(node.rhs), {str(selector.name) for selector in selectors(node.lhs)}
        timed = any(series in name for name in names for series in BUCKETS)
        if isinstance(limit, promql.NumberLiteral) and timed and limit.val >= 600 and ":p" in "".join(names):
            yield f"{min(names)}, in seconds, is compared with {limit.val:g}"


def division_by_nothing(expr: promql.Expr) -> Iterator[str]:
    """Without `> 0` an idle server gives NaN, which poisons sums and never compares."""
    for node in binaries(expr, "/"):
        below = bare(node.rhs)
        guarded = isinstance(below, promql.BinaryExpr) and str(below.op) == ">"
        if not guarded and not isinstance(below, promql.NumberLiteral):
            yield f"nothing keeps {below} from being 0"


def clamped_denominator(expr: promql.Expr) -> Iterator[str]:
    """`clamp_min(rate, 1)` hides failures below one request a second."""
    if any(call.func.name == "clamp_min" for call in calls(expr)):
        yield "clamp_min() hides small rates: use `> 0`"


def quantile_of_single_targets(expr: promql.Expr) -> Iterator[str]:
    """Without `sum by (..., le)` there is one quantile a target, or none."""
    for call in calls(expr):
        if call.func.name == "histogram_quantile":
            inner = bare(call.args[1])
            summed = isinstance(inner, promql.AggregateExpr) and "le" in (
                inner.modifier.labels if inner.modifier else ()
            )
            if not summed:
                yield "histogram_quantile() of buckets that are not summed by le"


def mean_of_quantiles(expr: promql.Expr) -> Iterator[str]:
    """The mean of two p95 is no p95."""
    for node in nodes(expr):
        if isinstance(node, promql.AggregateExpr) and str(node.op) in {"avg", "sum"}:
            for selector in selectors(node):
                if re.search(r":p\d\d_", str(selector.name)):
                    yield f"{node.op} of the quantile {selector.name}"


def short_range(expr: promql.Expr) -> Iterator[str]:
    """Four scrapes at least: in Prometheus 3 a range of two has one sample."""
    for node in nodes(expr):
        if isinstance(node, promql.MatrixSelector) and (node.range or SCRAPE) < 4 * SCRAPE:
            yield f"a range of {node.range} has too few samples"
        if isinstance(node, promql.SubqueryExpr) and (not node.step or (node.range or SCRAPE) < 4 * node.step):
            yield "a subquery needs a step, and four of them"


def fragile_choice(expr: promql.Expr) -> Iterator[str]:
    """`topk` changes its labels from one evaluation to the next: the alert starts again."""
    for node in nodes(expr):
        if isinstance(node, promql.AggregateExpr) and str(node.op) in {"topk", "bottomk"}:
            yield f"{node.op}() in a rule"


def label_eraser(expr: promql.Expr) -> Iterator[str]:
    """`or vector(0)` has no labels: it does not stand in for a series that has."""
    for node in binaries(expr, "or"):
        for side in (bare(node.lhs), bare(node.rhs)):
            if isinstance(side, promql.Call) and side.func.name == "vector":
                yield "`or vector(...)` erases the labels"


def name_by_pattern(expr: promql.Expr) -> Iterator[str]:
    """`{__name__=~"a|b"}` under a function that drops the name gives duplicates."""
    for selector in selectors(expr):
        matchers = {matcher.name for matcher in selector.matchers.matchers}
        if not selector.name or "__name__" in matchers:
            yield "a series without a name of its own"


def new_function(expr: promql.Expr) -> Iterator[str]:
    """Only what 2.42 and 3 both have."""
    for call in calls(expr):
        if call.func.name not in OF_BOTH_MAJORS:
            yield f"{call.func.name}() is not in the list of functions that both majors have"


CHECKS: tuple[tuple[Check, str], ...] = (
    (rate_of_gauge, "increase(gpu_xid_last_seen_timestamp_seconds[15m]) > 0"),
    (slope_of_counter, "deriv(llm_generation_tokens_total[15m]) > 0"),
    (counter_as_it_stands, "llm_prefix_cache_hits_total / (llm_prefix_cache_queries_total > 0)"),
    (total_forgotten, "rate(llm_preemptions[5m]) > 0"),
    (bucket_that_is_none, 'rate(llm_time_to_first_token_seconds_bucket{le="0.8"}[5m])'),
    (bucket_that_is_none, 'rate(llm_time_to_first_token_seconds_bucket{le="1"}[5m])'),
    (percent_for_ratio, "max by (server) (llm_kv_cache_usage_ratio) > 90"),
    (milliseconds_for_seconds, "server_model:llm_time_to_first_token_seconds:p95_5m > 2000"),
    (division_by_nothing, "sum(rate(llm_preemptions_total[5m])) / sum(rate(llm_requests_finished_total[5m]))"),
    (clamped_denominator, "sum(rate(llm_preemptions_total[5m])) / clamp_min(sum(rate(llm_engine_steps_total[5m])), 1)"),
    (quantile_of_single_targets, "histogram_quantile(0.99, rate(llm_e2e_request_latency_seconds_bucket[5m]))"),
    (mean_of_quantiles, "avg(server_model:llm_e2e_request_latency_seconds:p95_5m) > 8"),
    (short_range, "rate(llm_generation_tokens_total[30s])"),
    (short_range, "max_over_time((llm_requests_waiting > 0)[1m:30s])"),
    (fragile_choice, "topk(1, llm_requests_waiting) > 10"),
    (label_eraser, "sum by (server) (llm_requests_waiting) or vector(0)"),
    (name_by_pattern, '{__name__=~"llm_requests_.*"}'),
    (new_function, "double_exponential_smoothing(llm_kv_cache_usage_ratio[15m], 0.5, 0.5)"),
)
