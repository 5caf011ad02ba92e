"""What one engine, and the front of one server, has counted since it began: the numbers behind /metrics."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import accumulate

from vllm_vigil.demo.families import COUNTER, FAMILIES, GAUGE, HISTOGRAM, TOKENS, Buckets, Family, token_buckets

HTTP_SECONDS = (
    *(0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0),
    *(4.5, 5.0, 7.5, 10.0, 30.0, 60.0),
)
HANDLER_SECONDS = (0.1, 0.5, 1.0)


class Histogram:
    """Counts by bucket, and their sum."""

    def __init__(self, buckets: Buckets) -> None:
        self.buckets = buckets
        self.counts = [0.0] * (len(buckets) + 1)
        self.sum = 0.0

    def observe(self, value: float, times: float = 1.0) -> None:
        """See a value so many times."""
        self.counts[bisect_left(self.buckets, value)] += times
        self.sum += value * times

    def values(self) -> Iterable[float]:
        """As a page shows them: cumulative buckets, count, sum."""
        yield from accumulate(self.counts)
        yield sum(self.counts)
        yield self.sum


class Numbers:
    """The numbers of one engine, all of which exist from the start. `begun` is when that was (epoch seconds)."""

    def __init__(self, context_tokens: int, begun: float) -> None:
        self.begun = begun
        self._plain = {
            (family.name, value): 0.0
            for family in FAMILIES
            if family.kind in (GAUGE, COUNTER)
            for value in family.values
        }
        self._histograms = {
            family.name: Histogram(_buckets(family, context_tokens)) for family in FAMILIES if family.kind == HISTOGRAM
        }
        self.set("engine_sleep_state", 1.0, "awake")

    def set(self, name: str, value: float, label: str = "") -> None:
        """A gauge is this now."""
        self._plain[name, label] = value

    def add(self, name: str, amount: float = 1.0, label: str = "") -> None:
        """A counter has risen."""
        self._plain[name, label] += amount

    def observe(self, name: str, value: float, times: float = 1.0) -> None:
        """A histogram has seen a value."""
        self._histograms[name].observe(value, times)

    def get(self, name: str, label: str = "") -> float:
        """A gauge or a counter now."""
        return self._plain[name, label]

    def buckets(self, family: Family) -> Buckets:
        """The bounds of a histogram."""
        return self._histograms[family.name].buckets

    def values(self, family: Family) -> Iterable[float]:
        """What the page shows of a family, in its order."""
        if family.kind == HISTOGRAM:
            return self._histograms[family.name].values()
        return (self._plain[family.name, value] for value in family.values)


@dataclass(slots=True)
class Front:
    """The HTTP side of one server: requests by handler and status class, and how long they took."""

    begun: float
    requests: dict[tuple[str, str], float] = field(default_factory=dict)
    seconds: Histogram = field(default_factory=lambda: Histogram(HTTP_SECONDS))
    handlers: dict[str, Histogram] = field(default_factory=dict)
    cpu_seconds: float = 8.0
    open_files: int = 95

    def answered(self, handler: str, status: str, seconds: float, times: float = 1.0) -> None:
        """A request has been answered; series are born with their first, as the real ones are."""
        self.requests[handler, status] = self.requests.get((handler, status), 0.0) + times
        self.seconds.observe(seconds, times)
        self.handlers.setdefault(handler, Histogram(HANDLER_SECONDS)).observe(seconds, times)
        self.cpu_seconds += 0.004 * times


def _buckets(family: Family, context_tokens: int) -> Buckets:
    return token_buckets(context_tokens) if family.buckets == TOKENS else family.buckets or ()
