"""What each change makes each channel hear, read back from a real state file."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from standins.notices import Incidents
from vllm_vigil.clock import CrankedClock
from vllm_vigil.model import Change, Incident, Outcome, Reason, Severity, Transition
from vllm_vigil.notifications.outbox import Outbox
from vllm_vigil.notifications.settings import ChannelSettings, NotifySettings, RouteSettings
from vllm_vigil.state.store import Store
from vllm_vigil.units import Secret

CHANNELS = {name: ChannelSettings(Secret("json://127.0.0.1")) for name in ("pager", "slack")}
ROUTES = (
    RouteSettings(("pager", "slack"), {"severity": "critical"}),
    RouteSettings(("slack",), {"severity": "warning"}),
)


class Desk:
    """An outbox on a store, and the channels that it woke."""

    def __init__(self, store: Store, clock: CrankedClock, routes: tuple[RouteSettings, ...] = ROUTES) -> None:
        self.store = store
        self.clock = clock
        self.woken: list[str] = []
        self.outbox = Outbox(store, NotifySettings(CHANNELS, routes), clock, self.woken.append)

    def change(self, incident: Incident, transition: Transition) -> None:
        """As the app does it."""
        with self.store.transaction():
            self.store.save_incident(incident)
            self.outbox.queue(Change(incident, transition))

    def rows(self) -> list[tuple[str, Reason]]:
        """What waits, oldest first."""
        return [(row.channel, row.reason) for row, _ in self.store.waiting()]

    def deliver(self, outcome: Outcome = Outcome.DELIVERED, channel: str | None = None) -> None:
        """As if all that waits had ended so."""
        for row, _ in self.store.waiting(channel):
            self.store.end(row.id, self.clock.wall(), outcome, "")


@pytest.fixture
def desk(store: Store, clock: CrankedClock) -> Desk:
    return Desk(store, clock)


def test_an_opened_incident_is_told_to_its_routes(desk: Desk, incident: Incidents) -> None:
    """One row for each channel, and its sender is woken."""
    desk.change(incident(), Transition.OPENED)
    assert [("pager", Reason.FIRST), ("slack", Reason.FIRST)] == desk.rows()
    assert ["pager", "slack"] == desk.woken


def test_more_of_the_same_is_told_to_nobody(desk: Desk, incident: Incidents) -> None:
    """It is stored, that is all."""
    desk.change(incident(count=4), Transition.UPDATED)
    assert not desk.rows()


def test_a_cause_that_takes_over_is_told_to_who_was_told(desk: Desk, incident: Incidents) -> None:
    """Once more, under the same key, also while the first page still waits."""
    desk.change(incident(rule="worker_died"), Transition.OPENED)
    desk.deliver(channel="slack")
    desk.change(incident(), Transition.TAKEN_OVER)
    assert [("pager", Reason.FIRST), ("pager", Reason.MORE), ("slack", Reason.MORE)] == sorted(desk.rows())


def test_a_warning_that_becomes_critical_pages(desk: Desk, incident: Incidents) -> None:
    """Who was not concerned before hears of it as of a new one."""
    desk.change(incident(rule="http_5xx", severity=Severity.WARNING), Transition.OPENED)
    desk.deliver()
    desk.change(incident(), Transition.TAKEN_OVER)
    assert [("slack", Reason.MORE), ("pager", Reason.FIRST)] == desk.rows()


def test_the_end_is_told_to_who_was_told(desk: Desk, incident: Incidents) -> None:
    """After what still waits, and never to a channel that refused the page or was not concerned."""
    desk.change(incident(), Transition.OPENED)
    desk.deliver(Outcome.PERMANENT, channel="pager")
    desk.change(incident(severity=Severity.INFO), Transition.RESOLVED)
    assert [("slack", Reason.FIRST), ("slack", Reason.RESOLVED)] == desk.rows()


def test_the_end_is_told_once(desk: Desk, incident: Incidents) -> None:
    """A second end is no news; an incident that opens again is."""
    desk.change(incident(), Transition.OPENED)
    desk.deliver()
    desk.change(incident(), Transition.RESOLVED)
    desk.deliver()
    desk.change(incident(), Transition.RESOLVED)
    assert not desk.rows()
    desk.change(incident(), Transition.OPENED)
    desk.change(incident(), Transition.RESOLVED)
    assert [Reason.FIRST, Reason.FIRST, Reason.RESOLVED, Reason.RESOLVED] == [reason for _, reason in desk.rows()]


def test_rows_and_incident_are_written_together_or_not_at_all(desk: Desk, incident: Incidents) -> None:
    """What fails after the rows were written takes them back."""
    with pytest.raises(ZeroDivisionError), desk.store.transaction():
        desk.outbox.queue(Change(incident(), Transition.OPENED))
        _ = 1 / 0
    assert not desk.rows()


def test_a_restart_changes_nothing(clock: CrankedClock, incident: Incidents, tmp_path: Path) -> None:
    """Who was told is known from the file."""
    desk = Desk(Store.open(tmp_path), clock)
    desk.change(incident(), Transition.OPENED)
    desk.deliver()
    desk.store.close()
    again = Desk(Store.open(tmp_path), clock)
    again.change(incident(), Transition.RESOLVED)
    assert [("pager", Reason.RESOLVED), ("slack", Reason.RESOLVED)] == again.rows()
    again.store.close()


def test_an_open_incident_is_repeated_when_its_time_has_come(desk: Desk, incident: Incidents) -> None:
    """Half an hour after the last word on a critical one; not while a word waits; not what nobody was told."""
    opened = incident()
    desk.change(opened, Transition.OPENED)
    desk.deliver(channel="slack")
    asyncio.run(desk.clock.crank(1799))
    desk.outbox.repeat([opened])
    assert [("pager", Reason.FIRST)] == desk.rows()
    asyncio.run(desk.clock.crank(1))
    desk.woken.clear()
    desk.outbox.repeat([opened, incident(key="untold")])
    desk.outbox.repeat([opened])
    assert [("pager", Reason.FIRST), ("slack", Reason.REPEAT)] == desk.rows()
    assert ["slack"] == desk.woken


def test_a_repeat_counts_from_the_delivery(desk: Desk, incident: Incidents) -> None:
    """A page that arrived an hour late is not followed by its reminder at once."""
    opened = incident(severity=Severity.WARNING)
    desk.change(opened, Transition.OPENED)
    asyncio.run(desk.clock.crank(7000))
    desk.deliver()
    asyncio.run(desk.clock.crank(7100))
    desk.outbox.repeat([opened])
    assert not desk.rows()
    asyncio.run(desk.clock.crank(100))
    desk.outbox.repeat([opened])
    assert [("slack", Reason.REPEAT)] == desk.rows()
