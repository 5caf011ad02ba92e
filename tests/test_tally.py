"""Counters and gauges know how often they changed, and a change is counted once it can be seen."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from prometheus_client import CollectorRegistry

from vllm_vigil.tally import Counter, Gauge

CHANGES: dict[str, Callable[[Gauge], object]] = {
    "a series is born": lambda family: family.labels("new"),
    "set": lambda family: family.labels("known").set(7),
    "counted up": lambda family: family.labels("known").inc(),
    "a series is forgotten": lambda family: family.remove_by_labels({"name": "known"}),
    "all are forgotten": lambda family: family.clear(),
}


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_every_way_to_change_a_family_is_counted(
    change: Callable[[Gauge], object], registry: CollectorRegistry
) -> None:
    """Whatever makes its lines read otherwise."""
    family = Gauge("gauge", "Help.", ["name"], registry=registry)
    family.labels("known")
    before = family.changes
    change(family)
    assert before < family.changes


def test_looking_up_a_series_is_no_change(registry: CollectorRegistry) -> None:
    """A counter that is born at 0 again stays as it is."""
    family = Counter("counter", "Help.", ["name"], registry=registry)
    family.labels("known")
    before = family.changes
    family.labels("known")
    assert before == family.changes
    family.labels("known").inc(2)
    assert (before + 1, 2.0) == (family.changes, registry.get_sample_value("counter_total", {"name": "known"}))


def test_a_family_without_labels_counts_its_own_changes(registry: CollectorRegistry) -> None:
    """It is its only series."""
    family = Gauge("gauge", "Help.", registry=registry)
    family.set(3)
    assert (1, 3.0) == (family.changes, registry.get_sample_value("gauge"))


def test_what_stands_as_it_stood_is_no_change(registry: CollectorRegistry) -> None:
    """A fact that is told every second, and is the same, is rendered once."""
    family = Gauge("gauge", "Help.", ["name"], registry=registry)
    family.labels("known").set(7)
    before = family.changes
    family.labels("known").set(7)
    assert (before, 7.0) == (family.changes, registry.get_sample_value("gauge", {"name": "known"}))
