"""Rows of the user's own, from the YAML to the incident, as `vigil check` and `vigil replay` see them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vllm_vigil.cli import main

GOOD = """
rules:
  proxy_slow: {title: "The proxy gives up", severity: critical, count: 2, window: 1m}
patterns:
  proxy_timeout:
    rule: proxy_slow
    level: WARNING
    regex: 'upstream timed out after (?P<timeout>\\d+)s for (?P<request_id>\\S+)'
    labels: {cause: proxy}
    examples: ['ERROR 11-21 03:05:31 [proxy.py:1] upstream timed out after 30s for cmpl-1']
    near_misses:
      - 'ERROR 11-21 03:05:31 [proxy.py:1] upstream answered after 30s'
      - 'INFO:     upstream timed out after 3s for a'
"""


def test_a_pattern_is_checked_shown_and_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With good examples `vigil check` says it is in force; a log with two of its lines opens the user's own rule."""
    config = tmp_path / "vigil.yaml"
    config.write_text(GOOD)
    assert 0 == main(["check", "--config", str(config)])
    assert "proxy_timeout" in capsys.readouterr().out
    log = tmp_path / "proxy.log"
    line = "ERROR 11-21 03:05:3{} [proxy.py:1] upstream timed out after 30s for cmpl-{}\n"
    log.write_text(line.format(1, 1) + line.format(2, 2))
    assert 1 == main(["replay", "--json", "--config", str(config), str(log)])
    *events, incident = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert ["proxy_timeout", "proxy_timeout"] == [event["event"] for event in events]
    assert ("proxy_slow", "critical", "The proxy gives up (proxy)") == (
        incident["rule"],
        incident["severity"],
        incident["title"],
    )
    assert {"cause": "proxy", "request_id": "cmpl-2", "timeout": "30"} == incident["labels"]


@pytest.mark.parametrize(
    ("good", "bad", "said"),
    [
        (
            "upstream timed out after (?P",
            "upstream was lost after (?P",
            "examples[0]: is not matched by the expression",
        ),
        ("upstream answered after 30s", "upstream timed out after 30s for x", "near_misses[0]: is matched by"),
        (r"\d+)s for", r"\d+s for", "regex: is no regular expression"),
        ("level: WARNING", "level: LOUD", "level: 'LOUD' is no level"),
        ("rule: proxy_slow", "rule: proxy_sloe", "there is no rule 'proxy_sloe'"),
        ("examples: ", "exmaples: ", "exmaples"),
    ],
)
def test_a_pattern_that_cannot_work_is_named_with_its_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], good: str, bad: str, said: str
) -> None:
    """File, line, full path of the key and what is wrong."""
    config = tmp_path / "vigil.yaml"
    assert good in GOOD
    config.write_text(GOOD.replace(good, bad, 1))
    assert 2 == main(["check", "--config", str(config)])
    error = capsys.readouterr().err
    assert "patterns.proxy_timeout" in error
    assert "vigil.yaml:" in error
    assert said in error
