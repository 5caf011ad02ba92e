"""prometheus_client's counters and gauges, which count their changes and give what they say as a series.

While nothing has changed it is the same series. A change is counted after it was made: who looks at the count first and
at the values then may see a change twice and misses none, from whichever thread it comes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Self, cast

import prometheus_client
from prometheus_client.metrics import MetricWrapperBase

from vllm_vigil.model import Family, Point, Series

prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]  # `*_created` doubles every counter and tells Prometheus nothing


class _Tally(MetricWrapperBase):
    """One family, or one series of it, whose changes its family counts."""

    _value: Any  # prometheus_client's own
    changes = 0
    _suffix = ""
    _family: _Tally | None = None
    _said: tuple[int, Series] | None = None

    def labels(self, *values: object, **named: object) -> Self:
        """The series with these labels; one that is new is a change."""
        known = None if named else self._metrics.get(cast("tuple[str, ...]", values))  # a fifth of the time
        series = cast("Self", known or super().labels(*values, **named))
        if series._family is None:  # noqa: SLF001  # ours
            series._family = self  # noqa: SLF001
            self._changed()
        return series

    def remove_by_labels(self, labels: dict[str, str]) -> None:
        """Forget the series that have these labels."""
        super().remove_by_labels(labels)
        self._changed()

    def clear(self) -> None:
        """Forget all series."""
        super().clear()
        self._changed()

    def series(self) -> Series:
        """What the family says now, under the names of `/metrics`; the same object while that is the same."""
        changes = self.changes  # looked at before the values
        if self._said is None or self._said[0] != changes:
            family = Family(str(self._type), self._documentation)
            self._said = changes, Series(f"{self._name}{self._suffix}", tuple(self._points()), family)
        return self._said[1]

    def _points(self) -> Iterator[Point]:
        """An empty label is one here, as prometheus_client writes it."""
        if not self._labelnames:
            yield Point((), self._value.get())
            return
        with self._lock:
            known: dict[Sequence[str], Any] = {**self._metrics}
        for values, each in known.items():
            yield Point(tuple(sorted(zip(self._labelnames, values, strict=True))), each._value.get())  # noqa: SLF001

    def _changed(self) -> None:
        (self._family or self).changes += 1


class Counter(_Tally, prometheus_client.Counter):
    """Counts up."""

    _suffix = "_total"

    def inc(self, amount: float = 1, exemplar: dict[str, str] | None = None) -> None:
        """So many more."""
        super().inc(amount, exemplar)
        self._changed()


class Gauge(_Tally, prometheus_client.Gauge):
    """Goes up and down."""

    def inc(self, amount: float = 1) -> None:
        """So much more."""
        super().inc(amount)
        self._changed()

    def set(self, value: float) -> None:
        """That is how it stands; if it stood so before, nothing has changed."""
        if value != self._value.get():
            super().set(value)
            self._changed()
