"""What each change makes each channel hear, read back from a real state file."""

from __future__ import annotations

import asyncio
import tracemalloc
from dataclasses import replace
from pathlib import Path

import pytest

from standins.notices import Incidents
from vllm_vigil.clock import CrankedClock
from vllm_vigil.model import (
    Change,
    Delivery,
    Incident,
    Notification,
    Omission,
    Outcome,
    Reason,
    Severity,
    Silence,
    Transition,
)
from vllm_vigil.notifications.outbox import Outbox
from vllm_vigil.notifications.settings import ChannelSettings, NotifySettings, RouteSettings, WindowSettings
from vllm_vigil.state.store import Store
from vllm_vigil.units import Secret

CHANNELS = {name: ChannelSettings(Secret("json://127.0.0.1")) for name in ("pager", "slack")}
ROUTES = (
    RouteSettings(("pager", "slack"), {"severity": "critical"}),
    RouteSettings(("slack",), {"severity": "warning"}),
)


class Desk:
    """An outbox on a store, and the channels that it woke."""

    def __init__(self, store: Store, clock: CrankedClock, settings: NotifySettings | None = None) -> None:
        self.store = store
        self.clock = clock
        self.woken: list[str] = []
        self.outbox = Outbox(store, settings or NotifySettings(CHANNELS, ROUTES), clock, self.woken.append)

    def crank(self, seconds: float, *open_incidents: Incident) -> None:
        """Time passes, and the app asks what that has made due."""
        asyncio.run(self.clock.crank(seconds))
        self.outbox.repeat(open_incidents)

    def notes(self) -> list[str]:
        """What is said beside the incident in what waits."""
        return [row.note for row, _ in self.store.rows.waiting() if row.note]

    def change(self, incident: Incident, transition: Transition) -> None:
        """As the app does it."""
        with self.store.transaction():
            self.store.save_incident(incident)
            self.outbox.queue(Change(incident, transition))

    def rows(self) -> list[tuple[str, Reason]]:
        """What waits, oldest first."""
        return [(row.channel, row.reason) for row, _ in self.store.rows.waiting()]

    def deliver(self, outcome: Outcome = Outcome.DELIVERED, channel: str | None = None) -> None:
        """As if all that waits had ended so."""
        for row, _ in self.store.rows.waiting(channel):
            self.store.rows.end(row.id, self.clock.wall(), outcome, "")


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
    """In place of what still waits, and never to a channel that refused the page or was not concerned."""
    desk.change(incident(), Transition.OPENED)
    desk.deliver(Outcome.PERMANENT, channel="pager")
    desk.change(incident(severity=Severity.INFO), Transition.RESOLVED)
    assert [("slack", Reason.RESOLVED)] == desk.rows()


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
    assert [("pager", Reason.RESOLVED), ("slack", Reason.RESOLVED)] == desk.rows()


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


def test_a_silenced_incident_is_noted_and_told_when_the_silence_is_over(desk: Desk, incident: Incidents) -> None:
    """Nobody hears of it, not even again and again; once the silence has ended it is told as a new one."""
    now = desk.clock.wall()
    desk.store.silence(Silence(0, (("server", "llama"),), now, now + 3600, "kim", "driver update"))
    opened = incident()
    desk.change(opened, Transition.OPENED)
    desk.crank(3599, opened)
    assert not desk.rows()
    assert [Omission.SILENCED] * 2 == [word.outcome for word in desk.store.rows.words(opened.key)]
    desk.crank(1, opened)
    assert [("pager", Reason.FIRST), ("slack", Reason.FIRST)] == desk.rows()


def test_a_silenced_incident_ends_in_silence(desk: Desk, incident: Incidents) -> None:
    """Who never heard of it need not hear of its end; who did does, also during a silence."""
    now, told = desk.clock.wall(), incident(key="told")
    desk.change(told, Transition.OPENED)
    desk.deliver()
    desk.store.silence(Silence(0, (("rule", "cuda_oom"),), now, now + 60, "kim"))
    untold = incident(key="untold")
    desk.change(untold, Transition.OPENED)
    desk.change(untold, Transition.RESOLVED)
    assert not desk.rows()
    desk.change(told, Transition.RESOLVED)
    assert [("pager", Reason.RESOLVED), ("slack", Reason.RESOLVED)] == desk.rows()


