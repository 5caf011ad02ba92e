"""A bundle -> the few lines that a person looks at, the same for the chart and for the text. Pure.

Numbers of engines are those of the incident's server (of all of them where it is the host's), added up where a sum
means something; a GPU is a line of its own, up to eight.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

RATE_SECONDS = 15
"""vLLM is asked every 5 s, so that a rate over less is a saw."""
MOST_GPUS = 8

Column = list[float]
"""A number for each moment, NaN where it was not known."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a panel."""

    name: str
    values: Column

    @property
    def last(self) -> float | None:
        """The last number that is known."""
        return self.at(len(self.values))

    def at(self, moment: int) -> float | None:
        """The number at a moment, or the last that was known before it."""
        return next((value for value in reversed(self.values[: moment + 1]) if not math.isnan(value)), None)

    @property
    def mean(self) -> float:
        """Of the numbers that are known; NaN without any."""
        known = [value for value in self.values if not math.isnan(value)]
        return sum(known) / len(known) if known else math.nan


@dataclass(frozen=True, slots=True)
class Panel:
    """What belongs together. `most` is the end of the scale, where it has one."""

    title: str
    lines: tuple[Line, ...]
    show: Callable[[float], str]
    most: float | None = None
    in_chart: bool = True


@dataclass(frozen=True, slots=True)
class Frozen:
    """A bundle's numbers: `times` in epoch seconds, and every track by kind, of and name.

    `gpus` are those of the server, none where that is not known: then all of the host are looked at.
    """

    times: Column
    tracks: dict[tuple[str, str, str], Column]
    server: str
    gpus: frozenset[str] = frozenset()

    def columns(self, kind: str, name: str) -> dict[str, Column]:
        """That number of every engine of the server, or of every GPU."""
        return {
            of: values
            for (each, of, track), values in sorted(self.tracks.items())
            if each == kind and track == name and self._is_ours(kind, of)
        }

    def _is_ours(self, kind: str, of: str) -> bool:
        if kind == "gpu":
            return not self.gpus or of in self.gpus
        return not self.server or of.rpartition("/")[0] == self.server


def frozen(document: dict[str, Any]) -> Frozen:
    """Read a bundle's document. Raises KeyError, TypeError or ValueError for what is none."""
    tracks = {(each["kind"], each["of"], each["name"]): _numbers(each["values"]) for each in document["tracks"]}
    gpus = frozenset(str(gpu) for gpu in document.get("gpus", ()))
    return Frozen(_numbers(document["times"]), tracks, str(document["incident"]["server"]), gpus)


def panels(found: Frozen) -> list[Panel]:
    """What there is to show, in the order in which one looks."""
    return [panel for panel in _panels(found) if any(line.last is not None for line in panel.lines)]


def states(found: Frozen) -> list[str | None]:
    """At each moment the worst state of the server's engines, in the order of the contract; None where not known."""
    names: list[str | None] = []
    for moment in zip(*found.columns("engine", "state").values(), strict=True):
        known = [int(value) for value in moment if not math.isnan(value)]
        names.append(_WORST[max(_RANK.get(each, 0) for each in known)] if known else None)
    return names


_ORDER = ("healthy", "idle", "starting", "asleep", "stalled", "spinning", "frozen_metrics", "dead", "unreachable")
_WORST = ("idle", "healthy", "asleep", "starting", "frozen_metrics", "stalled", "spinning", "unreachable", "dead")
_RANK = {index: _WORST.index(name) for index, name in enumerate(_ORDER)}


def _panels(found: Frozen) -> Iterator[Panel]:
    running, waiting = (_sum(found.columns("engine", name).values()) for name in ("running", "waiting"))
    yield Panel("Requests", (Line("running", running), Line("waiting", waiting)), whole)
    caches = _join(found.columns("engine", "kv_cache").values(), max)
    yield Panel("KV cache", (Line("fullest", caches),), percent, 1.0)
    yield Panel("Tokens per second", tuple(_rates(found)), whole)
    latency = _mean(found, "ttft_seconds", "ttft_count")
    yield Panel("Time to first token", (Line("mean", latency),), seconds, in_chart=False)
    latency = _mean(found, "itl_seconds", "itl_count")
    yield Panel("Time between tokens", (Line("mean", latency),), seconds, in_chart=False)
    yield Panel("GPU power", tuple(_gpus(found, "power")), watts)
    yield Panel("GPU busy", tuple(_gpus(found, "utilization")), percent, 1.0, in_chart=False)
    yield Panel("GPU memory", tuple(_gpus(found, "memory")), gibibytes)
    yield Panel("GPU clock", tuple(_gpus(found, "clock")), megahertz, in_chart=False)


def _rates(found: Frozen) -> Iterator[Line]:
    for name, track in (("generated", "generation_tokens"), ("prompt", "prompt_tokens")):
        yield Line(name, _sum(_rate(values, found.times) for values in found.columns("engine", track).values()))


def _gpus(found: Frozen, name: str) -> Iterator[Line]:
    columns = found.columns("gpu", name)
    for gpu in sorted(columns, key=lambda gpu: (len(gpu), gpu))[:MOST_GPUS]:
        yield Line(f"GPU {gpu}", columns[gpu])


def _mean(found: Frozen, total: str, count: str) -> Column:
    """Seconds of a histogram for each of what it counts, over the time of a rate."""
    sums = _sum(_rate(values, found.times) for values in found.columns("engine", total).values())
    counts = _sum(_rate(values, found.times) for values in found.columns("engine", count).values())
    return [_finite(a / b) if b > 0 else math.nan for a, b in zip(sums, counts, strict=False)]


def _rate(values: Sequence[float], times: Sequence[float]) -> Column:
    """Increase per second over the last `RATE_SECONDS`; NaN where the counter began anew or was not known."""
    rates = [math.nan] * len(values)
    for index in range(RATE_SECONDS, len(values)):
        span = times[index] - times[index - RATE_SECONDS]
        rise = values[index] - values[index - RATE_SECONDS]
        if span > 0 and rise >= 0 and math.isfinite(rise):  # NaN is none of it
            rates[index] = rise / span
    return rates


def _sum(columns: Iterable[Sequence[float]]) -> Column:
    return _join(columns, sum)


def _join(columns: Iterable[Sequence[float]], join: Callable[[list[float]], float]) -> Column:
    joined: Column = []
    for moment in zip(*columns, strict=True):
        known = [value for value in moment if not math.isnan(value)]
        value = join(known) if known else math.nan
        joined.append(value if math.isfinite(value) else math.nan)  # numbers of a page can be of any size
    return joined


def _finite(value: float) -> float:
    return value if math.isfinite(value) else math.nan


def _numbers(values: Iterable[Any]) -> Column:
    return [math.nan if value is None or not math.isfinite(value) else float(value) for value in values]


# --- how a number is written


def whole(value: float) -> str:
    """Three digits at most are worth reading."""
    return f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:.1f}"


def percent(value: float) -> str:
    """A ratio."""
    return f"{value * 100:.0f} %"


def seconds(value: float) -> str:
    """A latency."""
    return f"{value:.2f} s" if value >= 1 else f"{value * 1000:.0f} ms"


def watts(value: float) -> str:
    """Power."""
    return f"{value:.0f} W"


def gibibytes(value: float) -> str:
    """Memory."""
    return f"{f'{value / 2**30:.1f}'.removesuffix('.0')} GiB"


def megahertz(value: float) -> str:
    """A clock."""
    return f"{value / 1e6:.0f} MHz"
