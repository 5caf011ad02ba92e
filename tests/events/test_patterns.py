"""Every row on its own examples and on all others', its near misses, and the rows that users add."""

from __future__ import annotations

import pytest

from vllm_vigil.events.detector import Detector
from vllm_vigil.events.pattern import Pattern, Where
from vllm_vigil.events.patterns import FALLBACK, PATTERNS, PatternSettings, user_rows
from vllm_vigil.events.record import read_text
from vllm_vigil.model import Event

DETECTOR = Detector(PATTERNS)
NAMES = [row.id for row in PATTERNS]


def seen(text: str) -> list[Event]:
    """The events of the records of a few lines."""
    events = [DETECTOR.judge(record, 0.0) for record in read_text(text.split("\n"))]
    return [event for event in events if event]


@pytest.mark.parametrize("row", PATTERNS, ids=NAMES)
def test_a_row_and_no_other_recognises_its_examples(row: Pattern) -> None:
    """Each example is one record, and the event that comes of it is that row's."""
    assert row.examples
    for example in row.examples:
        assert [row.id] == [event.kind for event in seen(example)], example


@pytest.mark.parametrize("row", PATTERNS, ids=NAMES)
def test_a_row_does_not_recognise_its_near_misses(row: Pattern) -> None:
    """What looks like the trouble and is not stays unclaimed by the row."""
    assert row.near_misses
    for near_miss in row.near_misses:
        assert row.id not in [event.kind for event in seen(near_miss)], near_miss


@pytest.mark.parametrize("row", PATTERNS, ids=NAMES)
def test_a_row_always_finds_its_own_literals(row: Pattern) -> None:
    """The cheap look for literals never keeps a row from its own examples."""
    for example in row.examples if row.literals else ():
        assert any(literal in example for literal in row.literals), example


def test_ids_are_unique_and_the_fallback_stands_last() -> None:
    """A kind is one row, and what claims any error comes after all that know one."""
    assert len(NAMES) == len(set(NAMES))
    assert FALLBACK == NAMES[-1]


@pytest.mark.parametrize("row", PATTERNS, ids=NAMES)
def test_a_prompt_raises_nothing(row: Pattern) -> None:
    """A request whose prompt is a crash, in whole or in its last line, is a request."""
    for example in row.examples:
        text = example.replace("\n", "\\n").replace("'", "\\'")
        for line in (
            f"INFO 01-09 21:40:06 logger.py:37] Received request cmpl-1: prompt: '{text}', params: SamplingParams(n=1)",
            f"(APIServer pid=1) INFO 11-21 03:33:25 [x.py:1] Generated response cmpl-1: output: '{text}'",
            f"DEBUG 01-09 21:40:06 logger.py:37] Request cmpl-1 details: prompt: '{text}'",
        ):
            assert [] == seen(line), line


def fields(text: str) -> dict[str, str]:
    """The fields of the one event of these lines."""
    (event,) = seen(text)
    return dict(event.fields)


def test_numbers_are_captured() -> None:
    """How much was asked for, how much was free, on which GPU, in which phase."""
    oom = (
        "ERROR 01-09 21:40:07 core.py:135] EngineCore encountered a fatal error.\n"
        "ERROR 01-09 21:40:07 core.py:135] Traceback (most recent call last):\n"
        "ERROR 01-09 21:40:07 core.py:135] torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.32 GiB. "
        "GPU 3 has a total capacity of 79.15 GiB of which 1.21 GiB is free."
    )
    assert {
        "asked": "2.32 GiB",
        "gpu": "3",
        "free": "1.21 GiB",
        "phase": "runtime",
        "exception": "OutOfMemoryError",
    } == fields(oom)
    assert {"timeout": "60"} == fields(
        "INFO 04-02 03:11:20 [shm_broadcast.py:548] No available shared memory broadcast block found in 60 seconds."
    )


def test_a_users_row_comes_first_and_brings_its_fields() -> None:
    """A pattern of the configuration wins over ours and counts for the rule that it names."""
    settings = PatternSettings(regex=r"FSM for request (?P<request_id>\S+)", rule="grammar", level="ERROR")
    assert [] == list(settings.problems())
    detector = Detector((*user_rows({"fsm": settings}), *PATTERNS))
    (record,) = read_text(
        ["ERROR 06-13 10:01:02 [x.py:158] Failed to advance FSM for request chatcmpl-1 for tokens 1."]
    )
    event = detector.judge(record, 5.0)
    assert event is not None
    assert ("fsm", "grammar", {"request_id": "chatcmpl-1"}) == (event.kind, event.rule, dict(event.fields))
    assert "fsm" in detector.kinds


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        (PatternSettings(), "regex"),
        (PatternSettings(regex="("), "regex"),
        (PatternSettings(regex="a", level="LOUD"), "level"),
        (PatternSettings(regex="lost", examples=("ERROR 06-13 10:01:02 [x.py:1] found",)), "examples[0]"),
        (PatternSettings(regex="lost", near_misses=("INFO:     all is lost",)), "near_misses[0]"),
        (PatternSettings(regex="lost", level="ERROR", examples=("INFO:     all is lost",)), "examples[0]"),
        (
            PatternSettings(regex="below", where=Where.MESSAGE, examples=("ERROR:    x\nTraceback (most",)),
            "examples[0]",
        ),
    ],
)
def test_a_users_row_that_cannot_work_is_refused(settings: PatternSettings, field: str) -> None:
    """The problem names the field, so that the configuration can name the line."""
    assert [field] == [name for name, _ in settings.problems()]
