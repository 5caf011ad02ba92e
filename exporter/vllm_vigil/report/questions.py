"""What the report asks Prometheus, a row each. `{span}` stands for the length of the month, such as `2678400s`.

All of it is asked of the sidecar's own series, so that a report needs no recording rule. What a server was put to sleep
for does not count against it, and what nobody watched counts neither way: how much was watched is a figure of its own.
"""

from __future__ import annotations

from collections.abc import Mapping

from vllm_vigil.slo.promises import ASKED

SERVING = (
    'avg by (server) (max by (server, engine) (llm_engine_state{state=~"healthy|idle"})'
    ' unless on (server, engine) (llm_engine_state{state="asleep"} == 1))'
)
"""Share of a server's engines that can answer at one moment, 0 to 1."""

_ALL = f"sum by (server) (increase(llm_http_requests_total{{{ASKED}}}[{{span}}]))"
ANSWERED = (
    f'1 - (sum by (server) (increase(llm_http_requests_total{{code="5xx", {ASKED}}}[{{span}}])) or 0 * {_ALL})'
    f" / ({_ALL} > 0)"
)
"""The share of requests that were not answered with a 5xx."""

PER_SERVER: Mapping[str, str] = {
    "serving": f"avg_over_time(({SERVING})[{{span}}:1m])",
    "watched_minutes": "count_over_time((max by (server) (llm_engine_state))[{span}:1m])",
    "http_requests": "sum by (server) (increase(llm_http_requests_total[{span}]))",
    "http_errors": 'sum by (server) (increase(llm_http_requests_total{code="5xx"}[{span}]))',
    "requests": "sum by (server) (increase(llm_requests_finished_total[{span}]))",
    "prompt_tokens": "sum by (server) (increase(llm_prompt_tokens_total[{span}]))",
    "generated_tokens": "sum by (server) (increase(llm_generation_tokens_total[{span}]))",
    "preemptions": "sum by (server) (increase(llm_preemptions_total[{span}]))",
    "waiting_p95": "quantile_over_time(0.95, (sum by (server) (llm_requests_waiting))[{span}:5m])",
    "kv_cache_p95": "quantile_over_time(0.95, (max by (server) (llm_kv_cache_usage_ratio))[{span}:5m])",
}
"""One number a server."""

USAGE = ("requests", "prompt_tokens", "generated_tokens")
"""Those of them that are held against the month before."""

QUANTILES = (0.5, 0.95, 0.99)

PEAKS: Mapping[str, str] = {
    "generated tokens a second": "max_over_time((sum by (server) (rate(llm_generation_tokens_total[5m])))[1h:5m])",
    "requests running": "max_over_time((sum by (server) (llm_requests_running))[1h:1m])",
    "requests waiting": "max_over_time((sum by (server) (llm_requests_waiting))[1h:1m])",
    "KV cache in use": "max_over_time((max by (server) (llm_kv_cache_usage_ratio))[1h:1m])",
}
"""Asked for every hour; the greatest is the peak."""

DAILY: Mapping[str, str] = {
    "Generated tokens a day": "sum by (server) (increase(llm_generation_tokens_total[1d]))",
    "Able to answer, by day": f"avg_over_time(({SERVING})[1d:1m])",
    "95 % had their first token within, by day": (
        "histogram_quantile(0.95, sum by (server, le) (increase(llm_time_to_first_token_seconds_bucket[1d])))"
    ),
}
"""Asked for every whole day."""

PER_GPU: Mapping[str, str] = {
    "hours": "count_over_time((max by (instance, gpu, uuid) (gpu_info))[{span}:1m]) / 60",
    "joules": "max by (instance, gpu, uuid) (increase(gpu_energy_joules_total[{span}]))",
    "busy": "max by (instance, gpu, uuid) (avg_over_time(gpu_utilization_ratio[{span}]))",
    "busy_p95": "max by (instance, gpu, uuid) (quantile_over_time(0.95, gpu_utilization_ratio[{span}]))",
}
"""One number a GPU."""

HOLDERS = 'max by (server, uuid) (max_over_time(gpu_process_memory_bytes{server!=""}[{span}]))'
"""Which server held memory on which GPU."""

NEIGHBOURS = "max by (instance, server) (max_over_time(llm_engine_state[{span}]))"
"""Which server is watched by which sidecar: on a host with one server, the host's GPUs are that server's."""

OPEN_INCIDENTS = "sum by (rule, severity) (vigil_incidents_open)"
"""How many incidents of a rule are open; asked for every minute."""


def mean(series: str) -> str:
    """The exact mean of a histogram over the month."""
    count = f"sum by (server) (increase({series}_count[{{span}}]))"
    return f"sum by (server) (increase({series}_sum[{{span}}])) / ({count} > 0)"


def quantile(share: float, series: str) -> str:
    """A quantile of a histogram over the month; between two bounds it is interpolated."""
    return f"histogram_quantile({share:g}, sum by (server, le) (increase({series}_bucket[{{span}}])))"


def within(series: str, le: str) -> str:
    """The share of a histogram's observations that stayed within a bound of its buckets."""
    inside = f'sum by (server) (increase({series}_bucket{{le="{le}"}}[{{span}}]))'
    return f"{inside} / (sum by (server) (increase({series}_count[{{span}}])) > 0)"
