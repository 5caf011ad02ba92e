"""Four promises -> slo.yml: burn rates over seven windows, two alerts a promise, what is left of each budget.

The method is that of Google's SRE workbook ("multi-window, multi-burn-rate"): a page when a fiftieth of a month's
budget is burnt within an hour or a twentieth within six, a ticket when a tenth is within a day or within three. The
short window of each pair ends the alert soon after the trouble.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from vigil_rules.page import Alert, Group, Record, page

MODEL = "job, instance, server, model_name"
SERVER = "job, instance, server"
ASKED = 'handler!~"/health|/metrics|/ping|/version"'
"""What is asked by people, not by a load balancer or Prometheus."""


@dataclass(frozen=True)
class Pair:
    """A long window and a short one, and how many times faster than allowed the budget is burnt."""

    long: str
    short: str
    factor: float


FAST = (Pair("1h", "5m", 14.4), Pair("6h", "30m", 6))
SLOW = (Pair("1d", "2h", 3), Pair("3d", "6h", 1))
WINDOWS = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")
LEAST_ERRORS = 10
"""Fewer failures than this in the long window are chance, whatever their share."""


@dataclass(frozen=True)
class Promise:
    """`target` percent of the events are good: within `le` seconds or, without it, not answered with 5xx."""

    short: str
    name: str
    target: float
    failed: str
    first: str
    series: str = ""
    le: str = ""

    @property
    def labels(self) -> str:
        """What the events are told apart by: HTTP answers do not say their model."""
        return MODEL if self.series else SERVER

    @property
    def level(self) -> str:
        """The level in the records' names."""
        return "server_model" if self.series else "server"

    @property
    def budget(self) -> float:
        """The share that may fail."""
        return round((100 - self.target) / 100, 6)

    @property
    def who(self) -> str:
        """Server and model, as annotations name them."""
        return "{{ $labels.server }}" + (" ({{ $labels.model_name }})" if self.series else "")

    def all(self, function: str, window: str) -> str:
        """All events of a window."""
        series = f"{self.series}_count" if self.series else f"llm_http_requests_total{{{ASKED}}}"
        return f"sum by ({self.labels}) ({function}({series}[{window}]))"

    def bad(self, function: str, window: str) -> str:
        """Those that failed."""
        if self.series:
            good = f'sum by ({self.labels}) ({function}({self.series}_bucket{{le="{self.le}"}}[{window}]))'
            return f"{self.all(function, window)}\n- {good}"
        failed = f'sum by ({self.labels}) ({function}(llm_http_requests_total{{code="5xx", {ASKED}}}[{window}]))'
        return f"{failed}\nor 0 * {self.all(function, window)}"

    def share(self, function: str, window: str) -> str:
        """Their share, absent where there are no events."""
        return f"(\n{_in(self.bad(function, window))}\n)\n/ ({self.all(function, window)} > 0)"

    def record(self, what: str) -> str:
        """The name of one of its records."""
        return f"{self.level}:slo_{self.name}_{what}"


PROMISES = (
    Promise(
        "Ttft",
        "time_to_first_token",
        99,
        "requests waited longer than 1 s for the first token",
        "is it the queue or the prefill? A queue wants a replica; a prefill, shorter prompts",
        "llm_time_to_first_token_seconds",
        "1.0",
    ),
    Promise(
        "InterToken",
        "inter_token_latency",
        99,
        "tokens came later than 100 ms after the one before",
        "throttled GPUs (`nvidia-smi -q -d PERFORMANCE` on {{ $labels.instance }}), then --max-num-seqs",
        "llm_inter_token_latency_seconds",
        "0.1",
    ),
    Promise(
        "Latency",
        "e2e_request_latency",
        99,
        "requests took longer than 30 s in all",
        "have the answers grown longer, or the queue? Compare with the same hour yesterday",
        "llm_e2e_request_latency_seconds",
        "30.0",
    ),
    Promise(
        "Availability",
        "availability",
        99.9,
        "requests were answered with 5xx",
        "`vigil incidents` on {{ $labels.instance }}",
    ),
)

