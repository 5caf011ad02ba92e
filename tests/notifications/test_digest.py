"""Many incidents in one message."""

from __future__ import annotations

import asyncio

from standins.notices import OPENED, Incidents
from vllm_vigil.clock import CrankedClock
from vllm_vigil.model import Notification, Reason, Severity
from vllm_vigil.notifications import digest
from vllm_vigil.notifications.message import Kind, Style, compose
from vllm_vigil.state.rows import Tally
from vllm_vigil.state.store import Store

STORM = (
    Tally("cuda_oom", "llama", Severity.CRITICAL, 2, OPENED + 50, OPENED + 60),
    Tally("http_5xx", "llama", Severity.WARNING, 4711, OPENED, OPENED + 59),
)


def test_a_digest_says_what_and_how_many_the_worst_first() -> None:
    """As severe as the worst of them, over the time in which they came."""
    row = Notification("slack", Reason.DIGEST, digest.summary("slack", STORM), facts=digest.lines(STORM))
    made = compose(row, OPENED + 120, Style())
    assert made.title == "CRITICAL, digest: 4713 incidents on llama, since 2026-05-28 20:26:40 UTC"
    assert made.body.split("\n") == [
        "From 2026-05-28 20:26:40 UTC, for 1m; each is in vigil incidents",
        "2 x critical cuda_oom llama",
        "4711 x warning http_5xx llama",
        "Key vigil-digest:slack, attempt 1",
    ]
    assert made.kind is Kind.FAILURE


def test_a_digest_of_hundreds_of_rules_is_short() -> None:
    """Twelve lines and the rest in a number."""
    many = [Tally(f"rule{number}", "", Severity.INFO, 1, 0.0, 0.0) for number in range(200)]
    assert len(digest.lines(many)) == 13
    assert digest.lines(many)[-1] == ("others", "188")
    assert digest.summary("slack", many).severity is Severity.INFO


def test_a_digest_comes_every_ten_minutes_and_never_a_second_while_one_waits(
    store: Store, clock: CrankedClock, incident: Incidents
) -> None:
    """What comes meanwhile is in the next."""
    warning = incident(severity=Severity.WARNING)

    def count(seconds: float) -> int:
        asyncio.run(clock.crank(seconds))
        digest.write(store, "slack", clock.wall())
        return len(store.rows.waiting())

    store.rows.tally("slack", warning, clock.wall())
    assert [0, 1] == [count(599), count(1)]
    store.rows.tally("slack", warning, clock.wall())
    assert [1, 1] == [count(600), count(600)]
    store.rows.drop([1], clock.wall())
    assert [1] == [count(0)]
    assert store.rows.tallies("slack") == []


def test_a_critical_one_hastens_it(store: Store, clock: CrankedClock, incident: Incidents) -> None:
    """To a minute after it came."""
    store.rows.tally("slack", incident(), clock.wall())
    asyncio.run(clock.crank(60))
    digest.write(store, "slack", clock.wall())
    assert [Reason.DIGEST] == [row.reason for row, _ in store.rows.waiting()]


def test_few_old_messages_are_sent_as_they_are(store: Store, clock: CrankedClock, incident: Incidents) -> None:
    """Three are no storm; of four none is."""
    for number in range(3):
        store.rows.queue(
            Notification("c", Reason.FIRST, incident(key=str(number), severity=Severity.INFO)), clock.wall()
        )
    asyncio.run(clock.crank(3700))
    digest.fold(store, "c", clock.wall())
    assert len(store.rows.waiting()) == 3
    store.rows.queue(Notification("c", Reason.FIRST, incident(key="3", severity=Severity.INFO)), clock.wall() - 3700)
    digest.fold(store, "c", clock.wall())
    assert [4] == [each.count for each in store.rows.tallies("c")]
