"""Readings become one snapshot under our names, whatever version of vLLM wrote them.

The goldens are what the recorded pages come to. After a change on purpose: VIGIL_WRITE_GOLDEN=1 pytest tests/series
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from pathlib import Path

import pytest

from vllm_vigil.model import Labels, Points, Reading, Sample, Samples, Snapshot, labels
from vllm_vigil.series.normalise import Junction, Normaliser, normalise
from vllm_vigil.series.plan import LABEL_LIMIT, OPEN_LABELS_LIMIT
from vllm_vigil.series.vllm import VLLM_ROWS, VllmRow
from vllm_vigil.sources.page import Parser, parse

DATA = Path(__file__).parents[1] / "data"
CAPTURES = sorted((DATA / "captures").glob("metrics-*.txt"))


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


def page_samples(page: bytes) -> Samples:
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
    assert (0, ()) == (result.unclaimed, result.unknown)


def test_the_recorded_load_shows_in_the_numbers() -> None:
    """Figures read by eye from the page stand under our names."""
    snapshot = snapshot_of(*page_samples((DATA / "captures" / "metrics-0.32.0-busy-preempting.txt").read_bytes()))
    tiny = labels(server="llama", model_name="tiny", engine="0")
    assert {("", tiny): 50.0} == values(snapshot, "llm_requests_waiting")
    assert {("", tiny): 0.0} == values(snapshot, "llm_engine_asleep")
    completions = labels(server="llama", handler="/v1/completions", method="POST", code="2xx")
    assert completions in {point.labels for point in snapshot.points("llm_http_requests_total")}


# --- spellings


@pytest.mark.parametrize("dress", ["{}", "ray_vllm_{}", "ray_vllm:{}", "vllm_{}"])
@pytest.mark.parametrize("row", VLLM_ROWS, ids=lambda row: row.spec.name)
def test_every_spelling_of_a_row_gives_its_series(row: VllmRow, dress: str) -> None:
    """Each upstream name alone, as text on the wire, comes out under ours; Ray's dresses of it too."""
    suffix = "_sum" if row.spec.kind == "histogram" else ""
    for upstream in row.upstream:
        only = dict([upstream.only]) if upstream.only else {}
        own = upstream.name.startswith("vllm:")
        name = dress.format(upstream.name.removeprefix("vllm:")) if own and dress != "{}" else upstream.name
        snapshot = snapshot_of(sample(name + suffix, 1.0, model_name="m", **only))
        assert row.spec.name in snapshot.series, name


@pytest.mark.parametrize("row", [row for row in VLLM_ROWS if row.contract], ids=lambda row: row.spec.name)
def test_the_contract_is_known_without_a_prefix(row: VllmRow) -> None:
    """NIM writes vLLM's names bare."""
    suffix = "_sum" if row.spec.kind == "histogram" else ""
    for upstream in row.upstream:
        only = dict([upstream.only]) if upstream.only else {}
        bare = upstream.name.removeprefix("vllm:") + suffix
        assert row.spec.name in snapshot_of(sample(bare, 1.0, model_name="m", **only)).series


def test_ray_s_counters_without_total_count_once() -> None:
    """Ray gives a counter under two names; alone each is the series, together they are one number."""
    bare, whole = "ray_vllm_prompt_tokens", "ray_vllm_prompt_tokens_total"
    for names in ([bare], [whole], [bare, whole]):
        result = normalise([reading(*(sample(name, 3.0, model_name="m") for name in names))])
        assert [3.0] == [point.value for point in result.snapshot.points("llm_prompt_tokens_total")]
        assert ({}, ()) == (result.dropped, result.unknown)


def test_replicas_behind_one_ray_stay_apart() -> None:
    """Ray's label of the replica, or of the worker in older Ray, becomes `replica`; its other labels are left."""
    ours = [
        sample("ray_vllm_num_requests_running", 1.0, model_name="m", ReplicaId="a", WorkerId="x", SessionName="s"),
        sample("ray_vllm_num_requests_running", 2.0, model_name="m", WorkerId="y"),
    ]
    expected = {
        ("", labels(server="llama", model_name="m", engine="0", replica="a")): 1.0,
        ("", labels(server="llama", model_name="m", engine="0", replica="y")): 2.0,
    }
    assert expected == values(snapshot_of(*ours), "llm_requests_running")


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


