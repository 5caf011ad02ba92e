"""Rows become deliveries: at least once, in order, later when it fails, whatever the provider does."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path

import pytest

from standins.channels import PAGERDUTY, PAGERDUTY_HOST, SLACK, SLACK_HOST, Behaviour, Channels
from standins.notices import INCIDENT, OPENED, Incidents
from vllm_vigil.clock import CrankedClock, settle
from vllm_vigil.model import Delivery, Incident, Notification, Outcome, Reason, Severity
from vllm_vigil.notifications import breaker
from vllm_vigil.notifications import sender as sender_module
from vllm_vigil.notifications.channel import Attempt, Channel
from vllm_vigil.notifications.message import Message, Style, compose
from vllm_vigil.notifications.sender import Sender
from vllm_vigil.state.store import Store
from vllm_vigil.telemetry import Telemetry
from vllm_vigil.units import Secret

DELIVERED = Attempt(Outcome.DELIVERED)
LATER = Attempt(Outcome.RETRY, "answered HTTP 503")
NEVER = Attempt(Outcome.PERMANENT, "refused with HTTP 404")
CANARY = "c4n4ryXq7"


class Scripted:
    """A channel that does as it is told, attempt by attempt, the last for ever; notes when it was asked for what."""

    def __init__(self, clock: CrankedClock, *script: Attempt | Exception | threading.Event, name: str = "c") -> None:
        self.name = name
        self.script = list(script)
        self.calls: list[tuple[float, str, str]] = []
        self._clock = clock

    def send(self, message: Message, key: str) -> Attempt:
        """Do the next thing; an event is a provider that hangs until it is set."""
        self.calls.append((self._clock.monotonic(), key, message.title))
        step = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if isinstance(step, Exception):
            raise step
        if isinstance(step, threading.Event):
            step.wait(30)
            return DELIVERED
        return step

    def keys(self) -> list[str]:
        """Which incidents were sent, in order."""
        return [key for _, key, _ in self.calls]


class Room:
    """What a sender needs, and a way to run it until something is so."""

    def __init__(self, store: Store, clock: CrankedClock, telemetry: Telemetry) -> None:
        self.store = store
        self.clock = clock
        self.telemetry = telemetry

    def sender(self, channel: Scripted | Channel, deadline_seconds: float = 20.0, jitter: float = 1.0) -> Sender:
        """A sender; the top of its jitter unless said otherwise."""
        words = partial(compose, style=Style())
        return Sender(
            channel, self.store, self.clock, self.telemetry, words,
            deadline_seconds=deadline_seconds, jitter=lambda: jitter,
        )  # fmt: skip

    def queue(self, incident: Incident, reason: Reason = Reason.FIRST, channel: str = "c") -> None:
        """As the outbox does."""
        with self.store.transaction():
            self.store.rows.queue(Notification(channel, reason, incident), self.clock.wall())

    def waiting(self) -> int:
        """How many rows have not ended."""
        return len(self.store.rows.waiting())

    def count(self, name: str, **labels: str) -> float | None:
        """A number of /metrics."""
        return self.telemetry.registry.get_sample_value(name, labels)


@pytest.fixture
def room(store: Store, clock: CrankedClock, telemetry: Telemetry) -> Room:
    return Room(store, clock, telemetry)


@contextlib.asynccontextmanager
async def running(*senders: Sender) -> AsyncIterator[list[asyncio.Task[None]]]:
    tasks = [asyncio.ensure_future(sender.run()) for sender in senders]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        await asyncio.sleep(0.005)
    await settle()


async def crank_until(clock: CrankedClock, sender: Sender, step_seconds: float, condition: Callable[[], bool]) -> None:
    """Let time pass in steps, and none while the sender's real thread is at work."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        await settle()
        if sender._worker.busy:
            await asyncio.sleep(0.001)
        elif condition():
            return
        else:
            await clock.crank(step_seconds)
    pytest.fail("it did not come true in time")


