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


def test_a_unit_the_kernel_a_container_and_standard_input_are_good() -> None:
    """Each is called by what it is."""
    logs = [
        LogSettings(journal="vllm.service"),
        LogSettings(journal="kernel"),
        LogSettings(docker="vllm-1"),
        LogSettings(stdin=True),
    ]
    assert [] == [problem for log in logs for problem in log.problems()]
    assert ["journal:vllm.service", "journal:kernel", "docker:vllm-1", "stdin"] == [log.name for log in logs]


def test_a_log_in_two_places_or_in_a_place_that_cannot_be_is_named_with_its_reason() -> None:
    """Also what would be an option of journalctl, or a path out of Docker's directory."""
    wrong = {
        LogSettings("/var/log/a", journal="vllm.service"): ("journal", "one place"),
        LogSettings(journal="vllm"): ("journal", "vllm.service"),
        LogSettings(journal="--file=x.service"): ("journal", "no unit"),
        LogSettings(docker="../../etc"): ("docker", "neither"),
    }
    for log, (field, word) in wrong.items():
        [(named, message)] = log.problems()
        assert field == named
        assert word in message
