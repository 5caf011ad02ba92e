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
from standins.notices import INCIDENT, Incidents
from vllm_vigil.clock import CrankedClock, settle
from vllm_vigil.model import Incident, Notification, Outcome, Reason
from vllm_vigil.notifications import sender as sender_module
from vllm_vigil.notifications.channel import Attempt, Channel
from vllm_vigil.notifications.message import Message, compose
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
        words = partial(compose, remedy=lambda _rule: "")
        return Sender(
            channel, self.store, self.clock, self.telemetry, words,
            deadline_seconds=deadline_seconds, jitter=lambda: jitter,
        )  # fmt: skip

    def queue(self, incident: Incident, reason: Reason = Reason.FIRST, channel: str = "c") -> None:
        """As the outbox does."""
        with self.store.transaction():
            self.store.queue(Notification(channel, reason, incident), self.clock.wall())

    def waiting(self) -> int:
        """How many rows have not ended."""
        return len(self.store.waiting())

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


async def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        await asyncio.sleep(0.005)
    await settle()


async def crank_until(clock: CrankedClock, sender: Sender, step_seconds: float, condition: Callable[[], bool]) -> None:
    """Let time pass in steps, and none while the sender's real thread is at work."""
    deadline = time.monotonic() + 20
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
    store.queue(Notification("c", Reason.FIRST, INCIDENT), {clock.wall()})
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
from vllm_vigil.notifications.message import compose
from vllm_vigil.notifications.sender import Sender
from vllm_vigil.state.store import Store
from vllm_vigil.telemetry import Telemetry
from vllm_vigil.units import Secret
async def main():
    with tempfile.TemporaryDirectory() as directory:
        store, clock = Store.open(Path(directory)), RealClock()
        store.queue(Notification("c", Reason.FIRST, INCIDENT), clock.wall())
        words = lambda notification, now: compose(notification, now, lambda rule: "")
        task = asyncio.ensure_future(
            Sender(Channel("c", Secret({SLACK!r}), read_seconds=60), store, clock, Telemetry(clock), words).run())
        await asyncio.to_thread(sys.stdin.readline)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
asyncio.run(main())
"""
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        channels.wait_for(SLACK_HOST, 1, seconds=20)
        begun = time.monotonic()
        process.stdin.write("stop\n")
        process.stdin.close()
        assert process.wait(10) == 0
    assert time.monotonic() - begun < 3


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
    assert channel.calls[1][0] - channel.calls[0][0] == sender_module.SHORTEST_BACKOFF_SECONDS


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
        sender = room.sender(channel, deadline_seconds=0.05)
        async with running(sender):
            await until(lambda: room.count("vigil_deliveries_total", channel="c", outcome="unknown") == 1)
            await room.clock.crank(600)
            assert len(channel.calls) == 1
            hang.set()
            await crank_until(room.clock, sender, 5, lambda: room.waiting() == 0)

    asyncio.run(scene())
    assert [INCIDENT.key] * 2 == channel.keys()


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
        assert time.monotonic() - begun < 1

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
        room.store.queue(Notification("c", Reason.FIRST, INCIDENT), room.clock.wall() + 86_400)

    async def scene() -> None:
        sender = room.sender(channel)
        async with running(sender):
            await until(lambda: room.waiting() == 0)

    asyncio.run(scene())
    assert len(channel.calls) == 1
