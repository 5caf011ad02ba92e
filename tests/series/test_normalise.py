"""Readings become one snapshot under our names, whatever version of vLLM wrote them.

The goldens are what the recorded pages come to. After a change on purpose: VIGIL_WRITE_GOLDEN=1 pytest tests/series
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from vllm_vigil.model import Labels, Reading, Sample, Snapshot, labels
from vllm_vigil.series.normalise import LABEL_LIMIT, OPEN_LABELS_LIMIT, normalise
from vllm_vigil.series.vllm import VLLM_ROWS
from vllm_vigil.sources.page import parse

DATA = Path(__file__).parents[1] / "data"
CAPTURES = sorted((DATA / "captures").glob("metrics-*.txt"))
FACTS: dict[str, Any] = json.loads((DATA / "vllm" / "metrics.json").read_text())
FAMILIES: dict[str, Any] = {family["name"]: family for family in FACTS["metrics"]}
GENERATIONS = [
    (version, engine)
    for version, exposed in FACTS["default_exposed_by_version"].items()
    for engine in ("V0", "V1")
    if engine in exposed
]


def reading(*samples: Sample, server: str = "llama", **facts: str) -> Reading:
    """What a vLLM server said."""
    return Reading("vllm", server, 0.0, 0.0, samples, facts)


def sample(name: str, value: float, **pairs: str) -> Sample:
    """One number of vLLM."""
    return Sample(name, labels(**pairs), value)


def snapshot_of(*samples: Sample, **facts: str) -> Snapshot:
    """The snapshot of one server's samples."""
    return normalise([reading(*samples, **facts)]).snapshot


def values(snapshot: Snapshot, name: str) -> dict[tuple[str, Labels], float]:
    """Points of a series by suffix and labels."""
    return {(point.suffix, point.labels): point.value for point in snapshot.points(name)}


def page_samples(page: bytes) -> tuple[Sample, ...]:
    """Samples of a page that is good."""
    samples, error = parse(page)
    assert error is None
    return samples


# --- the recorded pages


def as_text(snapshot: Snapshot) -> str:
    """A snapshot as lines, in the order in which it is exposed."""
    lines = [
        f"{name}{point.suffix}{{{','.join(f'{label}={value!r}' for label, value in point.labels)}}} {point.value!r}"
        for name, series in snapshot.series.items()
        for point in series.points
    ]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("capture", CAPTURES, ids=lambda path: path.stem)
def test_a_recorded_page_comes_to_its_golden(capture: Path) -> None:
    """Names, labels, values and order of a real server's page are exactly those written down."""
    golden = DATA / "golden" / f"normalised-{capture.name}"
    text = as_text(snapshot_of(*page_samples(capture.read_bytes()), version="0.32.0"))
    if os.environ.get("VIGIL_WRITE_GOLDEN"):
        golden.write_text(text)
    assert golden.read_text() == text


@pytest.mark.parametrize("capture", CAPTURES, ids=lambda path: path.stem)
def test_a_recorded_page_loses_nothing_but_what_no_row_claims(capture: Path) -> None:
    """No number of a healthy server is dropped for being double or not finite."""
    samples = page_samples(capture.read_bytes())
    result = normalise([reading(*samples)])
    assert {} == result.dropped
    assert 0 < result.unclaimed < len(samples) / 5


def test_the_recorded_load_shows_in_the_numbers() -> None:
    """Figures read by eye from the page stand under our names."""
    snapshot = snapshot_of(*page_samples((DATA / "captures" / "metrics-0.32.0-busy-preempting.txt").read_bytes()))
    tiny = labels(server="llama", model_name="tiny", engine="0")
    assert {("", tiny): 50.0} == values(snapshot, "llm_requests_waiting")
    assert {("", tiny): 0.0} == values(snapshot, "llm_engine_asleep")
    completions = labels(server="llama", handler="/v1/completions", method="POST", code="2xx")
    assert completions in {point.labels for point in snapshot.points("llm_http_requests_total")}


# --- every version


def page_of(version: str, engine: str) -> bytes:
    """The page that a release exposes by default, with one observation in everything, written by prometheus_client."""
    registry = CollectorRegistry()
    has_engine = engine == "V1" and version != "0.7.3"
    for name in FACTS["default_exposed_by_version"][version][engine]:
        family = FAMILIES[name]
        given = {label: "x" for label in family["labels"] if label.isidentifier()}
        given |= {label: "awake" for label in given if label == "sleep_state"}
        given |= {"engine": "0"} if has_engine and "engine" in given else {}
        if not has_engine:
            given.pop("engine", None)
        make(family, given, registry)
    return generate_latest(registry)


