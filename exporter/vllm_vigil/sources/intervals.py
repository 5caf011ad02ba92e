"""How often a source is asked and how long an answer counts -> what cannot be used of that."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol


class Intervals(Protocol):
    """Settings that every source has, in seconds; without `stale_after` an answer counts for three intervals."""

    @property
    def interval(self) -> float:
        """Between two questions."""

    @property
    def timeout(self) -> float:
        """For one answer."""

    @property
    def stale_after(self) -> float | None:
        """For so long an answer counts."""


def problems_of(settings: Intervals) -> Iterator[tuple[str, str]]:
    """What cannot be used, as (field, message)."""
    for name in ("interval", "timeout", "stale_after"):
        value = getattr(settings, name)
        if value is not None and value <= 0:
            yield name, "must be more than 0"
    if settings.stale_after is not None and settings.stale_after < settings.interval:
        yield "stale_after", "must not be shorter than interval, or every reading is stale before the next one"
