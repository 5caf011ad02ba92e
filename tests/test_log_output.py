"""What we log, in its three styles."""

from __future__ import annotations

import io
import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from loguru import logger

from vllm_vigil import log_output


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    handlers, level = logging.root.handlers[:], logging.root.level
    yield
    logger.remove()
    logging.root.handlers[:], logging.root.level = handlers, level


def written(style: str, level: str = "info") -> io.StringIO:
    """Log a few things in a style; give what came out."""
    stream = io.StringIO()
    log_output.configure(level, style, stream)
    logger.debug("too low")
    logger.warning("key {}", "Bearer abcdefghijklmnopqrstuvwxyz012345")
    logger.info("two\x1b[31m lines\nof text")
    return stream


def test_a_person_reads_time_level_and_text() -> None:
    """One line each, without what a terminal would obey."""
    first, second = written("human").getvalue().splitlines()
    assert " WARNING  key " in first
    assert second.endswith("INFO     two lines of text")


def test_a_machine_reads_one_object_a_line() -> None:
    """With the names that log pipelines expect."""
    first = json.loads(written("json").getvalue().splitlines()[0])
    assert (first["level"], first["logger"]) == ("warning", __name__)
    assert set(first) == {"time", "level", "logger", "message"}


def test_journald_reads_a_priority() -> None:
    """As sd-daemon(3) writes them."""
    assert [line[:3] for line in written("journal").getvalue().splitlines()] == ["<4>", "<6>"]


@pytest.mark.parametrize("style", ["human", "json", "journal"])
def test_no_secret_leaves_in_any_style(style: str) -> None:
    """The message is masked on its way out."""
    assert "abcdefghijklmnopqrstuvwxyz012345" not in written(style).getvalue()


def test_an_exception_is_one_line_and_its_variables_stay_inside() -> None:
    """A traceback with values could hold a secret; the type and text are enough to find it."""
    stream = io.StringIO()
    log_output.configure("info", "human", stream)
    inner = {"token": "hunter2"}
    try:
        inner["nothing"]
    except LookupError:
        logger.exception("it failed")
    (line,) = stream.getvalue().splitlines()
    assert line.endswith("it failed [KeyError: 'nothing']")


def test_the_libraries_speak_through_the_same_door() -> None:
    """From WARNING on; below it some print secrets."""
    stream = io.StringIO()
    log_output.configure("debug", "human", stream)
    logging.getLogger("some.library").warning("careful")
    logging.getLogger("some.library").info("GET /secret")
    assert [line.split(maxsplit=2)[2] for line in stream.getvalue().splitlines()] == ["some.library: careful"]


def test_the_place_says_which_style_it_wants(tmp_path: Path) -> None:
    """systemd names its journal by device and inode; a file that is no terminal gets JSON."""
    with (tmp_path / "out").open("w") as stream:
        status = os.fstat(stream.fileno())
        assert log_output.detect(stream, {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}) == "journal"
        assert log_output.detect(stream, {"JOURNAL_STREAM": "1:2"}) == "json"
        assert log_output.detect(stream, {}) == "json"
