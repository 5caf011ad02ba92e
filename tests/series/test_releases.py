"""Releases sort as they were made, and spans of them are read from the table's words."""

from __future__ import annotations

import pytest

from vllm_vigil.series.releases import RELEASES, Span, generations_of, ordinal, spans


def test_releases_sort_as_they_were_made() -> None:
    """A `.post1` comes after its release, 0.10 after 0.9."""
    assert sorted(RELEASES, key=ordinal) == list(RELEASES)


@pytest.mark.parametrize(
    ("text", "like"), [("0.32.0+cpu", "0.32.0"), ("0.11.0rc1.dev5+gabc", "0.11.0"), ("v0.9", "0.9.0")]
)
def test_what_follows_a_release_is_left_out(text: str, like: str) -> None:
    """Builds and previews count as their release."""
    assert ordinal(like) == ordinal(text)


@pytest.mark.parametrize("text", ["", "dev", "unknown", "."])
def test_what_is_no_release_has_no_place(text: str) -> None:
    """It is in no span, and nothing falls over."""
    assert () == ordinal(text)
    assert [] == list(generations_of(text))


def test_a_span_has_both_its_ends() -> None:
    """First and last belong to it; what comes after does not."""
    hidden, open_end = spans("V0 0.8.3-0.9.0.1 hidden, V1 0.7.1-")
    assert Span("V0", "0.8.3", "0.9.0.1", hidden=True) == hidden
    assert [True, True, False] == [hidden.covers("V0", release) for release in ("0.8.3", "0.9.0.1", "0.9.1")]
    assert [False, True, True] == [open_end.covers("V1", release) for release in ("0.7.0", "0.7.1", "9.9")]


def test_the_api_server_stands_before_both_engines_but_not_the_one_in_rust() -> None:
    """`API` covers V0 and V1."""
    (span,) = spans("API 0.8.3-")
    assert [True, True, False] == [span.covers(each, "0.30.0") for each in ("V0", "V1", "Rust")]


@pytest.mark.parametrize("text", ["V2 0.1-", "V1 0.7.1", "V1 -0.7.1", ""])
def test_a_span_that_cannot_be_read_ends_the_import(text: str) -> None:
    """The table cannot hold a slip of the pen."""
    with pytest.raises(ValueError, match="is not a span of releases"):
        spans(text)
