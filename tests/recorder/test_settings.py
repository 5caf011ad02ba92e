"""Bounds that make no sense are refused."""

from __future__ import annotations

import pytest

from vllm_vigil.recorder.settings import RecorderSettings
from vllm_vigil.units import Bytes


@pytest.mark.parametrize(
    ("settings", "wrong"),
    [
        (RecorderSettings(), []),
        (RecorderSettings(bundles=0), ["bundles"]),
        (RecorderSettings(bundles=1001), ["bundles"]),
        (RecorderSettings(size=Bytes(1000)), ["size"]),
    ],
)
def test_what_is_wrong(settings: RecorderSettings, wrong: list[str]) -> None:
    """By the key that must be changed."""
    assert wrong == [key for key, _ in settings.problems()]
