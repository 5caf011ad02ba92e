"""A log's settings say what is wrong with them."""

from __future__ import annotations

from vllm_vigil.lines.settings import LogSettings


def test_a_path_or_a_glob_written_in_full_is_good() -> None:
    """Nothing to say about either."""
    assert [] == [*LogSettings("/var/log/vllm.log").problems(), *LogSettings("/var/log/vllm/*.log").problems()]


def test_each_path_that_cannot_be_followed_is_named_with_its_reason() -> None:
    """Empty, relative, with a NUL, compressed."""
    wrong = {"": "empty", "logs/vllm.log": "relative", "/var/a\0b": "NUL", "/var/log/vllm.log.1.gz": "compressed"}
    for path, word in wrong.items():
        [(field, message)] = LogSettings(path).problems()
        assert "path" == field
        assert word in message