def make(family: dict[str, Any], given: dict[str, str], registry: CollectorRegistry) -> None:
    """One family with one series in it."""
    name, text, names = family["name"], family["help"], list(given)
    if family["type"] == "counter":
        counter = Counter(name, text, names, registry=registry)
        (counter.labels(*given.values()) if names else counter).inc(3)
    elif family["type"] == "histogram":
        histogram = Histogram(name, text, names, registry=registry, buckets=(1.0, 2.0))
        (histogram.labels(*given.values()) if names else histogram).observe(1.5)
    elif family["type"] in {"gauge", "info"}:
        gauge = Gauge(name, text, names, registry=registry)
        (gauge.labels(*given.values()) if names else gauge).set(1)


ALWAYS = {
    "llm_requests_running",
    "llm_requests_waiting",
    "llm_kv_cache_usage_ratio",
    "llm_prompt_tokens_total",
    "llm_generation_tokens_total",
    "llm_requests_finished_total",
    "llm_preemptions_total",
    "llm_time_to_first_token_seconds",
    "llm_inter_token_latency_seconds",
    "llm_e2e_request_latency_seconds",
    "llm_request_prompt_tokens",
    "llm_request_generation_tokens",
    "llm_cache_config_info",
}
SINCE_0_6_4 = {
    "llm_engine_steps_total",
    "llm_request_queue_time_seconds",
    "llm_request_prefill_time_seconds",
    "llm_request_decode_time_seconds",
}


@pytest.mark.parametrize(("version", "engine"), GENERATIONS)
def test_every_version_comes_out_under_the_same_names(version: str, engine: str) -> None:
    """One query reads V0 and V1, old and new: same names, labels and values."""
    exposed = set(FACTS["default_exposed_by_version"][version][engine])
    snapshot = snapshot_of(*page_samples(page_of(version, engine)))
    wanted = ALWAYS | (SINCE_0_6_4 if version not in {"0.4.3", "0.5.5"} else set())
    wanted -= {"llm_preemptions_total"} if (version, engine) == ("0.7.3", "V1") else set()
    wanted -= {"llm_cache_config_info"} if "vllm:cache_config_info" not in exposed else set()
    assert wanted <= snapshot.series.keys()
    one = labels(server="llama", model_name="x", engine="0")
    assert {("", one): 1.0} == values(snapshot, "llm_requests_running")
    assert {("", one): 1.0} == values(snapshot, "llm_kv_cache_usage_ratio")
    assert {("", one): 3.0} == values(snapshot, "llm_prompt_tokens_total")
    assert {
        ("_bucket", labels(server="llama", model_name="x", engine="0", le="1.0")): 0.0,
        ("_bucket", labels(server="llama", model_name="x", engine="0", le="2.0")): 1.0,
        ("_bucket", labels(server="llama", model_name="x", engine="0", le="+Inf")): 1.0,
        ("_sum", one): 1.5,
        ("_count", one): 1.0,
    } == values(snapshot, "llm_inter_token_latency_seconds")


@pytest.mark.parametrize("row", VLLM_ROWS, ids=lambda row: row.spec.name)
def test_every_spelling_of_a_row_gives_its_series(row: Any) -> None:
    """Each upstream name alone, as text on the wire, comes out under ours."""
    only = dict([row.only]) if row.only else {}
    suffix = "_sum" if row.spec.kind == "histogram" else ""
    for upstream in row.upstream:
        snapshot = snapshot_of(sample(upstream.name + suffix, 1.0, model_name="m", **only))
        assert [row.spec.name] == [name for name in snapshot.series if name == row.spec.name], upstream.name


def test_two_spellings_of_one_thing_are_one_number() -> None:
    """The newer name is taken and the older left; nothing is added up, nothing is lost."""
    result = normalise(
        [
            reading(
                sample("vllm:time_per_output_token_seconds_count", 7.0, model_name="m", engine="0"),
                sample("vllm:inter_token_latency_seconds_count", 7.0, model_name="m", engine="0"),
            )
        ]
    )
    expected = {("_count", labels(server="llama", model_name="m", engine="0")): 7.0}
    assert expected == values(result.snapshot, "llm_inter_token_latency_seconds")
    assert ({}, 0) == (result.dropped, result.unclaimed)


# --- single rules


def test_engines_models_and_servers_stay_apart() -> None:
    """Two ranks, two models and two servers are each their own series."""
    ranks = [sample("vllm:num_requests_running", rank, model_name="m", engine=str(rank)) for rank in (0, 1)]
    other = sample("vllm:num_requests_running", 2.0, model_name="n", engine="0")
    snapshot = normalise([reading(*ranks, other), reading(*ranks, server="qwen")]).snapshot
    found = {tuple(dict(p.labels).values()): p.value for p in snapshot.points("llm_requests_running")}
    assert {
        ("0", "m", "llama"): 0.0,
        ("1", "m", "llama"): 1.0,
        ("0", "n", "llama"): 2.0,
        ("0", "m", "qwen"): 0.0,
        ("1", "m", "qwen"): 1.0,
    } == found


