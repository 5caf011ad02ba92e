"""The text that an expression requires is in everything that it matches."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vllm_vigil.events.literal import required

CASES = [
    (r"upstream timed out after (?P<timeout>\d+)s", "upstream timed out after "),
    (r"FSM for request (?P<id>\S+)", "FSM for request "),
    (r"^lost \d+ of [0-9]+ blocks$", " blocks"),
    (r"a|lost it", ""),
    (r"(a|b) lost it", " lost it"),
    (r"(?i)lost it", ""),
    (r"(?i:lost) it", ""),
    (r"lost?", "los"),
    (r"lost*ly", "los"),
    (r"lost{2}", "los"),
    (r"lost+ly", "lost"),
    (r"x\.py\[3\]", "x.py"),
    (r"ab.cd", ""),
    (r"[^]]lost[\]a]it", "lost"),
    (r"\d+", ""),
    (r'say "no"', "say "),
    ("größer als", "er als"),
]


@pytest.mark.parametrize(("regex", "text"), CASES, ids=[regex for regex, _ in CASES])
def test_the_longest_sure_text_is_found(regex: str, text: str) -> None:
    """Groups, classes, alternatives, quantifiers and flags are not sure."""
    assert text == required(regex)


PARTS = st.sampled_from(
    ["lost", "abc", r"\d+", "(?:x|yz)", "[a-c]", "q?", "w*", "e+", "r{2}", r"\.", "(?P<n>uvw)?", "-"]
)


@given(st.lists(PARTS, min_size=1, max_size=8), st.data())
def test_whatever_matches_holds_the_text(parts: list[str], data: st.DataObject) -> None:
    """For any expression put together of such parts, and any text that it matches."""
    regex = "".join(part for n, part in enumerate(parts) if "?P<" not in part or part not in parts[:n])
    text = data.draw(st.from_regex(re.compile(regex, re.ASCII)))
    assert required(regex) in text
