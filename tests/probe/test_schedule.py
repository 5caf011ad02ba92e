"""A server is asked when its signs disagree or its time has come, and never more often than is set."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from vllm_vigil.probe.schedule import Occasion, Schedule
from vllm_vigil.probe.settings import ProbeSettings
from vllm_vigil.probe.suite import Suite
from vllm_vigil.units import Seconds

ON = ProbeSettings(enabled=True)
CANARY = ProbeSettings(enabled=True, every=Seconds(300.0))


def test_a_doubt_asks_at_once_and_again_while_it_lasts() -> None:
    """Once a minute."""
    schedule = Schedule(ON)
    asked = [now for now in range(130) if schedule.due(now, doubted=now >= 5, serving=False)]
    assert [5, 65, 125] == asked


def test_without_a_doubt_and_without_a_schedule_nothing_is_asked() -> None:
    """The default of one that is on."""
    schedule = Schedule(ON)
    assert [] == [now for now in range(4000) if schedule.due(now, doubted=False, serving=True)]


def test_one_that_failed_is_asked_again_when_its_server_serves_until_it_succeeds() -> None:
    """Once a minute, or the failure would be said for ever. On a schedule the next one is soon enough."""
    for settings, wanted in ((ON, [10, 70]), (CANARY, [10, 310])):
        schedule = Schedule(settings)
        assert wanted == [
            now for now in range(500) if schedule.due(now, doubted=False, serving=now >= 10, failed=now < 130)
        ]


def test_a_canary_goes_out_when_it_first_serves_and_on_its_interval() -> None:
    """While it does not serve there is nothing to learn: it waits, and goes out when it serves again."""
    schedule = Schedule(CANARY)
    asked = [
        (now, found)
        for now in range(1500)
        if (found := schedule.due(now, doubted=False, serving=10 <= now < 600 or now >= 1000))
    ]
    assert [(at, Occasion.CANARY) for at in (10, 310, 1000, 1300)] == asked


@given(st.lists(st.tuples(st.floats(0, 200), st.booleans(), st.booleans()), max_size=60))
def test_two_probes_are_never_closer_than_is_set(ticks: list[tuple[float, bool, bool]]) -> None:
    """Whatever the signs do, and however late the ticks are."""
    schedule, now, begun = Schedule(CANARY), 0.0, []
    for passed, doubted, serving in ticks:
        now += passed
        if schedule.due(now, doubted=doubted, serving=serving):
            begun.append(now)
    assert all(later - earlier >= CANARY.at_most_every for earlier, later in pairwise(begun))


def test_settings_that_ask_too_often_or_never_are_found_at_start() -> None:
    """With the field that is wrong."""
    wrong = ProbeSettings(timeout=Seconds(0.0), at_most_every=Seconds(1.0), every=Seconds(0.5), suite=None)
    assert ["timeout", "at_most_every", "every"] == [name for name, _ in wrong.problems()]
    assert ["suite"] == [name for name, _ in ProbeSettings(suite=Suite()).problems()]
    assert [] == list(CANARY.problems())
