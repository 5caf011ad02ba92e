"""A channel is tested on schedule, through its row and its sender, and a restart neither repeats nor skips a test."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from pathlib import Path

import pytest

from standins.channels import SLACK, SLACK_HOST, Channels
from vllm_vigil.clock import CrankedClock, settle
from vllm_vigil.model import Notification, Outcome, Reason
from vllm_vigil.notifications.channel import Channel
from vllm_vigil.notifications.message import Style, compose
from vllm_vigil.notifications.proof import Proof, trial
from vllm_vigil.notifications.sender import Sender
from vllm_vigil.notifications.settings import ChannelSettings, NotifySettings, ProofSettings
from vllm_vigil.state.store import Store
from vllm_vigil.telemetry import Telemetry
from vllm_vigil.units import Seconds, Secret

DAY = 86_400.0


def settings(every: float | None = DAY, *channels: str) -> NotifySettings:
    """Two channels, proven so."""
    known = {name: ChannelSettings(Secret(SLACK)) for name in ("slack", "mail")}
    return NotifySettings(known, proof=ProofSettings(None if every is None else Seconds(every), channels))


@pytest.fixture
def woken() -> list[str]:
    """The channels that were woken."""
    return []


def proof(store: Store, clock: CrankedClock, telemetry: Telemetry, woken: list[str], given: NotifySettings) -> Proof:
    return Proof(store, given, clock, telemetry, woken.append)


def waiting(store: Store) -> list[tuple[str, Reason]]:
    """What waits, for whom."""
    return [(row.channel, row.reason) for row, _ in store.rows.waiting()]


def deliver(store: Store, clock: CrankedClock) -> None:
    """End every row, as a sender does."""
    with store.transaction():
        for row, _ in store.rows.waiting():
            store.rows.end(row.id, clock.wall(), Outcome.DELIVERED, "")


async def lived(made: Proof, clock: CrankedClock, *spans: float, store: Store) -> list[int]:
    """How many tests were queued at the start and after each span, all of them delivered."""
    task = asyncio.ensure_future(made.run())
    await settle()
    counts = [len(waiting(store))]
    for span in spans:
        deliver(store, clock)
        await clock.crank(span)
        counts.append(len(waiting(store)))
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return counts


def test_every_channel_is_tested_at_the_first_start_and_then_on_schedule(
    store: Store, clock: CrankedClock, telemetry: Telemetry, woken: list[str]
) -> None:
    """A marked row each, its sender woken, and no more until the day is over."""
    made = proof(store, clock, telemetry, woken, settings())
    assert [2, 0, 2] == asyncio.run(lived(made, clock, DAY - 60, 60, store=store))
    assert ["slack", "mail", "slack", "mail"] == woken
    assert [("slack", Reason.TEST), ("mail", Reason.TEST)] == waiting(store)


def test_only_the_named_channels_are_tested(
    store: Store, clock: CrankedClock, telemetry: Telemetry, woken: list[str]
) -> None:
    """`channels` says which, and the interval is exported for these."""
    asyncio.run(lived(proof(store, clock, telemetry, woken, settings(DAY, "mail")), clock, store=store))
    assert ["mail"] == woken
    value = telemetry.registry.get_sample_value
    assert value("vigil_channel_proof_interval_seconds", {"channel": "mail"}) == DAY
    assert value("vigil_channel_proof_interval_seconds", {"channel": "slack"}) is None


def test_it_is_off_unless_asked_for(store: Store, clock: CrankedClock, telemetry: Telemetry, woken: list[str]) -> None:
    """Nothing is queued, and no interval is exported that an alert could go by."""
    assert [0, 0] == asyncio.run(lived(proof(store, clock, telemetry, woken, settings(None)), clock, DAY, store=store))
    assert telemetry.registry.get_sample_value("vigil_channel_proof_interval_seconds", {"channel": "slack"}) is None


def test_a_restart_neither_repeats_nor_skips_a_test(
    clock: CrankedClock, telemetry: Telemetry, woken: list[str], tmp_path: Path
) -> None:
    """When the last was queued stands in the state file, beside the row that a killed process left."""
    first = Store.open(tmp_path)
    proof(first, clock, telemetry, woken, settings(DAY, "slack")).test()
    first.close()
    asyncio.run(clock.crank(DAY / 2))
    again = Store.open(tmp_path)
    made = proof(again, clock, telemetry, woken, settings(DAY, "slack"))
    assert [("slack", Reason.TEST)] == waiting(again)
    deliver(again, clock)
    made.test()
    assert [] == waiting(again)
    asyncio.run(clock.crank(DAY / 2))
    made.test()
    assert [("slack", Reason.TEST)] == waiting(again)
    again.close()


def test_one_test_waits_for_a_channel_that_is_down(
    store: Store, clock: CrankedClock, telemetry: Telemetry, woken: list[str]
) -> None:
    """And it is not made a digest of: after a week away the channel gets one test."""
    made = proof(store, clock, telemetry, woken, settings(DAY, "slack"))
    for _ in range(7):
        made.test()
        asyncio.run(clock.crank(DAY))
    assert [("slack", Reason.TEST)] == waiting(store)
    assert [] == store.rows.stale("slack", clock.wall())


def test_a_clock_that_was_set_back_does_not_end_the_tests(
    store: Store, clock: CrankedClock, telemetry: Telemetry, woken: list[str]
) -> None:
    """A last test in the future is none."""
    proof(store, clock, telemetry, woken, settings(DAY, "slack")).test()
    deliver(store, clock)
    proof(store, CrankedClock(clock.wall() - 3 * DAY), telemetry, woken, settings(DAY, "slack")).test()
    assert [("slack", Reason.TEST)] == waiting(store)


def test_a_test_arrives_marked_and_its_time_is_kept(
    store: Store, clock: CrankedClock, telemetry: Telemetry, channels: Channels, woken: list[str]
) -> None:
    """Through the real sender and channel; the last success is exported, and can be read after a restart."""
    assert store.rows.last_delivered("slack") is None
    sender = Sender(Channel("slack", Secret(SLACK)), store, clock, telemetry, partial(compose, style=Style()))

    async def scene() -> None:
        task = asyncio.ensure_future(sender.run())
        proof(store, clock, telemetry, woken, settings(DAY, "slack")).test()
        sender.wake()
        deadline = time.monotonic() + 60
        while waiting(store):
            assert time.monotonic() < deadline, "it was not delivered"
            await asyncio.sleep(0.005)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(scene())
    (post,) = channels.received(SLACK_HOST)
    assert "TEST" in post.body.decode()
    assert "This is a test of vllm-vigil; nothing is wrong" in post.body.decode()
    value = telemetry.registry.get_sample_value("vigil_channel_last_success_timestamp_seconds", {"channel": "slack"})
    assert clock.wall() == value == store.rows.last_delivered("slack")


@pytest.mark.parametrize(
    ("given", "place"),
    [
        (settings(DAY, "slak"), "proof.channels"),
        (NotifySettings(proof=ProofSettings(Seconds(DAY))), "proof.every"),
    ],
)
def test_a_proof_of_nothing_is_found_at_start(given: NotifySettings, place: str) -> None:
    """A channel that does not exist, and none at all."""
    assert [place] == [where for where, _ in given.problems()]


def test_tests_cannot_become_noise() -> None:
    """Less than an hour is refused; a day, and off, are not."""
    found = [[where for where, _ in ProofSettings(every).problems()] for every in (Seconds(60.0), Seconds(DAY), None)]
    assert [["every"], [], []] == found


def test_a_test_is_no_page(store: Store, clock: CrankedClock) -> None:
    """It does not count against the channel's budget."""
    with store.transaction():
        store.rows.queue(Notification("slack", Reason.TEST, trial("k", clock.wall())), clock.wall())
    assert store.rows.news_since("slack", 0.0) == 0