def test_what_is_queued_is_delivered_when_woken(room: Room) -> None:
    """To Slack as a row each, oldest first, and counted."""
    channel = Scripted(room.clock, DELIVERED)

    async def scene() -> None:
        sender = room.sender(channel)
        async with running(sender):
            await settle()
            room.queue(INCIDENT)
            room.queue(INCIDENT, Reason.RESOLVED)
            sender.wake()
            await until(lambda: room.waiting() == 0)

    asyncio.run(scene())
    assert ["CRITICAL", "RESOLVED"] == [title.partition(":")[0] for _, _, title in channel.calls]
    assert room.count("vigil_deliveries_total", channel="c", outcome="delivered") == 2


def test_pagerduty_hears_one_key_across_a_restart(
    channels: Channels, clock: CrankedClock, telemetry: Telemetry, tmp_path: Path
) -> None:
    """Trigger by one process, resolve by the next: the same key, so that PagerDuty closes what it opened."""
    for reason in (Reason.FIRST, Reason.RESOLVED):
        store = Store.open(tmp_path)
        room = Room(store, clock, telemetry)
        room.queue(INCIDENT, reason)

        async def scene(room: Room = room) -> None:
            async with running(room.sender(Channel("c", Secret(PAGERDUTY)))):
                await until(lambda: room.waiting() == 0)

        asyncio.run(scene())
        store.close()
    events = [request.document for request in channels.received(PAGERDUTY_HOST)]
    assert [("trigger", INCIDENT.key), ("resolve", INCIDENT.key)] == [
        (event["event_action"], event["dedup_key"]) for event in events
    ]


def test_a_process_killed_before_it_sent_leaves_the_row(
    channels: Channels, clock: CrankedClock, telemetry: Telemetry, tmp_path: Path
) -> None:
    """Killed right after the commit: the next process finds the row and sends it, under its key."""
    program = f"""
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from standins.notices import INCIDENT
from vllm_vigil.model import Notification, Reason
from vllm_vigil.state.store import Store
store = Store.open(Path({str(tmp_path)!r}))
with store.transaction():
    store.rows.queue(Notification("c", Reason.FIRST, INCIDENT), {clock.wall()})
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -9
    store = Store.open(tmp_path)
    room = Room(store, clock, telemetry)

    async def scene() -> None:
        async with running(room.sender(Channel("c", Secret(PAGERDUTY)))):
            await until(lambda: room.waiting() == 0)

    asyncio.run(scene())
    store.close()
    assert [INCIDENT.key] == [request.document["dedup_key"] for request in channels.received(PAGERDUTY_HOST)]


def test_a_killed_send_is_repeated_under_the_same_key(channels: Channels, room: Room) -> None:
    """Stopped while the provider had it but before that was written down: sent again, known as the same."""
    channels.answer(PAGERDUTY_HOST, Behaviour.HANG, Behaviour.ACCEPT)
    room.queue(INCIDENT)

    async def interrupted() -> None:
        async with running(room.sender(Channel("c", Secret(PAGERDUTY)))):
            await until(lambda: len(channels.received(PAGERDUTY_HOST)) == 1)

    async def again() -> None:
        async with running(room.sender(Channel("c", Secret(PAGERDUTY)))):
            await until(lambda: room.waiting() == 0)

    asyncio.run(interrupted())
    assert room.waiting() == 1
    asyncio.run(again())
    first, second = (request.document["dedup_key"] for request in channels.received(PAGERDUTY_HOST))
    assert first == second


def test_stopping_does_not_wait_for_a_provider_that_hangs(channels: Channels) -> None:
    """A whole process with a send under way ends at once: no thread of ours or of Apprise's holds it up."""
    channels.answer(SLACK_HOST, Behaviour.HANG)
    program = f"""
import asyncio, sys, tempfile
from pathlib import Path
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from standins.notices import INCIDENT
from vllm_vigil.clock import RealClock
from vllm_vigil.model import Notification, Reason
from vllm_vigil.notifications.channel import Channel
from vllm_vigil.notifications.message import Style, compose
from vllm_vigil.notifications.sender import Sender
from vllm_vigil.state.store import Store
from vllm_vigil.telemetry import Telemetry
from vllm_vigil.units import Secret
async def main():
    with tempfile.TemporaryDirectory() as directory:
        store, clock = Store.open(Path(directory)), RealClock()
        store.rows.queue(Notification("c", Reason.FIRST, INCIDENT), clock.wall())
        words = lambda notification, now: compose(notification, now, Style())
        task = asyncio.ensure_future(
            Sender(Channel("c", Secret({SLACK!r}), read_seconds=60), store, clock, Telemetry(clock), words).run())
        await asyncio.to_thread(sys.stdin.readline)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
asyncio.run(main())
"""
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        channels.wait_for(SLACK_HOST, 1)
        begun = time.monotonic()
        process.stdin.write("stop\n")
        process.stdin.close()
        assert process.wait(60) == 0
    assert time.monotonic() - begun < 30