def test_a_silence_that_does_not_match_silences_nothing(desk: Desk, incident: Incidents) -> None:
    """Every pair of the matcher must agree; a label counts as one."""
    now = desk.clock.wall()
    desk.store.silence(Silence(0, (("gpu", "1"), ("server", "llama")), now, now + 60, "kim"))
    desk.change(incident(), Transition.OPENED)
    assert len(desk.rows()) == 2


def test_a_maintenance_window_silences(store: Store, clock: CrankedClock, incident: Incidents) -> None:
    """The crankable clock stands at 20:26 UTC on a Thursday."""
    window = WindowSettings("20:00", "21:00", ("thu",), match={"server": "llama"})
    desk = Desk(store, clock, NotifySettings(CHANNELS, ROUTES, maintenance=(window,)))
    desk.change(incident(), Transition.OPENED)
    desk.change(incident(key="elsewhere", server="other"), Transition.OPENED)
    assert [("pager", Reason.FIRST), ("slack", Reason.FIRST)] == desk.rows()
    assert {"elsewhere"} == {row.incident.key for row, _ in store.rows.waiting()}


def test_what_is_beyond_the_budget_is_counted(store: Store, clock: CrankedClock, incident: Incidents) -> None:
    """Row by row up to the budget of the hour, then by rule and server; critical pages do not wait for it."""
    channels = {"slack": ChannelSettings(Secret("json://127.0.0.1"), budget=3)}
    desk = Desk(store, clock, NotifySettings(channels))
    for number in range(4):
        desk.change(incident(key=f"c{number}", server=f"s{number}"), Transition.OPENED)
    for number in range(10):
        desk.change(incident(key=f"w{number}", severity=Severity.WARNING, rule="http_5xx"), Transition.OPENED)
    desk.change(incident(key="c"), Transition.OPENED)
    assert ["c0", "c1", "c2", "c3", "w0", "w1", "w2", "c"] == [row.incident.key for row, _ in store.rows.waiting()]
    assert [("http_5xx", 7)] == [(each.rule, each.count) for each in store.rows.tallies("slack")]
    desk.crank(3601)
    desk.change(incident(key="w11", severity=Severity.WARNING, rule="http_5xx"), Transition.OPENED)
    assert ("slack", Reason.FIRST) == desk.rows()[-1]


def test_critical_pages_of_one_server_collapse_after_five(desk: Desk, incident: Incidents) -> None:
    """The sixth within the hour is counted; another server's first is not."""
    for number in range(8):
        desk.change(incident(key=f"c{number}"), Transition.OPENED)
    desk.change(incident(key="other", server="other"), Transition.OPENED)
    assert [f"c{number}" for number in range(5)] + ["other"] == [
        row.incident.key for row, _ in desk.store.rows.waiting("pager")
    ]
    assert [("llama", 3)] == [(each.server, each.count) for each in desk.store.rows.tallies("pager")]


def test_an_end_is_told_however_much_there_is(store: Store, clock: CrankedClock, incident: Incidents) -> None:
    """Who was told of the beginning hears the end, beyond any budget."""
    desk = Desk(store, clock, NotifySettings({"slack": ChannelSettings(Secret("json://127.0.0.1"), budget=1)}))
    desk.change(incident(severity=Severity.WARNING), Transition.OPENED)
    desk.deliver()
    desk.change(incident(severity=Severity.WARNING), Transition.RESOLVED)
    assert [("slack", Reason.RESOLVED)] == desk.rows()


PAGER_ONLY = (RouteSettings(("pager",), {"severity": "critical"}),)


