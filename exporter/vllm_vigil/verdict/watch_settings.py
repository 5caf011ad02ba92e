"""One `watch:` row: a series, a comparison and a time, checked against the catalogue of series."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from operator import ge, gt, le, lt

from vllm_vigil.model import Severity
from vllm_vigil.units import Seconds

COMPARISONS: Mapping[str, Callable[[float, float], bool]] = {"above": gt, "below": lt, "at_least": ge, "at_most": le}


@dataclass(frozen=True, slots=True)
class WatchSettings:
    """It holds for a server while one label set that agrees with `labels` compares so, for `for` without a break.

    Exactly one of `above`, `below`, `at_least`, `at_most` and `absent` is given. A counter is compared by its increase
    a second over `rate`. `quiet` is how long it must not hold before the incident resolves.
    """

    series: str
    labels: Mapping[str, str] = field(default_factory=dict)
    above: float | None = None
    below: float | None = None
    at_least: float | None = None
    at_most: float | None = None
    absent: bool = False
    rate: Seconds | None = None
    for_: Seconds = Seconds(60.0)
    quiet: Seconds = Seconds(60.0)
    severity: Severity = Severity.WARNING
    title: str | None = None
    remedy: str = ""

    @property
    def comparison(self) -> tuple[str, float]:
        """How it is compared, and with what."""
        return next((name, value) for name in COMPARISONS if (value := getattr(self, name)) is not None)

    def holds(self, value: float) -> bool:
        """Whether a value compares so."""
        name, limit = self.comparison
        return COMPARISONS[name](value, limit)

    def problems(self) -> Iterator[tuple[str, str]]:
        """What can never hold, or is no series of ours."""
        given = [name for name in COMPARISONS if getattr(self, name) is not None] + ["absent"] * self.absent
        if len(given) != 1:
            said = f"not {' and '.join(given)}" if given else "and none is given"
            yield (given or ["above"])[-1], f"give one of {', '.join(COMPARISONS)}, absent, {said}"
        if self.for_ < 0 or self.quiet <= 0:
            yield "for" if self.for_ < 0 else "quiet", "must be more than 0s"
        from vllm_vigil.verdict.watch_series import series_problems  # the catalogue, which few need

        yield from series_problems(self)
