"""The text of a page becomes samples, or words why not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vllm_vigil.model import Sample, labels
from vllm_vigil.sources.page import parse


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
    assert (expected, None) == parse(page.encode())


def test_an_openmetrics_page_of_the_rust_front_end_is_understood() -> None:
    """Its types lack `_total` and it ends in EOF; the samples are the same."""
    page = b'# TYPE vllm:prompt_tokens counter\nvllm:prompt_tokens_total{model_name="m"} 3 # {trace="t"} 1 1.5\n# EOF\n'
    assert ((Sample("vllm:prompt_tokens_total", labels(model_name="m"), 3.0),), None) == parse(page)


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
