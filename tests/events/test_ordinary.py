"""A line of JSON that is taken for an ordinary one is read as a record that has that level, and a time."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from loguru import logger

from standins.json_lines import WRITERS, Write, vllm
from standins.log_replay import WALL
from vllm_vigil.events.document import LEVEL_KEYS, TIME_KEYS
from vllm_vigil.events.ordinary import level_in, ordinary
from vllm_vigil.events.part import Shape
from vllm_vigil.events.patterns import PATTERNS
from vllm_vigil.events.prefix import QUIET
from vllm_vigil.events.shape import read

LINE = re.compile(ordinary(QUIET))


@pytest.mark.parametrize("level", [*QUIET, "ERROR", "CRITICAL"])
@pytest.mark.parametrize("write", WRITERS, ids=[write.__name__ for write in WRITERS])
def test_a_quiet_line_is_taken_for_one_whoever_wrote_it(write: Write, level: str) -> None:
    """Quotes, backslashes, line ends and letters of any script may stand in it."""
    for message in ("step", "", 'a "C:\\x"\n\tgrößer 🌍', "{'level': 'ERROR'}", '{"level": "ERROR"}'):
        line = LINE.fullmatch(write(level, "31", message).encode())
        assert (level if level in QUIET else None) == (level_in(line) if line else None)


def test_what_loguru_really_writes_is_taken_for_one() -> None:
    """Also a level that only it has."""
    lines: list[str] = []
    sink = logger.add(lines.append, serialize=True, level="TRACE", filter=__name__)
    logger.bind(request_id="cmpl-7").info("step {}", 7)
    logger.success("done")
    logger.trace("detail")
    logger.error("no")
    logger.remove(sink)
    found = [LINE.fullmatch(line.removesuffix("\n").encode()) for line in lines]
    assert ["INFO", "INFO", "DEBUG", None] == [line and level_in(line) for line in found]


@pytest.mark.parametrize(
    "line",
    [
        vllm("INFO", "31", "x").replace('"INFO"', '"INFO", "levelname": "ERROR"'),
        vllm("INFO", "31", "x").replace('"name"', '"level"'),
        vllm("INFO", "31", "x").replace('"name"', '"timestamp"'),
        vllm("INFO", "31", "x").replace("2026-11-21 03:05:31,820", "yesterday"),
        vllm("INFO", "31", "x").replace("17517", "007"),
        vllm("INFO", "31", "x").replace("17517", "1" * 5000),
        vllm("INFO", "31", "x").replace("17517", "[1]"),
        vllm("INFO", "31", "x").replace("x", "x\\u0041"),
        vllm("INFO", "31", "x").replace("x", "sha\\u001b[0mred"),
        vllm("INFO", "31", "x").replace("x", "of\\rmemory"),
        vllm("INFO", "31", "x").replace("x", "\x1b[1m"),
        vllm("INFO", "31", "x")[:-1],
        vllm("INFO", "31", "x").replace('{"asctime"', '{"log": "no", "asctime"'),
        '{"message": "neither level nor time"}',
    ],
)
def test_a_line_that_may_say_something_else_is_not(line: str) -> None:
    """It says two levels or none, no time, a text that an escape hides, or is no JSON."""
    assert LINE.fullmatch(line.encode()) is None


KEYS = st.sampled_from([*LEVEL_KEYS, *TIME_KEYS, "message", "record", "text", "log", "exception", "a-b.c", "ä"])
TIMES = ("2026-11-21 03:05:31,820", "11-21 03:05:31", "2026-11-21T03:05:31Z", 1_795_230_331.5, 1_795_230_331)
LEVELS = ("INFO", "debug", "Warning", "SUCCESS", "notice", "error", "no level")
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.sampled_from([None, True, 0, -1.5e300, "", *TIMES, *LEVELS]) | st.text(max_size=5),
    lambda inner: st.dictionaries(KEYS | st.sampled_from(["name", "timestamp", "id"]), inner, max_size=3),
    max_leaves=4,
)
PAIRS = st.tuples(KEYS, VALUES)
GOOD = st.sampled_from(
    [("level", "INFO"), ("levelname", "DEBUG"), ("time", TIMES[0]), ("ts", TIMES[3]), ("message", "hello"), ("n", 7)]
)


@pytest.mark.no_cover
@settings(max_examples=1500, deadline=None)
@given(
    pairs=st.lists(GOOD | GOOD | PAIRS, max_size=6),
    compact=st.booleans(),
    ascii_=st.booleans(),
    within=st.booleans(),
    at=st.integers(0, 400),
    byte=st.sampled_from([b"", b'"', b"}", b",", b"0", b"\\", b"\r"]),
)
def test_what_is_taken_for_one_is_read_as_one(
    *, pairs: list[tuple[str, Any]], compact: bool, ascii_: bool, within: bool, at: int, byte: bytes
) -> None:
    """Keys in any order and more than once, values of any kind, a byte changed."""
    separators = (",", ":") if compact else (", ", ": ")
    said = [
        f"{json.dumps(key, ensure_ascii=ascii_)}{separators[1]}"
        + json.dumps(value, ensure_ascii=ascii_, separators=separators)
        for key, value in pairs
    ]
    text = "{" + separators[0].join(said) + "}"
    line = (f'{{"text": "x\\n", "record": {text}}}' if within else text).encode(errors="replace")
    for each in (line, line[:at] + byte + line[at + 1 :]):
        taken = LINE.fullmatch(each)
        part = read(each, WALL)
        assert taken is None or (Shape.DOCUMENT, level_in(taken), True) == (part.shape, part.level, part.at is not None)


def test_every_text_of_a_row_stands_in_json_as_it_does_in_a_message() -> None:
    """Or a line in which it stands could be taken for an ordinary one."""
    for row in PATTERNS:
        for text in row.literals if row.levels & set(QUIET) else ():
            assert text in json.dumps(text)[1:-1]
