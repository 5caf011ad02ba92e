"""The thresholds that a user may set."""

from __future__ import annotations

import pytest

from vllm_vigil.units import Seconds
from vllm_vigil.verdict.settings import VerdictSettings


@pytest.mark.parametrize(
    ("settings", "fields"),
    [
        (VerdictSettings(), []),
        (VerdictSettings(stalled_after=Seconds(0)), ["stalled_after"]),
        (VerdictSettings(unreachable_for=Seconds(-1)), ["unreachable_for"]),
        (VerdictSettings(stalled_for=Seconds(10)), ["stalled_for"]),
        (VerdictSettings(longest_step=Seconds(10)), ["longest_step"]),
    ],
)
def test_thresholds_that_contradict_are_refused(settings: VerdictSettings, fields: list[str]) -> None:
    """Each by its name."""
    assert [name for name, _ in settings.problems()] == fields
