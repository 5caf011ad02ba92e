"""Snapshot and telemetry -> the page that Prometheus scrapes."""

from __future__ import annotations

import gzip
import subprocess
from collections.abc import Callable, Iterable

import pytest
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from standins.scenes import series, small_snapshot, snapshot_of
from vllm_vigil.exposition.lines import TYPES, Lines
from vllm_vigil.exposition.metrics import Format, Metrics, choose, weight
from vllm_vigil.model import Point, Series, Snapshot, labels
from vllm_vigil.series.catalogue import SPECS, spec_of
from vllm_vigil.series.spec import Kind
from vllm_vigil.telemetry import Telemetry

OPENMETRICS = "application/openmetrics-text; version=1.0.0"
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,"
    "application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,"
    "text/plain;version=0.0.4;q=0.2,*/*;q=0.1"
)
PARSERS: dict[str, Callable[[str], Iterable[Metric]]] = {"": parse_text, OPENMETRICS: parse_openmetrics}


@pytest.fixture
def metrics(telemetry: Telemetry) -> Metrics:
    return Metrics(spec_of, telemetry.families)


def every_series() -> Snapshot:
    """One point of each series in the catalogue."""
    found = []
    for spec in SPECS.values():
        pairs = dict.fromkeys(spec.labels, "x")
        if spec.kind is Kind.HISTOGRAM:
            pairs_of = labels(**pairs)
            buckets = [Point(labels(**pairs, le=le), 1.0, "_bucket") for le in ("0.5", "+Inf")]
            found.append(series(spec.name, *buckets, Point(pairs_of, 1.0, "_count"), Point(pairs_of, 0.5, "_sum")))
        else:
            found.append(series(spec.name, Point(labels(**pairs), 1.0)))
    return snapshot_of(*found)


def samples(families: Iterable[Metric]) -> set[tuple[str, tuple[tuple[str, str], ...], float]]:
    """What a parser read, as values that compare."""
    return {
        (sample.name, tuple(sorted(sample.labels.items())), sample.value)
        for each in families
        for sample in each.samples
    }


@pytest.mark.parametrize("accept", PARSERS)
def test_what_a_parser_reads_is_what_the_snapshot_holds(metrics: Metrics, accept: str) -> None:
    """In both formats every point comes out under its name, with its labels and its value, and nothing besides."""
    body = metrics.answer(small_snapshot(), accept, "").body.decode()
    read = {each for each in samples(PARSERS[accept](body)) if not each[0].startswith("vigil_")}
    held = {
        (each.name + point.suffix, point.labels, point.value)
        for each in small_snapshot().series.values()
        for point in each.points
    }
    assert held == read


@pytest.mark.parametrize("accept", PARSERS)
def test_our_own_metrics_stand_on_the_same_page(metrics: Metrics, accept: str) -> None:
    """The telemetry's series come with the snapshot's in both formats, also when there is no snapshot yet."""
    body = metrics.answer(Snapshot(), accept, "").body.decode()
    assert "vigil_build_info" in {name for name, _, _ in samples(PARSERS[accept](body))}


def test_both_formats_name_every_sample_alike(metrics: Metrics) -> None:
    """A dashboard works whichever format was scraped: the names of samples are the same."""
    names = [
        {name for name, _, _ in samples(parse(metrics.answer(every_series(), accept, "").body.decode()))}
        for accept, parse in PARSERS.items()
    ]
    assert names[0] == names[1]


def test_every_kind_of_the_catalogue_can_be_rendered() -> None:
    """No row can have a kind that ends a scrape."""
    assert {str(kind) for kind in Kind} <= set(TYPES)