def test_a_critical_page_that_nobody_takes_goes_to_the_next(
    store: Store, clock: CrankedClock, incident: Incidents
) -> None:
    """After five minutes, once, and that channel then hears the end too."""
    desk = Desk(store, clock, NotifySettings(CHANNELS, PAGER_ONLY))
    opened = incident()
    desk.change(opened, Transition.OPENED)
    desk.crank(299, opened)
    assert [("pager", Reason.FIRST)] == desk.rows()
    desk.crank(1, opened)
    desk.crank(600, opened)
    assert [("pager", Reason.FIRST), ("slack", Reason.FAILOVER)] == desk.rows()
    assert ["not delivered to pager within 5m"] == desk.notes()
    desk.deliver(channel="slack")
    desk.change(opened, Transition.RESOLVED)
    assert [("pager", Reason.RESOLVED), ("slack", Reason.RESOLVED)] == desk.rows()


def test_a_page_that_was_taken_or_is_no_matter_of_life_stays_where_it_is(
    store: Store, clock: CrankedClock, incident: Incidents
) -> None:
    """No failover of a warning, of a page that one channel has, or where the route wants none."""
    opened = incident()
    for settings in (
        NotifySettings(CHANNELS, (RouteSettings(("pager",), fallback=()),)),
        NotifySettings(CHANNELS),
    ):
        desk = Desk(store, clock, settings)
        desk.change(opened, Transition.OPENED)
        desk.deliver(channel="slack")
        desk.crank(900, opened)
        assert Reason.FAILOVER not in {reason for _, reason in desk.rows()}
        desk.deliver()
    desk = Desk(store, clock, NotifySettings(CHANNELS, (RouteSettings(("pager",)),)))
    warning = incident(key="w", severity=Severity.WARNING)
    desk.change(warning, Transition.OPENED)
    desk.crank(900, warning)
    assert [("pager", Reason.FIRST)] == desk.rows()


def test_a_refused_page_is_reported_on_another_channel_once_an_hour(desk: Desk, incident: Incidents) -> None:
    """Never on the one that refused it; and a report that is refused makes no report."""
    lost = Notification("slack", Reason.FIRST, incident())
    refusal = Delivery(lost, Outcome.PERMANENT, "refused with HTTP 404")
    for _ in range(3):
        desk.outbox.report(refusal)
    assert [("pager", Reason.LOST)] == desk.rows()
    assert ["slack refused the first message: refused with HTTP 404"] == desk.notes()
    desk.outbox.report(Delivery(replace(lost, channel="pager", reason=Reason.LOST), Outcome.PERMANENT))
    assert len(desk.rows()) == 1
    asyncio.run(desk.clock.crank(3600))
    desk.outbox.report(refusal)
    assert len(desk.rows()) == 2


def test_a_channel_that_is_no_longer_configured_is_not_told(
    store: Store, clock: CrankedClock, incident: Incidents
) -> None:
    """The end of what it heard is nobody's there."""
    Desk(store, clock).change(incident(), Transition.OPENED)
    desk = Desk(store, clock, NotifySettings({"slack": CHANNELS["slack"]}))
    desk.change(incident(), Transition.RESOLVED)
    assert [("pager", Reason.FIRST), ("slack", Reason.RESOLVED)] == desk.rows()


@pytest.mark.no_cover
def test_ten_thousand_incidents_in_a_minute_leave_a_bounded_outbox(
    store: Store, clock: CrankedClock, incident: Incidents
) -> None:
    """Every one is recorded and counted; the rows that wait are the budget, and memory does not grow with the rest."""
    desk = Desk(store, clock, NotifySettings({"slack": ChannelSettings(Secret("json://127.0.0.1"), budget=30)}))

    def storm(numbers: range) -> None:
        for batch in range(numbers.start, numbers.stop, 100):
            storm_of(range(batch, batch + 100))

    def storm_of(numbers: range) -> None:
        with store.transaction():
            for number in numbers:
                severity = Severity.CRITICAL if number % 10 == 0 else Severity.WARNING
                one = incident(key=f"i{number}", severity=severity, rule=f"rule{number % 7}")
                store.save_incident(one)
                desk.outbox.queue(Change(one, Transition.OPENED))

    storm(range(1000))
    tracemalloc.start()
    storm(range(1000, 10_000))
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 500_000
    assert len(desk.rows()) <= 35
    assert 10_000 == len(desk.rows()) + sum(each.count for each in store.rows.tallies("slack"))
    assert len(store.rows.tallies("slack")) <= 14
