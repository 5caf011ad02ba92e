"""The number of open incidents, minute by minute -> how often, how long, and how long until all was well again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

STEP_SECONDS = 60.0
GAP_SECONDS = 300.0
"""Where nothing was written for longer, nobody knows whether it was still open: it ends where it was last seen."""


@dataclass(frozen=True, slots=True)
class Spell:
    """One stretch of time, in epoch seconds, in which a rule had an incident open without a break."""

    start: float
    end: float

    @property
    def seconds(self) -> float:
        """How long it lasted; to the minute, since that is how often it was looked at."""
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class Trouble:
    """What one rule had open in the month."""

    rule: str
    severity: str
    spells: tuple[Spell, ...]

    @property
    def total_seconds(self) -> float:
        """How long all of them lasted together."""
        return sum(spell.seconds for spell in self.spells)

    @property
    def recovery_seconds(self) -> float:
        """The mean time from its beginning to its end."""
        return self.total_seconds / len(self.spells)

    @property
    def longest(self) -> Spell:
        """The one that lasted longest."""
        return max(self.spells, key=lambda spell: spell.seconds)


def spells(points: Iterable[tuple[float, float]]) -> tuple[Spell, ...]:
    """The stretches in which the value was above 0."""
    found: list[Spell] = []
    start = last = None
    for at, value in points:
        if start is not None and last is not None and (value <= 0 or at - last > GAP_SECONDS):
            ended = at if value <= 0 and at - last <= GAP_SECONDS else last + STEP_SECONDS
            found.append(Spell(start, ended))
            start = None
        if value > 0:
            start = at if start is None else start
            last = at
    if start is not None and last is not None:
        found.append(Spell(start, last + STEP_SECONDS))
    return tuple(found)


def longest_first(troubles: Sequence[Trouble]) -> list[Trouble]:
    """What cost most time comes first."""
    return sorted((each for each in troubles if each.spells), key=lambda each: -each.total_seconds)
