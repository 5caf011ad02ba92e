"""`vigil test-notify` through the real path of each channel."""

from __future__ import annotations

import json

import pytest

from standins.channels import PAGERDUTY, PAGERDUTY_HOST, SLACK, SLACK_HOST, Channels
from vllm_vigil.cli import main


@pytest.fixture
def channels(monkeypatch: pytest.MonkeyPatch) -> Channels:
    """Slack and PagerDuty, reached through the environment as a proxy is."""
    playing = Channels()
    for name, value in playing.environment.items():
        monkeypatch.setenv(name, value)
    return playing


def test_every_channel_gets_a_marked_test_and_its_outcome_is_told(
    channels: Channels, capsys: pytest.CaptureFixture[str]
) -> None:
    """It says that nothing is wrong, and 0 if all took it."""
    with channels:
        assert main(["test-notify", "--notify", SLACK, "--notify", PAGERDUTY]) == 0
        (post,) = channels.received(SLACK_HOST)
        (page,) = channels.received(PAGERDUTY_HOST)
    assert "This is a test of vllm-vigil" in post.body.decode()
    assert page.document["payload"]["severity"] == "info"
    out = capsys.readouterr().out
    assert "slack: delivered in " in out
    assert "pagerduty: delivered in " in out


def test_a_channel_that_refuses_is_found(channels: Channels, capsys: pytest.CaptureFixture[str]) -> None:
    """1, and why; only the wanted channel is tried."""
    with channels:
        channels.answer(SLACK_HOST, 404)
        assert main(["test-notify", "--notify", SLACK, "--notify", PAGERDUTY, "--channel", "slack"]) == 1
        assert channels.received(PAGERDUTY_HOST) == []
    assert "slack: REFUSED for good after " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ([], "no channel is configured: set notify.channels, or give --notify URL"),
        (["--notify", SLACK, "--channel", "slak"], "no channel slak; known: slack"),
    ],
)
def test_a_channel_that_is_none_is_named(arguments: list[str], error: str, capsys: pytest.CaptureFixture[str]) -> None:
    """2, with those that there are."""
    assert main(["test-notify", *arguments]) == 2
    assert error in capsys.readouterr().err


def test_it_can_be_told_without_being_sent(channels: Channels, capsys: pytest.CaptureFixture[str]) -> None:
    """`--explain` prints every field that would leave the host, and sends nothing."""
    with channels:
        assert main(["test-notify", "--explain", "--notify", SLACK, "--notify", PAGERDUTY]) == 0
        assert channels.received() == []
        out = capsys.readouterr().out
        assert "slack: would send" in out
        assert "  body: KV cache 99 %, 12 running, 41 waiting, vLLM 0.32.0" in out
        assert "  action: trigger" in out
        assert not any(part in out for part in SLACK.split("/")[2:])
        assert main(["test-notify", "--explain", "--json", "--notify", PAGERDUTY]) == 0
        assert json.loads(capsys.readouterr().out)["detail kv_cache"] == "99 %"


def test_the_outcome_is_told_as_json_too(channels: Channels, capsys: pytest.CaptureFixture[str]) -> None:
    """One object for each channel, with its latency."""
    with channels:
        assert main(["test-notify", "--json", "--notify", SLACK]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["channel"], facts["outcome"]) == ("slack", "delivered")
    assert 0 < facts["seconds"] < 20
