"""Objectives -> Prometheus rules: burn rates over seven windows, two alerts a promise, what is left of each budget.

The method is that of Google's SRE workbook ("multi-window, multi-burn-rate"): a page when a fiftieth of a month's
budget is burnt within an hour or a twentieth within six, a ticket when a tenth is within a day or within three. The
short window of each pair ends the alert soon after the trouble.

An outage that has been told (`alert_rules/availability.yml`) is not told again as a burnt budget: the requests that it
held are counted when it ends. A pair says nothing until its short window holds nothing of that any more. So it is with
a storm of 5xx for which VllmHttp5xxOverFivePercent has paged, and the budget of availability.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from vllm_vigil.slo.objectives import DEFAULT_TIER, Objective, SloFile
from vllm_vigil.slo.page import Alert, Group, Record, page
from vllm_vigil.slo.promises import SERVER, Promise, indented, own_labels

GENERATED = "Generated from the objectives in exporter/vllm_vigil/slo/ by scripts/rules; of your own: docs/slo.md."
HEAD = """\
{origin}

Are promises kept? A bound must be one of those of vLLM's buckets.

{promises}

  page   2 % of a month's budget burnt in 1 h, or 5 % in 6 h      the share that fails is 14.4 or 6 times what may
  ticket 10 % in a day, or 10 % in 3 days                         3 times, or as much as may