def test_attempts_back_off_to_five_minutes(room: Room) -> None:
    """At the top of the jitter 5, 10, 20 ... 300 s pass between attempts, and it is never given up."""
    channel = Scripted(room.clock, LATER)
    room.queue(INCIDENT)

    async def scene() -> None:
        sender = room.sender(channel)
        async with running(sender):
            await crank_until(room.clock, sender, 1, lambda: len(channel.calls) == 9)

    asyncio.run(scene())
    times = [at for at, _, _ in channel.calls]
    assert [5, 10, 20, 40, 80, 160, 300, 300] == [later - at for at, later in itertools.pairwise(times)]
    assert room.count("vigil_deliveries_total", channel="c", outcome="retry") == 9


def test_jitter_has_a_floor(room: Room) -> None:
    """However the dice fall, a second passes between two attempts."""
    channel = Scripted(room.clock, LATER, DELIVERED)
    room.queue(INCIDENT)

    async def scene() -> None:
        sender = room.sender(channel, jitter=0.0)
        async with running(sender):
            await crank_until(room.clock, sender, 0.25, lambda: room.waiting() == 0)

    asyncio.run(scene())
    assert channel.calls[1][0] - channel.calls[0][0] == breaker.SHORTEST_SECONDS


def test_one_incidents_rows_keep_their_order_and_block_no_other(room: Room, incident: Incidents) -> None:
    """A page in backoff holds back its own resolve, and lets another incident's page pass."""
    channel = Scripted(room.clock, LATER, DELIVERED)
    room.queue(incident(key="a"))
    room.queue(incident(key="a"), Reason.RESOLVED)
    room.queue(incident(key="b"))

    async def scene() -> None:
        sender = room.sender(channel)
        async with running(sender):
            await until(lambda: room.waiting() == 2)
            assert ["a", "b"] == channel.keys()
            await crank_until(room.clock, sender, 1, lambda: room.waiting() == 0)

    asyncio.run(scene())
    assert ["a", "b", "a", "a"] == channel.keys()
    assert [False, False, False, True] == [title.startswith("RESOLVED") for _, _, title in channel.calls]


def test_what_is_refused_for_good_is_not_sent_again(room: Room, log: list[str]) -> None:
    """The row ends, and the lost message is an error in the log, once."""
    channel = Scripted(room.clock, NEVER)
    room.queue(INCIDENT)

    async def scene() -> None:
        sender = room.sender(channel)
        async with running(sender):
            await until(lambda: room.waiting() == 0)
            await room.clock.crank(3600)

    asyncio.run(scene())
    assert len(channel.calls) == 1
    (line,) = [line for line in log if line.startswith("ERROR")]
    assert "refused with HTTP 404" in line
    assert INCIDENT.key in line


