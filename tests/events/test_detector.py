"""The detector finds its way fast past what is ordinary, and says little of what is not."""

from __future__ import annotations

import pytest

from vllm_vigil.events.detector import Detector, template
from vllm_vigil.events.patterns import PATTERNS
from vllm_vigil.model import Record


def test_the_template_of_a_message_keeps_what_does_not_change() -> None:
    """Request ids, numbers, lists, quotes and paths are masked; the words stay."""
    one = "Failed to advance FSM for request chatcmpl-00a-aa00bb11 for tokens 154842. Please file an issue."
    two = "Failed to advance FSM for request chatcmpl-00b-cc22dd33 for tokens 271. Please file an issue."
    assert template(one) == template(two)
    assert "Failed to advance FSM for request * for tokens *. Please file an issue." == template(one)
    assert template("rejected [1, 2] for '/a/b' at 0xff") == template("rejected [3] for '/c' at 0x1")


def test_errors_that_no_row_claims_are_grouped() -> None:
    """The fallback's event carries the template; a warning is none."""
    detector = Detector(PATTERNS)
    event = detector.judge(Record("f", "ERROR", "lost 5 of 7", "llama"), 9.0)
    assert event is not None
    assert ("error", "error_burst", "llama", 9.0) == (event.kind, event.rule, event.server, event.at)
    assert {"template": "lost * of *"} == dict(event.fields)
    assert detector.judge(Record("f", "WARNING", "lost 5 of 7"), 9.0) is None


def test_fields_are_cut() -> None:
    """However long the text, what goes on is short."""
    event = Detector(PATTERNS).judge(Record("f", "ERROR", "x" * 100_000), 0.0)
    assert event is not None
    assert all(len(value) <= 160 for value in event.fields.values())


@pytest.mark.no_cover
def test_hostile_text_is_judged_in_time() -> None:
    """Lines made to keep a regular expression busy are judged like others: the suite's time limit is the proof."""
    detector = Detector(PATTERNS)
    seeds = ("[" * 9000, "'" * 9000, "a." * 8000 + ":", "(" * 9000, "torch." * 2500 + "OutOfMemoryError", "0" * 9000)
    literals = [literal for row in PATTERNS for literal in row.literals]
    for seed in seeds:
        for literal in literals:
            for level in ("INFO", "ERROR", ""):
                detector.judge(Record("f", level, f"{literal}{seed}", traceback=f"X: {seed}{literal}"), 0.0)