def test_promtool_has_nothing_to_say_about_the_whole_catalogue(metrics: Metrics) -> None:
    """Prometheus' own linter finds neither an error nor a remark."""
    page = metrics.answer(every_series(), "", "").body
    checked = subprocess.run(["promtool", "check", "metrics"], input=page, capture_output=True, check=False, timeout=60)
    assert (0, b"", b"") == (checked.returncode, checked.stdout, checked.stderr)


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Every rendering of a snapshot: whether it was for OpenMetrics."""
    found: list[bool] = []

    class Noted(Lines):
        """Tells of every page."""

        def write(self, series: Iterable[Series], *, openmetrics: bool) -> str:
            """Note it and write it."""
            found.append(openmetrics)
            return super().write(series, openmetrics=openmetrics)

    monkeypatch.setattr("vllm_vigil.exposition.metrics.Lines", Noted)
    return found


def test_the_snapshot_is_rendered_once_for_each_format(written: list[bool], metrics: Metrics) -> None:
    """Ten scrapers cost one rendering a tick; the next snapshot is rendered anew."""
    first, second = (snapshot_of(series("llm_requests_running", Point((), value))) for value in (1.0, 2.0))
    pages = [metrics.answer(snapshot, "", "").body for snapshot in (first, first, second, second)]
    metrics.answer(second, OPENMETRICS, "")
    assert [False, False, True] == written
    assert [b"llm_requests_running 1.0" in page for page in pages] == [True, True, False, False]


@pytest.mark.parametrize(("scrapes", "before"), [(0, 0), (1, 0), (2, 1)])
def test_where_several_ask_in_a_tick_the_next_page_is_made_before_they_do(
    written: list[bool], metrics: Metrics, scrapes: int, before: int
) -> None:
    """None of ten a second waits for it; for one in a minute no page is made that nobody sees."""
    first, second, third = (snapshot_of(series("llm_requests_running", Point((), value))) for value in (1.0, 2.0, 3.0))
    metrics.ticked(first)
    for _ in range(scrapes):
        metrics.answer(first, "", "")
    written.clear()
    metrics.ticked(second)
    assert before == len(written)
    assert b"llm_requests_running 2.0" in metrics.answer(second, "", "").body
    metrics.ticked(third)
    assert 1 == len(written)


def test_our_own_metrics_are_as_old_as_the_snapshot(telemetry: Telemetry, metrics: Metrics) -> None:
    """A counter that moved shows it on the next tick's page; until then a scrape costs nothing."""
    first, second = small_snapshot(), small_snapshot()
    before = metrics.answer(first, "", "gzip").body
    telemetry.series_dropped("test", 7)
    assert before is metrics.answer(first, "", "gzip").body
    metrics.ticked(first)
    assert before != metrics.answer(first, "", "gzip").body  # also where the next tick's snapshot is the same
    assert b'vigil_series_dropped_total{cause="test"} 7.0' in metrics.answer(second, "", "").body


def test_a_gzip_client_gets_the_same_page_packed(metrics: Metrics) -> None:
    """What is unpacked equals what a client without gzip is given, and the headers say so."""
    packed = metrics.answer(small_snapshot(), "", "gzip, br")
    assert metrics.answer(small_snapshot(), "", "identity").body == gzip.decompress(packed.body)
    assert ("Content-Encoding", "gzip") in packed.headers
    assert ("Vary", "Accept, Accept-Encoding") in packed.headers


def test_half_a_surrogate_in_a_label_costs_one_name_and_not_the_page(telemetry: Telemetry, metrics: Metrics) -> None:
    """A log file whose name is not UTF-8 is shown with a question mark."""
    telemetry.lines_read("/var/log/\udce9.log", "INFO")
    for accept, parse in PARSERS.items():
        page = metrics.answer(small_snapshot(), accept, "").body.decode()
        assert ("file", "/var/log/?.log") in {pair for _, pairs, _ in samples(parse(page)) for pair in pairs}


def test_hostile_label_text_comes_back_from_the_parser_as_it_was(metrics: Metrics) -> None:
    """Quotes, line ends and backslashes in a label cannot forge a sample."""
    hostile = 'a"} 1\nllm_fake 2\\'
    snapshot = snapshot_of(series("llm_requests_running", Point(labels(server=hostile), 1.0)))
    for accept, parse in PARSERS.items():
        read = samples(parse(metrics.answer(snapshot, accept, "").body.decode()))
        assert {("llm_requests_running", (("server", hostile),), 1.0)} == {
            each for each in read if each[0].startswith("llm_")
        }


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ("", Format.TEXT),
        ("*/*", Format.TEXT),
        ("text/html,application/xhtml+xml,*/*;q=0.8", Format.TEXT),
        ("application/openmetrics-text", Format.OPENMETRICS),
        (PROMETHEUS_3, Format.OPENMETRICS),
        ("text/plain;version=0.0.4;q=0.9,application/openmetrics-text;version=1.0.0;q=0.1", Format.TEXT),
        ("application/openmetrics-text;version=1.0.0;q=0", Format.TEXT),
        ("application/openmetrics-text;version=2.0.0", Format.TEXT),
        ("application/openmetrics-text;version=x;q=y;=;;,,", Format.TEXT),
        ("application/openmetrics-text;q=nan", Format.TEXT),
    ],
)
def test_the_format_follows_what_the_client_prefers(accept: str, form: Format) -> None:
    """OpenMetrics goes to who asks for 1.0 of it and does not like plain text better; nonsense gets text."""
    assert form is choose(accept)


def test_the_content_type_is_one_of_two_texts_of_ours(metrics: Metrics) -> None:
    """No word of the request comes back in the header."""
    accept = "application/openmetrics-text;version=1.0.0;escaping=evil"
    assert {each.value for each in Format} >= {metrics.answer(Snapshot(), accept, "").content_type}


def test_an_encoding_that_is_ruled_out_is_not_used() -> None:
    """`gzip;q=0` means no."""
    assert weight("gzip;q=0, identity", "gzip") == 0
