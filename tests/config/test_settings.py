"""The composed settings refuse what no part can see alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from vllm_vigil.config.settings import AlertmanagerSettings
from vllm_vigil.units import Seconds, Secret


@pytest.mark.parametrize("token", ["", "short", "c4n4ry c4n4ry \u00e9\u00e9\u00e9", "c4n4ry\nc4n4ry-c4n4ry"])
def test_a_token_that_could_be_guessed_or_not_be_sent_is_refused(token: str) -> None:
    """With how to make one, and without showing it."""
    ((field, text),) = AlertmanagerSettings(webhook_token=Secret(token)).problems()
    assert "webhook_token" == field
    assert "openssl rand" in text
    assert "c4n4ry" not in text


def test_alertmanager_s_problems_are_those_of_both_ways() -> None:
    """Pushing and being told."""
    settings = AlertmanagerSettings(urls=("am",), ca_file=Path("/none.pem"), expire_after=Seconds(0.0))
    assert ["urls[0]", "ca_file", "expire_after"] == [field for field, _ in settings.problems()]
    assert [] == list(AlertmanagerSettings(webhook_token=Secret("0123456789abcdef")).problems())
