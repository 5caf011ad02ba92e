"""Contract: whatever release wrote the page, the same concept comes out under the same name, unit and value.

A page is made for each release and engine from the facts of tests/data/vllm/metrics.json, everything switched on, and
written by prometheus_client as vLLM does.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from vllm_vigil.model import Reading, Snapshot
from vllm_vigil.series.normalise import Normalised, normalise
from vllm_vigil.series.releases import RELEASES, generations_of, ordinal
from vllm_vigil.series.spec import Kind
from vllm_vigil.series.vllm import VLLM_ROWS
from vllm_vigil.sources.page import parse

FACTS: dict[str, Any] = json.loads((Path(__file__).parents[1] / "data" / "vllm" / "metrics.json").read_text())
SERVERS = [(release, generation) for release in RELEASES for generation in generations_of(release)]
MADE_BY = {"V0": {"V0", "api-server"}, "V1": {"V1", "api-server"}, "Rust": {"V1-rust-frontend"}}
COUNTED, HIGH, OBSERVED = 3.0, 1.0, 1.5
TIME_BUCKETS = (1.0, 2.0)


def exposed(family: dict[str, Any], release: str, generation: str) -> bool:
    """Whether a server of that release can show it without being told to show what is hidden."""
    return any(
        span["engine"] in MADE_BY[generation]
        and "show-hidden" not in span["when"]
        and ordinal(span["first"]) <= ordinal(release)
        and (span["last"] is None or ordinal(release) <= ordinal(span["last"]))
        for span in family["exposed"]
    )


@cache
def page_of(release: str, generation: str) -> bytes:
    """The page of a release, with one observation in everything."""
    registry = CollectorRegistry()
    has_engine = generation != "V0" and ordinal(release) >= ordinal("0.8.3")
    for family in FACTS["metrics"]:
        if exposed(family, release, generation):
            names = [name for name in family["labels"] if name.isidentifier() and (name != "engine" or has_engine)]
            make(family, names, registry)
    return generate_latest(registry)


def make(family: dict[str, Any], names: list[str], registry: CollectorRegistry) -> None:
    """One family, with a series for each value of its last label that the facts know."""
    fixed = {"model_name": "m", "engine": "0"}
    choices = {name: [text.split(" ")[0] for text in family.get("label_values", {}).get(name, ["x"])] for name in names}
    sets = [[fixed.get(name) or choices[name][0] for name in names]]
    if names and names[-1] not in fixed:
        sets = [[*sets[0][:-1], choice] for choice in dict.fromkeys(choices[names[-1]])]
    name, text = family["name"], family["help"]
    if family["type"] == "counter":
        counter = Counter(name, text, names, registry=registry)
        for given in sets:
            (counter.labels(*given) if names else counter).inc(COUNTED)
    elif family["type"] == "histogram":
        histogram = Histogram(name, text, names, registry=registry, buckets=TIME_BUCKETS)
        for given in sets:
            (histogram.labels(*given) if names else histogram).observe(OBSERVED)
    elif family["type"] in {"gauge", "info"}:
        gauge = Gauge(name, text, names, registry=registry)
        for given in sets:
            (gauge.labels(*given) if names else gauge).set(HIGH)


def of(release: str, generation: str) -> Normalised:
    """What the page comes to."""
    samples, error = parse(page_of(release, generation))
    assert error is None
    return normalise([Reading("vllm", "s", 0.0, 0.0, samples, {"version": release})])


def values(snapshot: Snapshot, name: str) -> set[tuple[str, float]]:
    """What a series says, by suffix; a bucket with its edge."""
    return {(point.suffix + dict(point.labels).get("le", ""), point.value) for point in snapshot.points(name)}


@pytest.mark.parametrize(("release", "generation"), SERVERS)
def test_every_release_comes_out_under_the_same_names_and_values(release: str, generation: str) -> None:
    """Each row is fed exactly where the table says so, with the value that vLLM wrote, and no family is unknown."""
    result = of(release, generation)
    assert ((), 0) == (result.unknown, result.dropped.get("duplicate", 0))
    expected = {row.spec.name for row in VLLM_ROWS if row.feedable(generation, release)}
    known = {row.spec.name: row for row in VLLM_ROWS}
    assert expected == known.keys() & result.snapshot.series.keys()
    for name in expected:
        row = known[name]
        if row.spec.kind is Kind.HISTOGRAM:
            wanted = {
                ("_bucket1.0", 0.0),
                ("_bucket2.0", 1.0),
                ("_bucket+Inf", 1.0),
                ("_sum", OBSERVED),
                ("_count", 1.0),
            }
        elif name == "llm_engine_steps_total":
            wanted = {("", 1.0)}
        else:
            wanted = {("", 0.0 if row.flipped else COUNTED if row.spec.kind is Kind.COUNTER else HIGH)}
        assert wanted == values(result.snapshot, name), name


def test_one_query_reads_v0_and_v1() -> None:
    """A server of V0 and one of V1 have the same labels on the contract's series that both feed."""
    old, new = of("0.6.6", "V0").snapshot, of("0.33.0", "V1").snapshot
    for row in VLLM_ROWS:
        name = row.spec.name
        if row.contract and name in old.series and not row.spec.open_labels:
            assert {n for p in old.points(name) for n, _ in p.labels} == {
                n for p in new.points(name) for n, _ in p.labels
            }
