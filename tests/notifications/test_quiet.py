"""When nobody is told."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from standins.notices import INCIDENT
from vllm_vigil.model import Silence
from vllm_vigil.notifications.quiet import silenced, within
from vllm_vigil.notifications.settings import WindowSettings

NIGHT = WindowSettings("22:30", "02:00", ("sat",))
SEOUL = WindowSettings("02:00", "04:00", zone="Asia/Seoul")
ALWAYS = WindowSettings()


@pytest.mark.parametrize(
    ("window", "moment", "expected"),
    [
        (NIGHT, "2026-11-21T22:29", False),  # a Saturday
        (NIGHT, "2026-11-21T22:30", True),
        (NIGHT, "2026-11-22T01:59", True),  # past midnight it is still Saturday's window
        (NIGHT, "2026-11-22T02:00", False),
        (NIGHT, "2026-11-21T01:00", False),  # that would be Friday's
        (NIGHT, "2026-11-22T23:00", False),
        (SEOUL, "2026-11-20T17:00", True),
        (SEOUL, "2026-11-20T02:30", False),
        (ALWAYS, "2026-11-20T00:00", True),
        (ALWAYS, "2026-11-20T23:59", True),
    ],
)
def test_a_window_holds_on_its_days_and_past_midnight(window: WindowSettings, moment: str, expected: bool) -> None:  # noqa: FBT001  # a column of the table
    """In its own time zone; the day is that on which it began."""
    at = datetime.fromisoformat(moment).replace(tzinfo=UTC).timestamp()
    assert expected == within(window, at)


@pytest.mark.parametrize(
    ("match", "expected"),
    [
        ({"server": "llama"}, True),
        ({"server": "llama", "severity": "critical", "rule": "cuda_oom", "gpu": "0"}, True),
        ({"server": "llama", "gpu": "1"}, False),
        ({"severity": "warning"}, False),
        ({"unheard_of": "x"}, False),
    ],
)
def test_every_pair_must_agree(match: dict[str, str], expected: bool) -> None:  # noqa: FBT001  # a column of the table
    """Severity, rule, server, or a label."""
    silence = Silence(1, tuple(match.items()), 0.0, 10.0, "kim")
    assert expected == silenced(INCIDENT, [silence], [], 5.0)


@pytest.mark.parametrize(("now", "expected"), [(4.9, False), (5.0, True), (9.9, True), (10.0, False)])
def test_a_silence_holds_from_its_beginning_to_its_end(now: float, expected: bool) -> None:  # noqa: FBT001  # a column of the table
    """And not at the moment of its end."""
    assert expected == silenced(INCIDENT, [Silence(1, (), 5.0, 10.0, "kim")], [], now)
