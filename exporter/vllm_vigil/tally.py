"""prometheus_client's counters and gauges, which count their changes: what has not changed since reads as it did.

A change is counted after it was made. Who looks at the count first and at the values then may see a change twice and
misses none, from whichever thread it comes.
"""

from __future__ import annotations

from typing import Self, cast

import prometheus_client
from prometheus_client.metrics import MetricWrapperBase

prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]  # `*_created` doubles every counter and tells Prometheus nothing


class _Tally(MetricWrapperBase):
    """One family, or one series of it, whose changes its family counts."""

    changes = 0
    _family: _Tally | None = None

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

    def _changed(self) -> None:
        (self._family or self).changes += 1


class Counter(_Tally, prometheus_client.Counter):
    """Counts up."""

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
