"""Durations, sizes and secrets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vllm_vigil.units import Secret, format_duration, format_size, parse_duration, parse_size


@pytest.mark.parametrize(
    ("text", "seconds"), [("500ms", 0.5), ("30s", 30), ("5m", 300), ("1h30m", 5400), ("2d", 172800), ("1.5s", 1.5)]
)
def test_a_duration_is_read_in_seconds(text: str, seconds: float) -> None:
    """Numbers with units add up."""
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "30", "s", "5 m", "-5s", "5s5", "1w"])
def test_what_is_no_duration_is_refused_with_an_example(text: str) -> None:
    """A number alone has no unit, and the error shows how to write one."""
    with pytest.raises(ValueError, match="such as 30s, 5m, 1h30m"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "size"), [("64KiB", 65536), ("10MiB", 10485760), ("1GB", 10**9), ("7B", 7), ("1.5 KiB", 1536)]
)
def test_a_size_is_read_in_bytes(text: str, size: int) -> None:
    """Binary and decimal units are told apart."""
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "64", "KiB", "1TiBB", "-1B"])
def test_what_is_no_size_is_refused_with_an_example(text: str) -> None:
    """The error shows how to write one."""
    with pytest.raises(ValueError, match="such as 64KiB"):
        parse_size(text)


@given(st.integers(0, 10**7))
def test_a_printed_duration_reads_back(seconds: int) -> None:
    """`vigil check` prints what the file may say."""
    assert float(parse_duration(format_duration(seconds))) == seconds


@given(st.integers(0, 2**40))
def test_a_printed_size_reads_back(size: int) -> None:
    """The same for sizes."""
    assert parse_size(format_size(size)) == size


def test_a_secret_shows_itself_only_on_purpose() -> None:
    """Printing, formatting and repr give asterisks; `reveal` gives the text."""
    secret = Secret("hunter2")
    shown = f"{secret} {secret!r} {secret:>10} " + str(secret) + "%s" % secret  # noqa: UP031  # every way to print
    assert "hunter2" not in shown
    assert secret.reveal() == "hunter2"
