"""The text of a page becomes samples, or words why not."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from vllm_vigil.model import Family, Labels, Sample, labels
from vllm_vigil.sources.page import Parser, parse

CAPTURES = sorted((Path(__file__).parents[1] / "data" / "captures").glob("metrics-*.txt"))


def by_the_model(body: bytes) -> list[tuple[str, Labels, float]] | None:
    """What prometheus_client reads in a page; None if it refuses it."""
    try:
        return [
            (sample.name, tuple(sorted(sample.labels.items())), float(sample.value))
            for family in text_string_to_metric_families(body.decode())
            for sample in family.samples
        ]
    except (ValueError, IndexError, OverflowError):
        return None


def by_us(body: bytes, parser: Parser) -> list[tuple[str, Labels, float]] | None:
    """What we read in it, with the parser in whatever state it is."""
    samples, error = parser.parse(body)
    return None if error and "no samples" not in error else [(each.name, each.labels, each.value) for each in samples]


def agree(*pages: bytes) -> None:
    """One parser reads these pages one after the other, each twice, as prometheus_client reads it."""
    parser = Parser()
    for page in pages:
        for _ in ("cold", "warm"):
            assert repr(by_the_model(page)) == repr(by_us(page, parser)), page  # repr, because NaN is not NaN


def test_samples_keep_their_names_labels_and_values() -> None:
    """Counters keep `_total`, label values their escapes, buckets their `le` as text."""
    page = (
        "# TYPE vllm:prompt_tokens_total counter\n"
        'vllm:prompt_tokens_total{model_name="a\\"b\\\\c\\nd"} 3.0\n'
        "# TYPE vllm:iteration_tokens_total histogram\n"
        'vllm:iteration_tokens_total_bucket{le="1.0"} 2\n'
        "vllm:iteration_tokens_total_count 2\n"
    )
    expected = (
        Sample("vllm:prompt_tokens_total", labels(model_name='a"b\\c\nd'), 3.0),
        Sample("vllm:iteration_tokens_total_bucket", labels(le="1.0"), 2.0),
        Sample("vllm:iteration_tokens_total_count", (), 2.0),
    )
    samples, error = parse(page.encode())
    assert error is None
    assert expected == tuple(samples)


def test_an_openmetrics_page_of_the_rust_front_end_is_understood() -> None:
    """Its types lack `_total` and it ends in EOF; the samples are the same."""
    page = b'# TYPE vllm:prompt_tokens counter\nvllm:prompt_tokens_total{model_name="m"} 3 # {trace="t"} 1 1.5\n# EOF\n'
    samples, error = parse(page)
    assert error is None
    assert [Sample("vllm:prompt_tokens_total", labels(model_name="m"), 3.0)] == list(samples)


@pytest.mark.parametrize(
    ("page", "said"),
    [
        (b"", "no samples"),
        (b"# HELP a b\n", "no samples"),
        (b"<!doctype html>\n", "HTML"),
        (b"\n  <?xml version='1.0'?>\n", "HTML or XML"),
        (b"a 1\nb 12", "cut short"),
        (b"a 1\nb twelve\n", "twelve"),
        (b'a{b="c 1\n', "not an exposition"),
        (b"a " + b"9" * 400 + b"\n", "not an exposition"),
        (b"\xff\xfe 1\n", "not an exposition"),
        (b'{"error": "not found"}\n', "not an exposition"),
    ],
)
def test_what_is_no_page_is_an_error_in_words(page: bytes, said: str) -> None:
    """Nothing of a broken page is used."""
    samples, error = parse(page)
    assert () == samples
    assert said in (error or "")


@given(st.binary(max_size=200))
def test_no_bytes_at_all_make_the_parser_fall_over(body: bytes) -> None:
    """Whatever a server sends, the answer is samples or words that can be printed, never both."""
    samples, error = parse(body)
    assert bool(samples) != (error is not None)
    assert error is None or error.isprintable()


@given(st.text(alphabet='ab_:{}="\\,#+-.eE019 \t\nNaInf', max_size=80))
def test_no_near_miss_of_the_format_makes_the_parser_fall_over(text: str) -> None:
    """The same for text made of the characters that mean something."""
    samples, error = parse(f"{text}\n".encode())
    assert bool(samples) != (error is not None)


# --- the same as prometheus_client


@pytest.mark.parametrize("capture", CAPTURES, ids=lambda path: path.stem)
def test_a_recorded_page_is_read_as_prometheus_client_reads_it(capture: Path) -> None:
    """Also with every page before it still in mind."""
    agree(*(path.read_bytes() for path in CAPTURES), capture.read_bytes())


def test_a_page_of_the_same_shape_has_the_same_keys() -> None:
    """While nothing but numbers changes, what the lines are called is one object."""
    parser = Parser()
    first, second, third = (parser.parse(page)[0] for page in (b'a{b="c"} 1\nd 2\n', b'a{b="c"} 3\nd NaN\n', b"d 2\n"))
    assert first.keys is second.keys
    assert (3.0, (("d", ()),)) == (second.values[0], third.keys)


def test_a_comment_of_its_own_kind_does_not_change_the_shape() -> None:
    """The Rust front end ends its pages so."""
    parser = Parser()
    first, second = (parser.parse(page)[0] for page in (b"a 1\n# EOF\n", b"a 2\n# EOF\n"))
    assert first.keys is second.keys


def test_a_line_that_lost_its_name_is_not_taken_for_a_number() -> None:
    """On a page of a known shape it stands where a sample stood, and begins otherwise."""
    agree(b'a{b="c"} 1\nd 2\n', b"NaN\nd 2\n")
    agree(b"a 1\nbb 2\n", b"bb 1\na 2\n", b"5\nbb 2\n")


def test_a_label_s_value_that_looks_like_a_bucket_is_none() -> None:
    """Quotes that are missing are missed, though a line before had the same text on both sides of them."""
    agree(b'a{x="q,le=",le=",le="} 1\na{x="q,le="ZZZ",le="} 1\n')


def test_a_number_that_no_float_holds_is_refused_after_spaces_too() -> None:
    """The page before had one space there, and this one has two."""
    agree(b"a 1\n", b"a  " + b"9" * 400 + b"\n")


def test_the_kind_and_help_of_families_are_told() -> None:
    """They are there for who passes families through."""
    page = b"# HELP a Some \\\\ help.\n# TYPE a gauge\na 1\n# TYPE b counter\n"
    assert {"a": Family("gauge", "Some \\\\ help."), "b": Family("counter")} == parse(page)[0].families


def test_a_counter_keeps_the_name_that_it_has_on_the_wire() -> None:
    """The one difference: prometheus_client adds `_total` to a counter that lacks it."""
    page = b"# TYPE requests counter\nrequests 1\n"
    assert ([("requests_total", (), 1.0)], [("requests", (), 1.0)]) == (by_the_model(page), by_us(page, Parser()))


@pytest.mark.parametrize(
    "line",
    [
        'a{b="c d"} 1',
        'a{b="c",le="1.0",z="y"} 1', 'a{role="x,le=",y="b"} 1', 'a{le="\\"",b=""} 1', 'a{le="1"} 1',
        'a{x="\\\\",le="+Inf"} 2', 'a{b="c"} 1 1700000000', 'a{b="c"} 1 # {t="x"} 1 1.5', 'a {b="c"} 1',
        'a{ b = "c" } 1',
        'a{b="c",} 1', "a{} 1", 'a{b="c"}1', "a\t1", " a  1 ", "a 1\r", 'a{b="}"} 1', 'a{b="#"} 1', "a 0x1", "a 1_0",
        "a +Inf", "a -inf", "a NaN", "a 1e999", "a " + "9" * 400, "a \u0661", 'a{b="c",b="d"} 1', 'a{__b="c"} 1',
        'a{__name__="b"} 1', '{"a",b="c"} 1', '{"a b"} 1', 'a{b:c="d"} 1', "a{b='c'} 1", 'a{b="c" 1', "a", "a{} ",
        "1a 1",
        "#", "# a b", "# HELP", "# HELP a", "# HELP 1a b", "# TYPE a", "# TYPE a b", "# TYPE a gauge",
        "# TYPE a gauge ",
        "#TYPE a gauge", "# EOF", "# HELP  a  b", "# TYPE a unknown", '# TYPE "a b" gauge', "", " ", "a 1\x0b",
    ],
)  # fmt: skip
def test_an_odd_line_is_read_as_prometheus_client_reads_it(line: str) -> None:
    """Alone, after a page of plain lines, and beside them: the same samples, or refused by both."""
    plain = b'a{b="c"} 1\na{b="c",le="0.5",z="y"} 1\n'
    agree(plain, line.encode() + b"\n", plain + line.encode() + b"\n", plain)


NAMES = st.sampled_from(["a", "vllm:b_total", "c_bucket", "d_sum", "le"])
VALUES = st.text(alphabet='ab "\\\n,=}{#le\u00e9', max_size=6)
LABELS = st.dictionaries(st.sampled_from(["le", "b", "engine", "z_"]), VALUES, max_size=3)
NUMBERS = st.one_of(
    st.floats().map(repr), st.integers(-5, 10**20).map(str), st.sampled_from(["+Inf", "-Inf", "NaN", "1_0", "x", ""])
)
TAILS = st.sampled_from(["", "", "", "", " ", " 17", ' # {t="x"} 1', "\r", "\t"])
SPACES = st.sampled_from([" ", " ", " ", " ", "  ", "\t", ""])
COMMENTS = st.sampled_from(
    ["# HELP a Some help.", "# TYPE a gauge", "# TYPE c histogram", "# x", "#", "", "# TYPE d nothing", "# EOF"]
)


def escaped(text: str) -> str:
    """As it stands between the quotes."""
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


@st.composite
def sample_lines(draw: st.DrawFn) -> str:
    """A line with a number, mostly plain."""
    pairs = ",".join(f'{name}="{escaped(value)}"' for name, value in draw(LABELS).items())
    return draw(NAMES) + (f"{{{pairs}}}" if pairs else "") + draw(SPACES) + draw(NUMBERS) + draw(TAILS)


LINES = st.one_of(sample_lines(), sample_lines(), sample_lines(), COMMENTS)
PAGES = st.lists(LINES, min_size=1, max_size=8).map(lambda lines: "".join(f"{line}\n" for line in lines).encode())


@given(st.lists(PAGES, min_size=1, max_size=3))
def test_generated_pages_are_read_as_prometheus_client_reads_them(pages: list[bytes]) -> None:
    """Escapes, exemplars, timestamps, NaN, odd spacing, comments and nonsense, one page after the other."""
    agree(*pages)


@given(st.lists(sample_lines(), min_size=1, max_size=5), st.lists(NUMBERS, min_size=5, max_size=5))
def test_new_numbers_on_a_known_page_are_read_as_prometheus_client_reads_them(
    lines: list[str], numbers: list[str]
) -> None:
    """The short way is as right as the long one."""
    heads = [line.rpartition(" ")[0] for line in lines]
    agree(
        *(
            "".join(f"{head} {number}\n" for head, number in zip(heads, texts, strict=False)).encode()
            for texts in (["1.0"] * 5, numbers)
        )
    )


@given(st.text(alphabet='ab_:{}="\\,#+-.eE019 \t\nNaInf', max_size=60))
def test_near_misses_of_the_format_are_refused_by_both_or_by_none(text: str) -> None:
    """Text of the characters that mean something."""
    page = f"{text}\n".encode()
    if page.lstrip()[:1] != b"<":
        agree(page)