def test_settings_of_the_cache_are_told_with_the_version_and_as_numbers() -> None:
    """One info a server; tokens for each engine, as vLLM says or as blocks times their size; the longest sequence."""
    config = {"block_size": "16", "cache_dtype": "auto", "num_gpu_blocks": "100"}
    snapshot = snapshot_of(
        sample("vllm:cache_config_info", 1.0, engine="0", **config),
        sample("vllm:cache_config_info", 1.0, engine="1", kv_cache_size_tokens="1500", **config),
        version="0.32.0",
        max_model_len="4096",
    )
    info = labels(server="llama", vllm_version="0.32.0", block_size="16", cache_dtype="auto")
    assert {("", info): 1.0} == values(snapshot, "llm_engine_info")
    tokens = {("", labels(server="llama", engine=engine)): size for engine, size in (("0", 1600.0), ("1", 1500.0))}
    assert tokens == values(snapshot, "llm_kv_cache_capacity_tokens")
    assert {("", labels(server="llama")): 4096.0} == values(snapshot, "llm_context_length_tokens")


def test_a_ratio_that_means_off_is_absent() -> None:
    """V0 says -1 where prefix caching is off; that is no share."""
    assert {} == snapshot_of(sample("vllm:gpu_prefix_cache_hit_rate", -1.0, model_name="m")).series
    (point,) = snapshot_of(sample("vllm:gpu_prefix_cache_hit_rate", 0.25, model_name="m")).points(
        "llm_prefix_cache_hit_ratio"
    )
    assert 0.25 == point.value


def test_a_counter_that_fell_passes_as_it_is() -> None:
    """vLLM was started again: its smaller number is the truth, and Prometheus knows what to do."""
    normaliser = Normaliser()
    seen = []
    for value in (100.0, 3.0):
        page = Samples((("vllm:prompt_tokens_total", labels(model_name="m")),), (value,))
        seen.append(
            normaliser.normalise(Reading("vllm", "llama", 0.0, 0.0, page))
            .snapshot.points("llm_prompt_tokens_total")[0]
            .value
        )
    assert [100.0, 3.0] == seen


def test_a_series_whose_numbers_stay_is_the_same_object() -> None:
    """Who draws or judges it need not look again; of one that moved the labels at least are the same."""
    normaliser = Normaliser()
    page = "vllm:num_requests_running 1\nvllm:num_requests_waiting {}\n"
    parser = Parser()
    first, second = (
        normaliser.normalise(
            Reading("vllm", "llama", 0.0, 0.0, parser.parse(page.format(waiting).encode())[0])
        ).snapshot.series
        for waiting in (2, 3)
    )
    assert first["llm_requests_running"] is second["llm_requests_running"]
    before, after = (Points.of(series["llm_requests_waiting"].points) for series in (first, second))
    assert (2.0,) == before.values
    assert (3.0,) == after.values
    assert before.labels is after.labels


def test_where_servers_meet_a_series_whose_parts_stay_is_the_same_object() -> None:
    """One that moved is made anew of all parts, and a server that is gone is gone from it."""
    junction = Junction()
    here, there, moved = (
        normalise([reading(sample("vllm:num_requests_running", value), server=server)]).snapshot
        for server, value in (("here", 1.0), ("there", 2.0), ("there", 3.0))
    )
    first, again, after, alone = (
        junction.join(parts).series["llm_requests_running"]
        for parts in ([here, there], [here, there], [here, moved], [moved])
    )
    assert first is again
    assert [[1.0, 2.0], [1.0, 3.0], [3.0]] == [[point.value for point in each.points] for each in (first, after, alone)]