HEAD = """\
Generated from alert_rules/vigil_rules/slo.py by scripts/rules; objectives of your own: docs/slo.md.

Are promises kept? 99 % of the requests get their first token within 1 s, 99 % of the tokens come within 100 ms, 99 %
of the requests end within 30 s, and 99.9 % are not answered with 5xx. A bound must be one of those of vLLM's buckets.

  page   2 % of a month's budget burnt in 1 h, or 5 % in 6 h      the share that fails is 14.4 or 6 times what may
  ticket 10 % in a day, or 10 % in 3 days                         3 times, or as much as may

A share alone says little at night: fewer than 10 failures in the long window never alert. A server that is down
answers nothing, and is not in these shares: availability.yml pages for it, and it counts in
server_model:llm_engine_serving:avg30d."""


def text() -> str:
    """The file."""
    return page(HEAD, [*(_group(promise) for promise in PROMISES), _guard()])


def _group(promise: Promise) -> Group:
    comment = f"--- at most {promise.budget * 100:g} % of {promise.failed}"
    return Group(f"vigil-slo-{promise.name.replace('_', '-')}", [*_records(promise), *_alerts(promise)], comment)


def _records(promise: Promise) -> Iterator[Record]:
    for window in WINDOWS:
        yield Record(promise.record(f"errors:ratio_rate{window}"), promise.share("rate", window))
    for pair in (*FAST, *SLOW):
        yield Record(promise.record(f"errors:increase{pair.long}"), promise.bad("increase", pair.long))
    left = f"1 - (\n{_in(promise.share('increase', '30d'))}\n)\n/ {promise.budget:g}"
    comment = "1 is untouched, 0 is spent, below 0 is broken. Over what Prometheus keeps, if that is less than 30 days."
    yield Record(promise.record("budget:remaining30d"), left, comment=comment)


def _alerts(promise: Promise) -> Iterator[Alert]:
    component = "latency" if promise.series else "server"
    yield Alert(
        f"Vllm{promise.short}BudgetBurnsFast",
        _burn(promise, FAST),
        "2m",
        {"severity": "critical", "component": component},
        f"{{{{ $value | humanizePercentage }}}} of {promise.failed} at {promise.who}.",
        f"At this rate the month's error budget ({promise.budget * 100:g} %) is gone within days. "
        f"First: {promise.first}.",
        keep="5m",
    )
    yield Alert(
        f"Vllm{promise.short}BudgetBurnsSlowly",
        _burn(promise, SLOW),
        "15m",
        {"severity": "warning", "component": component},
        f"For a day or longer, {{{{ $value | humanizePercentage }}}} of {promise.failed} at {promise.who}.",
        f"The month's error budget ({promise.budget * 100:g} %) will not last. First: {promise.first}.",
        keep="30m",
    )


def _burn(promise: Promise, pairs: tuple[Pair, ...]) -> str:
    return "\nor\n".join(
        f"{promise.record(f'errors:ratio_rate{pair.long}')} > {round(pair.factor * promise.budget, 6):g}\n"
        f"  and {promise.record(f'errors:ratio_rate{pair.short}')} > {round(pair.factor * promise.budget, 6):g}\n"
        f"  and {promise.record(f'errors:increase{pair.long}')} > {LEAST_ERRORS}"
        for pair in pairs
    )


def _guard() -> Group:
    missing = "\nor\n".join(
        f"label_replace(\n"
        f"  group by ({promise.labels}) ({promise.series}_count)\n"
        f"    unless on ({promise.labels})\n"
        f'      group by ({promise.labels}) ({promise.series}_bucket{{le="{promise.le}"}}),\n'
        f'  "objective", "{promise.name} within {promise.le} s", "", ""\n'
        f")"
        for promise in PROMISES
        if promise.series
    )
    alert = Alert(
        "VllmSloBucketMissing",
        missing,
        "10m",
        {"severity": "warning", "component": "monitoring"},
        "{{ $labels.server }} ({{ $labels.model_name }}) has no bucket for the objective {{ $labels.objective }}.",
        "The objective can never be missed, and never alert. First: choose a bound that is one of its buckets"
        " (--custom-histogram-buckets has changed them) and regenerate this file.",
        comment="vLLM's buckets can be replaced, and then the bound of an objective may be gone with them.",
    )
    return Group("vigil-slo-guard", [alert])


def _in(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())
