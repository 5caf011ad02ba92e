"""The table of vLLM agrees with what is known of every release."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from vllm_vigil.series.spec import Kind
from vllm_vigil.series.vllm import VLLM_ROWS, Upstream, VllmRow

FACTS: dict[str, Any] = json.loads((Path(__file__).parents[1] / "data" / "vllm" / "metrics.json").read_text())
FAMILIES: dict[str, Any] = {family["name"]: family for family in FACTS["metrics"]}
SPELLINGS = [(row, upstream) for row in VLLM_ROWS for upstream in row.upstream]
IDS = [upstream.name for _, upstream in SPELLINGS]


def ordinal(version: str) -> tuple[int, ...]:
    """A release as numbers that sort."""
    return tuple(int(number) for number in re.findall(r"\d+", version))


def family_of(upstream: Upstream) -> dict[str, Any]:
    """The facts on the family that a sample belongs to."""
    found: dict[str, Any] = FAMILIES[upstream.name.removesuffix("_count")]
    return found


@pytest.mark.parametrize(("row", "upstream"), SPELLINGS, ids=IDS)
def test_every_name_has_the_versions_that_had_it(row: VllmRow, upstream: Upstream) -> None:
    """First and last release are those of the catalogue of facts, over all engine generations."""
    ranges = family_of(upstream)["exposed"]
    lasts = [found["last"] for found in ranges]
    first = min((found["first"] for found in ranges), key=ordinal)
    last = None if None in lasts else max(lasts, key=ordinal)
    assert (first, last) == (upstream.first, upstream.last), row.spec.name


@pytest.mark.parametrize(("row", "upstream"), SPELLINGS, ids=IDS)
def test_every_row_relays_the_kind_that_vllm_declares(row: VllmRow, upstream: Upstream) -> None:
    """A histogram stays one; only the step counter is made of a histogram's count."""
    declared = family_of(upstream)["type"]
    expected = Kind.COUNTER if upstream.name.endswith("_count") else Kind(declared)
    assert expected is row.spec.kind


@pytest.mark.parametrize(("row", "upstream"), SPELLINGS, ids=IDS)
def test_no_label_of_vllm_gets_lost(row: VllmRow, upstream: Upstream) -> None:
    """Each label of the family is in the row, renamed, or the one that the row selects by."""
    renamed = dict(row.renamed)
    selected = {row.only[0]} if row.only else set()
    given = {renamed.get(name, name) for name in family_of(upstream)["labels"]} - selected
    if not row.spec.open_labels:
        assert given | {"server", "engine"} == {*row.spec.labels, "engine"}


def test_spellings_stand_newest_first() -> None:
    """The first name of a row is the one that current releases use, where they have the concept."""
    for row in VLLM_ROWS:
        firsts = [ordinal(upstream.first) for upstream in row.upstream]
        assert sorted(firsts, reverse=True) == firsts, row.spec.name


def test_no_sample_name_is_claimed_twice_by_mistake() -> None:
    """Two concepts never read the same number."""
    assert len(set(IDS)) == len(IDS)