def test_where_nothing_moved_the_whole_is_the_same_object() -> None:
    """By which others know that they have seen it; a part that comes, goes or is another makes another."""
    junction = Junction()
    here, there = (
        normalise([reading(sample("vllm:num_requests_running", 1.0), server=server)]).snapshot
        for server in ("here", "there")
    )
    first, again, more, fewer = (junction.join(parts) for parts in ([here], [here], [here, there], [there]))
    assert first is again
    assert ["here", "here there", "there"] == [
        " ".join(dict(point.labels)["server"] for point in each.points("llm_requests_running"))
        for each in (first, more, fewer)
    ]


# --- the budget, and vLLM's own names


def many(count: int) -> list[Sample]:
    """A server that talks too much: an engine's gauge, histograms of many engines, routes without end."""
    found = [sample("http_requests_total", 1.0, handler=f"/{n:05}", method="GET", status="2xx") for n in range(count)]
    for engine in range(3):
        buckets = [
            sample("vllm:e2e_request_latency_seconds_bucket", 1.0, model_name="m", engine=str(engine), le=str(le))
            for le in range(10)
        ]
        found += [*buckets, sample("vllm:num_requests_running", 1.0, model_name="m", engine=str(engine))]
    return found


def test_a_budget_keeps_the_contract_and_whole_histograms_and_counts_the_rest() -> None:
    """First rows first, a histogram whole or not at all, and once it is full nothing else slips in."""
    result = Normaliser(25).normalise(reading(*many(50)))
    kept = {name: len(series.points) for name, series in result.snapshot.series.items()}
    assert {"llm_requests_running": 3, "llm_e2e_request_latency_seconds": 20} == kept
    assert {"budget": 10 + 50} == result.dropped


def test_the_same_series_are_dropped_whatever_their_order() -> None:
    """What stays depends on what there is, not on where it stands on the page."""
    kept = []
    for samples in (many(50), many(50)[::-1]):
        snapshot = Normaliser(60).normalise(reading(*samples)).snapshot
        kept.append({(n, p.suffix, p.labels) for n, s in snapshot.series.items() for p in s.points})
    assert kept[0] == kept[1]
    assert 60 == len(kept[0])


def test_passed_through_are_vllm_s_families_under_their_own_names() -> None:
    """Names, labels and kinds are unchanged but for the server; our names cannot be given away, nor times of making."""
    page = (
        "# HELP vllm:x_seconds Some time.\n# TYPE vllm:x_seconds histogram\n"
        'vllm:x_seconds_bucket{le="1.0",pid="7"} 1\nvllm:x_seconds_count{pid="7"} 1\n'
        "# TYPE vllm:x_created gauge\nvllm:x_created 1\n# TYPE gpu_power_watts gauge\ngpu_power_watts 7\nbare 2\n"
    )
    plain, raw = (
        Normaliser(passthrough=passthrough)
        .normalise(Reading("vllm", "llama", 0.0, 0.0, page_samples(page.encode())))
        .snapshot
        for passthrough in (False, True)
    )
    assert {} == plain.series
    assert ["bare", "vllm:x_seconds"] == list(raw.series)
    family = raw.series["vllm:x_seconds"].family
    assert ("histogram", "Some time.") == family
    assert [("_bucket", labels(server="llama", le="1.0", pid="7")), ("_count", labels(server="llama", pid="7"))] == [
        (point.suffix, point.labels) for point in raw.points("vllm:x_seconds")
    ]


def test_families_that_no_row_knows_are_named_once() -> None:
    """A new histogram is one family, not three names; what is left out on purpose is not unknown."""
    page = (
        "# TYPE vllm:new_seconds histogram\nvllm:new_seconds_sum 1\nvllm:new_seconds_count 1\n"
        "vllm:other 1\npython_info 1\nvllm:prompt_tokens_created 1\n"
    )
    result = normalise([Reading("vllm", "llama", 0.0, 0.0, page_samples(page.encode()))])
    assert ("vllm:new_seconds", "vllm:other") == result.unknown
    assert 3 == result.unclaimed


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