def test_unchanged_trouble_is_told_once(room: Room, log: list[str]) -> None:
    """Again only when it changes, and when it is over."""
    other = Attempt(Outcome.RETRY, "no HTTP answer")
    channel = Scripted(room.clock, LATER, LATER, LATER, other, other, DELIVERED)
    room.queue(INCIDENT)

    async def scene() -> None:
        sender = room.sender(channel)
        async with running(sender):
            await crank_until(room.clock, sender, 5, lambda: room.waiting() == 0)

    asyncio.run(scene())
    assert [
        "WARNING channel c: cannot deliver now, will go on trying: answered HTTP 503",
        "WARNING channel c: cannot deliver now, will go on trying: no HTTP answer",
        f"INFO channel c: delivered the first message on {INCIDENT.key}",
        "INFO channel c: delivers again",
    ] == log


def test_a_surprise_in_one_delivery_is_tried_again_and_quotes_nothing(room: Room, log: list[str]) -> None:
    """Its text may hold an address: only its type is told."""
    channel = Scripted(room.clock, RuntimeError(f"https://hooks.example/{CANARY}"), DELIVERED)
    room.queue(INCIDENT)

    async def scene() -> None:
        sender = room.sender(channel)
        async with running(sender):
            await crank_until(room.clock, sender, 5, lambda: room.waiting() == 0)

    asyncio.run(scene())
    assert any("failed with RuntimeError" in line for line in log)
    assert not any(CANARY in line for line in log)


def test_past_the_deadline_it_is_unknown_and_nothing_is_begun_beside_it(room: Room) -> None:
    """While the call has not come back the channel waits; then the same row goes out again under the same key."""
    hang = threading.Event()
    channel = Scripted(room.clock, hang, DELIVERED)
    room.queue(INCIDENT)

    async def scene() -> None:
        sender = room.sender(channel, deadline_seconds=0.5)
        async with running(sender):
            await until(lambda: room.count("vigil_deliveries_total", channel="c", outcome="unknown") == 1)
            await room.clock.crank(sender_module.ABANDON_SECONDS - 16)
            assert len(channel.calls) == 1
            hang.set()
            await crank_until(room.clock, sender, 5, lambda: room.waiting() == 0)

    asyncio.run(scene())
    assert [INCIDENT.key] * 2 == channel.keys()


def test_a_call_that_never_comes_back_does_not_hold_the_channel(room: Room, incident: Incidents) -> None:
    """An endless drip is left to its thread, and what waits goes out by another; three of them, and no more."""
    drip = threading.Event()
    channel = Scripted(room.clock, drip, drip, drip, drip, DELIVERED)
    room.queue(incident(key="a"))

    async def scene() -> None:
        sender = room.sender(channel, deadline_seconds=0.5)
        async with running(sender):
            for calls in (1, 2, 3, 4):
                await until(lambda calls=calls: len(channel.calls) >= calls)  # type: ignore[misc]  # more, if slow
                await until(lambda calls=calls: (unknown(room) or 0) >= calls)  # type: ignore[misc]
                await crank_a_while(room.clock, 400)
            assert len(channel.calls) == 4
            drip.set()
            await until(lambda: not sender._worker.busy)
            await crank_until(room.clock, sender, 15, lambda: room.waiting() == 0)

    asyncio.run(scene())
    assert len(channel.calls) == 5


def test_a_byte_now_and_then_is_no_answer(channels: Channels, room: Room) -> None:
    """No read times out, and still the attempt ends: it may have arrived."""
    channels.answer(SLACK_HOST, Behaviour.DRIP)
    room.queue(INCIDENT)

    async def scene() -> None:
        async with running(room.sender(Channel("c", Secret(SLACK), read_seconds=0.5), deadline_seconds=0.8)):
            await until(lambda: unknown(room) == 1)

    asyncio.run(scene())


def unknown(room: Room) -> float | None:
    return room.count("vigil_deliveries_total", channel="c", outcome="unknown")


