"""The table of vLLM agrees with what is known of every release."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from vllm_vigil.series.releases import RELEASES, generations_of, ordinal
from vllm_vigil.series.spec import Kind
from vllm_vigil.series.vllm import LEFT_OUT, VLLM_ROWS, Upstream, VllmRow

FACTS: dict[str, Any] = json.loads((Path(__file__).parents[1] / "data" / "vllm" / "metrics.json").read_text())
FAMILIES: dict[str, Any] = {family["name"]: family for family in FACTS["metrics"]}
SPELLINGS = [(row, upstream) for row in VLLM_ROWS for upstream in row.upstream if upstream.releases != "NIM"]
IDS = [upstream.name for _, upstream in SPELLINGS]


def family_of(upstream: Upstream) -> dict[str, Any]:
    """The facts on the family that a sample belongs to."""
    found: dict[str, Any] = FAMILIES.get(upstream.name) or FAMILIES[upstream.name.removesuffix("_count")]
    return found


GENERATIONS = {"V0": {"V0", "api-server"}, "V1": {"V1", "api-server"}, "Rust": {"V1-rust-frontend"}}


def known_to_expose(family: dict[str, Any], generation: str, release: str) -> set[bool]:
    """Whether the facts say that it shows: not at all (empty), and where it does, whether only when hidden (True)."""
    return {
        "show-hidden" in span["when"]
        for span in family["exposed"]
        if span["engine"] in GENERATIONS[generation]
        and ordinal(span["first"]) <= ordinal(release)
        and (span["last"] is None or ordinal(release) <= ordinal(span["last"]))
    }


@pytest.mark.parametrize(("row", "upstream"), SPELLINGS, ids=IDS)
def test_every_name_has_the_releases_that_had_it(row: VllmRow, upstream: Upstream) -> None:
    """In every release and engine the row says what the facts say: shown, hidden or not there."""
    for release in RELEASES:
        for generation in generations_of(release):
            spans = {span.hidden for span in upstream.spans if span.covers(generation, release)}
            assert known_to_expose(family_of(upstream), generation, release) == spans, (
                row.spec.name,
                release,
                generation,
            )


def test_the_releases_are_those_that_are_known() -> None:
    """From 0.4 on, every release that was looked into, and no other."""
    known = [release for release in FACTS["about"]["versions_inspected"] if ordinal(release) >= ordinal("0.4")]
    assert known == list(RELEASES)


def test_every_family_is_a_row_or_left_out_for_a_reason() -> None:
    """Nothing that any vLLM ever showed is forgotten, and nothing is both."""
    rows = {family_of(upstream)["name"] for _, upstream in SPELLINGS}
    left = [name for each in LEFT_OUT for name in each.names]
    assert sorted(FAMILIES) == sorted([*rows, *left])
    assert [] == [each for each in LEFT_OUT if not each.why]


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
    selected = {upstream.only[0]} if upstream.only else set()
    given = {renamed.get(name, name) for name in family_of(upstream)["labels"] if name.isidentifier()} - selected
    if not row.spec.open_labels:
        assert given <= {*row.spec.labels}


def test_no_sample_is_claimed_twice_by_mistake() -> None:
    """Two concepts never read the same number; the sleep state and the directions of offload are told by a label."""
    seen = [(upstream.name, upstream.only, upstream.without) for _, upstream in SPELLINGS]
    assert len(set(seen)) == len(seen)
    twice = {
        name for name, only, without in seen if [each for each, _, _ in seen].count(name) > 1 and not (only or without)
    }
    assert set() == twice


def test_the_contract_stands_first() -> None:
    """Rows that dashboards rely on are the first to be served from the budget."""
    contract = [row.contract for row in VLLM_ROWS]
    assert sorted(contract, reverse=True) == contract