def test_a_reading_with_an_error_contributes_nothing() -> None:
    """Whatever came before the fault is not shown."""
    broken = Reading("vllm", "llama", 0.0, 0.0, (sample("vllm:num_requests_running", 1.0),), {"version": "1"}, "cut")
    assert {} == normalise([broken]).snapshot.series


@pytest.mark.parametrize(("awake", "asleep"), [(1.0, 0.0), (0.0, 1.0)])
def test_an_engine_that_is_not_awake_is_asleep(awake: float, asleep: float) -> None:
    """The awake flag is turned round, and the other flags of the sleep state are not mixed into it."""
    flags = [
        sample("vllm:engine_sleep_state", awake, model_name="m", engine="0", sleep_state="awake"),
        sample("vllm:engine_sleep_state", 1.0, model_name="m", engine="0", sleep_state="discard_all"),
    ]
    expected = {("", labels(server="llama", model_name="m", engine="0")): asleep}
    assert expected == values(snapshot_of(*flags), "llm_engine_asleep")


def test_the_version_comes_from_the_facts() -> None:
    """`llm_engine_info` is there when the server told its version, and absent when not."""
    expected = {("", labels(server="llama", vllm_version="0.32.0")): 1.0}
    assert expected == values(snapshot_of(version="0.32.0"), "llm_engine_info")
    assert {} == snapshot_of().series


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_none_is_absent_and_counted(value: float) -> None:
    """NaN and the infinities never become a point, not even an inverted one."""
    for name in ("vllm:num_requests_running", "vllm:engine_sleep_state"):
        result = normalise([reading(sample(name, value, sleep_state="awake"))])
        assert {} == result.snapshot.series
        assert {"not_finite": 1} == result.dropped


def test_a_label_set_that_comes_twice_is_one_point() -> None:
    """The first stays, and the other, here another API server's, is counted: they are not added."""
    result = normalise(
        [reading(*(sample("vllm:kv_cache_usage_perc", 0.5, model_name="m", pid=pid) for pid in ("7", "8")))]
    )
    expected = {("", labels(server="llama", model_name="m", engine="0")): 0.5}
    assert expected == values(result.snapshot, "llm_kv_cache_usage_ratio")
    assert {"duplicate": 1} == result.dropped


def test_times_of_making_are_left_out_quietly() -> None:
    """`*_created` is neither a series nor a loss."""
    result = normalise([reading(sample("vllm:prompt_tokens_created", 1.7e9, model_name="m"))])
    assert ({}, {}, 0) == (dict(result.snapshot.series), result.dropped, result.unclaimed)


def test_the_cache_configuration_keeps_its_labels_but_not_reserved_ones() -> None:
    """What vLLM says of its cache passes through; labels that Prometheus sets do not, nor a false server."""
    snapshot = snapshot_of(
        sample("vllm:cache_config_info", 1.0, block_size="16", engine="1", pod="p", server="x", _resolved="True")
    )
    (point,) = snapshot.points("llm_cache_config_info")
    assert labels(_resolved="True", block_size="16", engine="1", server="llama") == point.labels


def test_hostile_labels_are_cleaned_cut_and_counted() -> None:
    """Control and bidi characters, long values, odd names and too many labels do not get through."""
    many = {f"label_{number:03}": "v" for number in range(200)}
    dirty = Sample("vllm:cache_config_info", (*labels(**many), ("a\u00e9", "v"), ("__name__", "v")), 1.0)
    (point,) = snapshot_of(dirty).points("llm_cache_config_info")
    assert len(point.labels) == OPEN_LABELS_LIMIT
    assert {"server", "engine"} <= dict(point.labels).keys()
    named = sample("vllm:num_requests_running", 1.0, model_name="a\x1b[31m\u202e\n" + "b" * 500)
    (point,) = snapshot_of(named).points("llm_requests_running")
    assert ("a[31m" + "b" * 500)[:LABEL_LIMIT] == dict(point.labels)["model_name"]


def test_samples_of_the_gpus_pass_under_their_own_names() -> None:
    """NVML's reading is already in our words; what it cannot name is counted."""
    ours: Iterable[Sample] = (
        sample("gpu_power_watts", 300.0, gpu="0", uuid="u"),
        sample("gpu_something", 1.0, gpu="0"),
    )
    result = normalise([Reading("nvml", "", 0.0, 0.0, tuple(ours))])
    assert {("", labels(gpu="0", uuid="u")): 300.0} == values(result.snapshot, "gpu_power_watts")
    assert 1 == result.unclaimed


def test_a_model_cannot_pass_off_numbers_as_a_gpus() -> None:
    """Our own names on vLLM's page mean nothing."""
    assert {} == snapshot_of(sample("gpu_power_watts", 1.0, gpu="0")).series