A share alone says little at night: fewer than 10 failures in the long window never alert. A server that is down
answers nothing, and is not in these shares: availability.yml pages for it, and it counts in the budget of uptime. What
an outage held is in them when it ends: it counts in the budget, and does not page once more."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A long window and a short one, and how many times faster than allowed the budget is burnt.

    `settled` after an outage the short one holds nothing of it, nor of the queue that it left.
    """

    long: str
    short: str
    factor: float
    settled: str


FAST = (Pair("1h", "5m", 14.4, "10m"), Pair("6h", "30m", 6, "35m"))
SLOW = (Pair("1d", "2h", 3, "2h5m"), Pair("3d", "6h", 1, "6h5m"))
WINDOWS = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")
TOLD = "server:llm_outage_alerts:count"
"""How many alerts on outages of a server fire."""

TOLD_5XX = 'ALERTS{alertname="VllmHttp5xxOverFivePercent", alertstate="firing"}'
"""The page for the same failures by their share of the last minutes; it does not fire while a burnt budget does."""

LEAST_ERRORS = 10
"""Fewer failures than this in the long window are chance, whatever their share."""


def text(slo: SloFile, origin: str = GENERATED) -> str:
    """The rules file of these objectives; `origin` says in its first line where it comes from."""
    groups: list[Group] = []
    promises: list[Promise] = []
    for objective in slo.objectives:
        made = list(_promises(objective, slo))
        promises += made
        groups += [_group(promise) for promise in made]
        groups += _uptime(objective, slo)
    said = "\n".join(f"  {promise.good:g} % of {promise.kept}{promise.whose}" for promise in promises)
    guard = _guard([promise for promise in promises if promise.series])
    return page(HEAD.format(origin=origin, promises=said), [*groups, *guard])


def _promises(objective: Objective, slo: SloFile) -> Iterator[Promise]:
    tier = "" if objective.tier == DEFAULT_TIER else objective.tier
    who = _selector(objective, slo)
    for latency, within in objective.latencies():
        yield Promise(latency.key, within.target_percent, who, objective.server, tier, latency.series, within.within)
    if objective.availability_percent is not None:
        yield Promise("availability", objective.availability_percent, who, objective.server, tier)


def _selector(objective: Objective, slo: SloFile) -> str:
    """Matchers of the servers that it is for: one, or all that have no objective of their own in its tier."""
    if objective.server:
        return f'server="{objective.server}"'
    own = [each.server for each in slo.objectives if each.tier == objective.tier and each.server]
    return f'server!~"{"|".join(re.escape(server) for server in own)}"'.replace("\\", "\\\\") if own else ""


def _group(promise: Promise) -> Group:
    comment = f"--- at most {promise.budget * 100:g} % of {promise.failed}"
    return Group(promise.group, [*_records(promise), *_alerts(promise)], comment)


def _records(promise: Promise) -> Iterator[Record]:
    for window in WINDOWS:
        yield promise.record(f"errors:ratio_rate{window}", promise.share("rate", window))
    for pair in (*FAST, *SLOW):
        yield promise.record(f"errors:increase{pair.long}", promise.bad("increase", pair.long))
    left = f"1 - (\n{indented(promise.share('increase', '30d'))}\n)\n/ {promise.budget:g}"
    comment = "1 is untouched, 0 is spent, below 0 is broken. Over what Prometheus keeps, if that is less than 30 days."
    yield promise.record("budget:remaining30d", left, comment)


def _alerts(promise: Promise) -> Iterator[Alert]:
    share, budget = "{{ $value | humanizePercentage }}", f"{promise.budget * 100:g} %"
    yield Alert(
        f"Vllm{promise.short}BudgetBurnsFast",
        _burn(promise, FAST, told=() if promise.series else (TOLD_5XX,)),
        "2m",
        {"severity": "critical", "component": promise.component, **own_labels(promise.tier, promise.server)},
        f"{share} of {promise.failed} at {promise.who}.",
        f"At this rate the month's error budget ({budget}) is gone within days. First: {promise.first}.",
        keep="5m",
    )
    yield Alert(
        f"Vllm{promise.short}BudgetBurnsSlowly",
        _burn(promise, SLOW),
        "15m",
        {"severity": "warning", "component": promise.component, **own_labels(promise.tier, promise.server)},
        f"Over the last day or more, {share} of {promise.failed} at {promise.who}.",
        f"The month's error budget ({budget}) will not last. First: {promise.first}.",
        keep="30m",
    )


def _burn(promise: Promise, pairs: tuple[Pair, ...], told: tuple[str, ...] = ()) -> str:
    return "\nor\n".join(
        f"{promise.recorded(f'errors:ratio_rate{pair.long}')} > {round(pair.factor * promise.budget, 6):g}\n"
        f"  and {promise.recorded(f'errors:ratio_rate{pair.short}')} > {round(pair.factor * promise.budget, 6):g}\n"
        f"  and {promise.recorded(f'errors:increase{pair.long}')} > {LEAST_ERRORS}"
        + "".join(f"\n  unless on ({SERVER}) max_over_time({each}[{pair.settled}])" for each in (TOLD, *told))
        for pair in pairs
    )


def _uptime(objective: Objective, slo: SloFile) -> Iterator[Group]:
    if objective.uptime_percent is None:
        return
    tier = "" if objective.tier == DEFAULT_TIER else objective.tier
    who, budget = _selector(objective, slo), round((100 - objective.uptime_percent) / 100, 6)
    serving = "server_model:llm_engine_serving:avg30d" + (f"{{{who}}}" if who else "")
    record = Record(
        "server_model:slo_uptime_budget:remaining30d",
        f"1 - (1 - {serving}) / {budget:g}",
        own_labels(tier, objective.server),
    )
    comment = f"--- able to answer {objective.uptime_percent:g} % of the time; pages for it are in availability.yml"
    yield Group("-".join(filter(None, ("vigil-slo-uptime", tier, objective.server))), [record], comment)


def _guard(promises: list[Promise]) -> Iterator[Group]:
    if not promises:
        return
    alert = Alert(
        "VllmSloBucketMissing",
        "\nor\n".join(promise.unmeasured() for promise in promises),
        "10m",
        {"severity": "warning", "component": "monitoring"},
        "{{ $labels.server }} ({{ $labels.model_name }}) has no bucket for the objective {{ $labels.objective }}.",
        "The objective can never be missed, and never alert. First: choose a bound that is one of its buckets"
        " (--custom-histogram-buckets has changed them) and regenerate this file.",
        comment="vLLM's buckets can be replaced, and then the bound of an objective may be gone with them.",
    )
    yield Group("vigil-slo-guard", [alert])
