"""The lines of an exposition are those that prometheus_client would write, and right where it is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import Metric, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.utils import floatToGoString

from standins.scenes import small_snapshot
from vllm_vigil.exposition.lines import Lines, number
from vllm_vigil.model import Family, Labels, Point, Series, labels
from vllm_vigil.series.catalogue import SPECS, spec_of

parse_openmetrics: Callable[[str], Iterable[Metric]] = text_string_to_metric_families
KINDS = {"counter": "counter", "histogram": "histogram"}


class Families:
    """Series as prometheus_client collects them."""

    def __init__(self, *series: Series) -> None:
        self.series = series

    def collect(self) -> list[Metric]:
        """A family of each."""
        found = []
        for each in self.series:
            spec = spec_of(each.name)
            kind = KINDS.get(spec.kind, "gauge")
            metric = Metric(each.name.removesuffix("_total") if kind == "counter" else each.name, spec.help, kind)
            for point in each.points:
                metric.add_sample(each.name + point.suffix, dict(point.labels), point.value)
            found.append(metric)
        return found


def agree(lines: Lines, *series: Series) -> None:
    """Both formats, as sets of lines."""
    text = generate_latest(Families(*series)).decode()
    assert sorted(text.split("\n")) == sorted(lines.write(series, openmetrics=False).split("\n"))
    openmetrics: str = generate_openmetrics(Families(*series)).decode()  # type: ignore[no-untyped-call]
    assert sorted(openmetrics.split("\n")) == sorted((lines.write(series, openmetrics=True) + "# EOF\n").split("\n"))


def test_the_small_scene_is_written_as_by_prometheus_client() -> None:
    """Gauges, counters, histograms, infos and state sets."""
    agree(Lines(spec_of), *small_snapshot().series.values())


def test_every_series_of_the_catalogue_is_written_as_by_prometheus_client() -> None:
    """No row can be one that the two write differently."""
    agree(Lines(spec_of), *(Series(name, (Point(labels(server="s"), 1.0),)) for name in SPECS))


LABELS = st.dictionaries(
    st.sampled_from(["a", "b", "le"]), st.text(max_size=4).filter(lambda t: t.isprintable() or "\n" in t), max_size=3
)
POINTS = st.builds(
    lambda pairs, value, suffix: Point(tuple(sorted(pairs.items())), value, suffix),
    LABELS,
    st.floats(),
    st.sampled_from(["", "_bucket", "_sum"]),
)
SNAPSHOTS = st.dictionaries(st.sampled_from(sorted(SPECS)), st.lists(POINTS, max_size=4), max_size=4)


@given(st.lists(SNAPSHOTS, min_size=1, max_size=3))
def test_generated_snapshots_are_written_as_by_prometheus_client(snapshots: list[dict[str, list[Point]]]) -> None:
    """One tick after the other, with what was kept from the one before."""
    lines = Lines(spec_of)
    for snapshot in snapshots:
        agree(lines, *(Series(name, tuple(points)) for name, points in snapshot.items()))


@given(st.one_of(st.floats(), st.integers(-(10**18), 10**18).map(float)))
def test_numbers_are_written_as_by_prometheus_client(value: float) -> None:
    """Exponents, infinities and NaN included."""
    assert floatToGoString(value) == number(value)  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("value", [0, 3, -7, 10**7, True])
def test_a_whole_number_is_written_as_a_float(value: int) -> None:
    """A source that gives an int makes no line that looks otherwise."""
    assert floatToGoString(value) == number(value)  # type: ignore[no-untyped-call]
    assert f" {number(value)}\n" in Lines(spec_of).write([Series("gpu_info", (Point((), value),))], openmetrics=False)


def raw(name: str, kind: str, *points: tuple[Labels, float, str]) -> Series:
    """A family of vLLM under its own name."""
    return Series(name, tuple(Point(*point) for point in points), Family(kind, "Some help."))


def test_raw_families_keep_their_names_in_openmetrics() -> None:
    """Colons and all, where prometheus_client 0.26 makes a page that its own parser refuses."""
    one = labels(engine="0")
    page = Lines(spec_of).write(
        [
            raw("vllm:prompt_tokens_total", "counter", (one, 3.0, "")),
            raw(
                "vllm:iteration_tokens_total",
                "histogram",
                (labels(le="+Inf"), 1.0, "_bucket"),
                ((), 1.0, "_count"),
                ((), 2.0, "_sum"),
            ),
            raw("vllm:cache_config_info", "gauge", (one, 1.0, "")),
            raw("odd", "untyped", ((), 1.0, "")),
            raw("requests", "counter", ((), 1.0, "")),
        ],
        openmetrics=True,
    )
    families = list(parse_openmetrics(page + "# EOF\n"))
    assert ["counter", "histogram", "gauge", "unknown", "unknown"] == [family.type for family in families]
    assert {
        "vllm:prompt_tokens_total",
        "vllm:iteration_tokens_total_sum",
        "vllm:cache_config_info",
        "odd",
        "requests",
    } <= {sample.name for family in families for sample in family.samples}


def test_of_two_families_that_openmetrics_confuses_the_first_is_written() -> None:
    """A server's odd names cost it a family in that format, and never us the page."""
    clash = [
        raw("x_total", "counter", ((), 1.0, "")),
        raw("x", "gauge", ((), 2.0, "")),
        raw("x_created", "gauge", ((), 3.0, "")),
    ]
    (family,) = parse_openmetrics(Lines(spec_of).write(clash, openmetrics=True) + "# EOF\n")
    assert "counter" == family.type
    assert 3 == Lines(spec_of).write(clash, openmetrics=False).count("# TYPE")


def test_what_is_gone_is_forgotten() -> None:
    """Labels that are no longer there leave nothing behind, and come out right when they are back."""
    lines = Lines(spec_of)
    there = Series("gpu_info", (Point(labels(gpu="0"), 1.0),))
    first = lines.write([there], openmetrics=False)
    assert "" == lines.write([], openmetrics=False)
    assert {} == lines._written
    assert first == lines.write([there], openmetrics=False)