async def crank_a_while(clock: CrankedClock, seconds: int) -> None:
    """In steps, so that real threads come to their turn."""
    for _ in range(seconds // 10):
        await clock.crank(10)
        await asyncio.sleep(0.001)


def test_a_channel_that_keeps_failing_is_left_alone_and_tried_with_one_message(room: Room, incident: Incidents) -> None:
    """After five failures a hundred rows make one request at a time; when it is back, all go out, oldest first."""
    channel = Scripted(room.clock, LATER)
    for number in range(100):
        room.queue(incident(key=f"{number:03}", server=str(number)))

    async def scene() -> None:
        sender = room.sender(channel)
        async with running(sender):
            await crank_until(room.clock, sender, 1, lambda: len(channel.calls) >= 5)
            assert room.count("vigil_channel_breaker_open", channel="c") == 1
            await crank_many(room.clock, sender, 3000)
            assert len(channel.calls) < 5 + 20
            assert {"000", "001", "002", "003", "004"} == set(channel.keys())
            channel.script = [DELIVERED]
            del channel.calls[:]
            await crank_until(room.clock, sender, 15, lambda: room.waiting() == 0)

    asyncio.run(scene())
    assert [f"{number:03}" for number in range(100)] == channel.keys()
    assert room.count("vigil_channel_breaker_open", channel="c") == 0


async def crank_many(clock: CrankedClock, sender: Sender, seconds: float) -> None:
    """Let so much time pass, and none while the sender's real thread is at work."""
    end = clock.monotonic() + seconds
    await crank_until(clock, sender, 5, lambda: clock.monotonic() >= end)


def test_the_network_away_for_an_hour(room: Room, incident: Incidents) -> None:
    """Everything arrives after it: critical pages oldest first, old warnings as one digest, what ended as a note."""
    channel = Scripted(room.clock, Attempt(Outcome.RETRY, "no HTTP answer"))
    for number in range(3):
        room.queue(incident(key=f"c{number}", server=f"s{number}"))
    for number in range(20):
        room.queue(incident(key=f"w{number}", severity=Severity.WARNING, rule="http_5xx"))
    with room.store.transaction():
        room.store.rows.supersede("c1", "c", room.clock.wall())
    room.queue(incident(key="c1", resolved=OPENED + 60), Reason.RESOLVED)

    async def scene() -> None:
        sender = room.sender(channel)
        async with running(sender):
            await crank_many(room.clock, sender, 3900)
            channel.script = [DELIVERED]
            del channel.calls[:]
            await crank_until(room.clock, sender, 15, lambda: room.waiting() == 0)
            await crank_many(room.clock, sender, 700)

    asyncio.run(scene())
    assert ["c0", "c2", "c1", "vigil-digest:c"] == channel.keys()
    titles = [title for _, _, title in channel.calls]
    assert titles[2].startswith("HAPPENED AND RECOVERED: CUDA out of memory on llama")
    assert titles[3].startswith("WARNING, digest: 20 incidents on llama")


def test_an_end_after_what_may_have_arrived_is_a_plain_end(room: Room) -> None:
    """The page was being sent when the deadline passed: it may stand in the channel, so "resolved" is said."""
    room.queue(INCIDENT)
    room.store.rows.postpone(1, room.clock.wall(), Outcome.UNKNOWN, "no answer")
    room.store.rows.supersede(INCIDENT.key, "c", room.clock.wall())
    room.queue(INCIDENT, Reason.RESOLVED)
    channel = Scripted(room.clock, DELIVERED)

    async def scene() -> None:
        async with running(room.sender(channel)):
            await until(lambda: room.waiting() == 0)

    asyncio.run(scene())
    assert ["RESOLVED"] == [title.partition(":")[0] for _, _, title in channel.calls]


def test_what_it_asks_for_is_waited_for(room: Room, incident: Incidents) -> None:
    """A channel that says "not within a minute" is left alone for a minute, by every row."""
    channel = Scripted(room.clock, Attempt(Outcome.RETRY, "answered HTTP 429", 60.0), DELIVERED)
    room.queue(incident(key="a"))
    room.queue(incident(key="b"))

    async def scene() -> None:
        sender = room.sender(channel, jitter=0.0)
        async with running(sender):
            await crank_until(room.clock, sender, 1, lambda: room.waiting() == 0)

    asyncio.run(scene())
    assert [True, True] == [at - channel.calls[0][0] >= 60 for at, _, _ in channel.calls[1:]]


def test_a_refusal_is_reported_in_its_own_transaction(room: Room) -> None:
    """So that neither the refusal nor the report of it is lost alone."""
    reported: list[tuple[str, bool]] = []

    def report(delivery: Delivery) -> None:
        reported.append((delivery.detail, bool(room.waiting())))

    words = partial(compose, style=Style())
    channel = Scripted(room.clock, NEVER)
    sender = Sender(channel, room.store, room.clock, room.telemetry, words, report=report)
    room.queue(INCIDENT)

    async def scene() -> None:
        async with running(sender):
            await until(lambda: room.waiting() == 0)

    asyncio.run(scene())
    assert [("refused with HTTP 404", False)] == reported


def test_a_channel_that_hangs_delays_no_other(room: Room) -> None:
    """Each has its task and its thread."""
    hang = threading.Event()
    stuck, quick = Scripted(room.clock, hang, name="stuck"), Scripted(room.clock, DELIVERED, name="quick")
    room.queue(INCIDENT, channel="stuck")
    room.queue(INCIDENT, channel="quick")

    async def scene() -> None:
        async with running(room.sender(stuck), room.sender(quick)):
            await until(lambda: len(quick.calls) == 1 and room.waiting() == 1)
            begun = time.monotonic()
        assert time.monotonic() - begun < 30

    asyncio.run(scene())
    hang.set()


def test_the_backlog_is_exported(room: Room, incident: Incidents) -> None:
    """How many rows wait and since when, and 0 when none does."""
    channel = Scripted(room.clock, LATER, LATER, LATER, DELIVERED)
    room.queue(incident(key="a"))
    room.queue(incident(key="b"))

    async def scene() -> None:
        sender = room.sender(channel)
        async with running(sender):
            await until(lambda: len(channel.calls) == 2)
            await room.clock.crank(2)
            await room.clock.crank(2)
            await until(lambda: room.count("vigil_outbox_pending", channel="c") == 2)
            await crank_until(room.clock, sender, 20, lambda: room.waiting() == 0)
            await until(lambda: room.count("vigil_outbox_pending", channel="c") == 0)

    asyncio.run(scene())
    assert room.count("vigil_outbox_oldest_seconds", channel="c") == 0


def test_the_age_of_the_backlog_grows_while_it_waits(room: Room) -> None:
    """Within the longest pause of what it is."""
    channel = Scripted(room.clock, LATER)
    room.queue(INCIDENT)

    async def scene() -> None:
        sender = room.sender(channel)
        async with running(sender):
            await crank_until(room.clock, sender, 5, lambda: len(channel.calls) == 7)  # backs off for 300 s now
            age_before = room.count("vigil_outbox_oldest_seconds", channel="c") or 0
            await room.clock.crank(60)
            age_after = room.count("vigil_outbox_oldest_seconds", channel="c") or 0
            assert 45 <= age_after - age_before <= 75

    asyncio.run(scene())


def test_a_clock_that_was_set_back_holds_nothing_up(room: Room) -> None:
    """A row that is due in a day by the new time was due within minutes by the old one."""
    channel = Scripted(room.clock, DELIVERED)
    with room.store.transaction():
        room.store.rows.queue(Notification("c", Reason.FIRST, INCIDENT), room.clock.wall() + 86_400)

    async def scene() -> None:
        sender = room.sender(channel)
        async with running(sender):
            await until(lambda: room.waiting() == 0)

    asyncio.run(scene())
    assert len(channel.calls) == 1
