"""One YAML file of service level objectives, per server and tier, as Settings that check themselves.

    objectives:
      - tier: gold
        server: llama
        availability_percent: 99.9
        uptime_percent: 99.5
        time_to_first_token: {within: 1s, target_percent: 99}

A latency objective promises that so many percent of the requests stay within a bound. The bound must be one of the
bounds of vLLM's buckets: between two of them a histogram knows nothing, and an objective there would never be missed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from vllm_vigil.units import Seconds, format_duration


@dataclass(frozen=True, slots=True)
class Latency:
    """What is timed: the key in the file, the series, how people call it, and the bounds of its buckets in seconds.

    The bounds are vLLM's own, the same from 0.8.4 to 0.33 (`vllm/v1/metrics/loggers.py`); a server may be given others.
    """

    key: str
    series: str
    title: str
    bounds: tuple[float, ...]


_LONG_FIRST_TOKEN = (7.5, 10.0, 20.0, 40.0, 80.0, 160.0, 640.0, 2560.0)
_LONG_REQUEST = (120.0, 240.0, 480.0, 960.0, 1920.0, 7680.0)

LATENCIES = (
    Latency(
        "time_to_first_token",
        "llm_time_to_first_token_seconds",
        "time to first token",
        (*(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0), *_LONG_FIRST_TOKEN),
    ),
    Latency(
        "inter_token_latency",
        "llm_inter_token_latency_seconds",
        "time between tokens",
        (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0),
    ),
    Latency(
        "e2e_request_latency",
        "llm_e2e_request_latency_seconds",
        "whole request",
        (*(0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0), *_LONG_REQUEST),
    ),
)


DEFAULT_TIER = "default"
_LABEL_VALUE = re.compile(r"[A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True)
class Within:
    """So many percent of all are to take no longer than `within`.

    `custom_bucket` says that the server was given this bound with `--custom-histogram-buckets` (vLLM 0.32 and later).
    """

    within: Seconds
    target_percent: float
    custom_bucket: bool = False

    def problems(self) -> Iterator[tuple[str, str]]:
        """A target that is none."""
        yield from _target_problems("target_percent", self.target_percent)

    @property
    def le(self) -> str:
        """The label `le` of the bucket, a float as vLLM's Python writes it."""
        return str(float(self.within))


@dataclass(frozen=True, slots=True)
class Objective:
    """What one server promises to one tier of its users; without a server it is every server's promise.

    Availability is the share of HTTP requests that are not answered with a 5xx. A server that is down answers none, so
    uptime is promised beside it: the share of time in which its engines can answer, time asleep on purpose left out.
    """

    tier: str = DEFAULT_TIER
    server: str = ""
    availability_percent: float | None = None
    uptime_percent: float | None = None
    time_to_first_token: Within | None = None
    inter_token_latency: Within | None = None
    e2e_request_latency: Within | None = None

    def problems(self) -> Iterator[tuple[str, str]]:
        """Bounds that are no bucket's, and an objective that promises nothing."""
        for name in ("availability_percent", "uptime_percent"):
            if getattr(self, name) is not None:
                yield from _target_problems(name, getattr(self, name))
        if not _LABEL_VALUE.fullmatch(self.tier):
            yield "tier", f"{self.tier!r} cannot be a label: letters, digits, . - and _"
        for latency, within in self.latencies():
            if float(within.within) not in latency.bounds and not within.custom_bucket:
                near = min(latency.bounds, key=lambda bound: abs(bound - within.within))
                text = f"vLLM has no bucket that ends at {format_duration(within.within)}; the nearest ends at "
                yield f"{latency.key}.within", text + format_duration(near)
        if self.availability_percent is self.uptime_percent is None and not list(self.latencies()):
            known = ", ".join(["availability_percent", "uptime_percent", *(latency.key for latency in LATENCIES)])
            yield "", f"promises nothing: give one of {known}"

    def latencies(self) -> Iterator[tuple[Latency, Within]]:
        """What is promised of times."""
        for latency in LATENCIES:
            within: Within | None = getattr(self, latency.key)
            if within is not None:
                yield latency, within


DEFAULT = Objective(
    availability_percent=99.9,
    uptime_percent=99.9,
    time_to_first_token=Within(Seconds(1.0), 99.0),
    inter_token_latency=Within(Seconds(0.1), 99.0),
    e2e_request_latency=Within(Seconds(30.0), 99.0),
)
"""What is promised where nobody says otherwise."""


@dataclass(frozen=True, slots=True)
class SloFile:
    """The whole file. An error budget is that of 30 days, which is what the burn rates of the alerts are made for."""

    objectives: tuple[Objective, ...] = (DEFAULT,)

    def problems(self) -> Iterator[tuple[str, str]]:
        """No promise at all, and two promises for the same."""
        if not self.objectives:
            yield "objectives", "is empty: promise something, or leave the key out"
        seen: set[tuple[str, str]] = set()
        for objective in self.objectives:
            if (objective.tier, objective.server) in seen:
                whose = objective.server or "every server"
                yield "objectives", f"tier {objective.tier!r} of {whose} stands twice; keep one"
            seen.add((objective.tier, objective.server))


def _target_problems(name: str, percent: float) -> Iterator[tuple[str, str]]:
    if not 50 <= percent < 100:
        yield name, f"must be between 50 and 100 (99.9 leaves a budget of 0.1 %), not {percent:g}"
