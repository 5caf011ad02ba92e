"""A program that delivers and is killed, over and over: `python -m standins.killed_sender DIRECTORY RANDOM_KILLS`.

Each life is a fork of this one (a fresh interpreter would cost half a second): a store, an outbox and a sender, on
the state that the last one left. It opens incidents and resolves each a little later, and its provider writes what it
is sent into `received`, where a kill cannot take it back. First it is killed once at every labelled point, then at
random moments; the last life goes on until nothing waits.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from loguru import logger

from standins.notices import INCIDENT
from vllm_vigil.clock import RealClock
from vllm_vigil.model import Change, IncidentState, Outcome, Transition
from vllm_vigil.notifications.channel import Attempt
from vllm_vigil.notifications.message import Message, Style, compose
from vllm_vigil.notifications.outbox import Outbox
from vllm_vigil.notifications.sender import Sender
from vllm_vigil.notifications.settings import ChannelSettings, NotifySettings
from vllm_vigil.state.store import Store
from vllm_vigil.telemetry import Telemetry
from vllm_vigil.units import Secret

POINTS = ("queueing", "queued", "before the send", "after the send", "settling", "settled")
BEHIND = 3
"""So many incidents later each is resolved."""


class Life:
    """What a life does, and where it ends if that is not left to chance."""

    def __init__(self, directory: Path, point: str = "") -> None:
        self.store = Store.open(directory)
        self.received = os.open(directory / "received", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self.point = point
        self.name = "c"
        settings = NotifySettings({"c": ChannelSettings(Secret("json://127.0.0.1"))})
        clock = RealClock()
        self.sender = Sender(self, self.store, clock, Telemetry(clock), partial(compose, style=Style()))
        self.outbox = Outbox(self.store, settings, clock, lambda _: self.sender.wake())
        self.store.transaction = self.transaction  # type: ignore[method-assign]  # the points lie around the commit
        self._commit = Store.transaction

    def reach(self, point: str) -> None:
        """Die here, if this is the place."""
        if point == self.point:
            os.kill(os.getpid(), signal.SIGKILL)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """As the store's, with a point before and after the commit."""
        during, after = ("queueing", "queued") if self.queues else ("settling", "settled")
        with self._commit(self.store):
            yield
            self.reach(during)
        self.reach(after)

    queues = False

    def send(self, message: Message, key: str) -> Attempt:
        """The provider: takes everything."""
        self.reach("before the send")
        os.write(self.received, f"{key} {message.kind}\n".encode())
        self.reach("after the send")
        return Attempt(Outcome.DELIVERED)

    def step(self) -> None:
        """One incident opens, and one that opened before ends, in one transaction."""
        self.queues = True
        with self.store.transaction():
            number = int(self.store.memory("number") or 0)
            self.store.remember("number", str(number + 1))
            self.change(number, Transition.OPENED)
            if number >= BEHIND:
                self.change(number - BEHIND, Transition.RESOLVED)
        self.queues = False

    def change(self, number: int, transition: Transition) -> None:
        """Of the incident of that number."""
        over = transition is Transition.RESOLVED
        state, resolved = (IncidentState.RESOLVED, 1.0) if over else (IncidentState.OPEN, None)
        incident = replace(INCIDENT, key=f"i{number}", server=f"s{number}", state=state, resolved=resolved)
        self.store.save_incident(incident)
        self.outbox.queue(Change(incident, transition))

    async def work(self) -> None:
        """Until killed."""
        sending = asyncio.ensure_future(self.sender.run())
        while not sending.done():
            self.step()
            await asyncio.sleep(0.003)
        sending.result()

    async def finish(self) -> None:
        """Until nothing waits."""
        sending = asyncio.ensure_future(self.sender.run())
        while self.store.rows.waiting():
            await asyncio.sleep(0.01)
        sending.cancel()


def lose(directory: Path, point: str, seconds: float) -> None:
    """One life, ended at the point or after so long."""
    child = os.fork()
    if child == 0:
        asyncio.run(Life(directory, point).work())
    deadline = time.monotonic() + 60
    if not point:
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), "it ended by itself"
    assert time.monotonic() < deadline


def main() -> None:
    """All lives, one after the other."""
    logger.remove()
    directory, kills = Path(sys.argv[1]), int(sys.argv[2])
    for point in POINTS:
        lose(directory, point, 0)
    dice = random.Random(1)
    for _ in range(kills):
        lose(directory, "", dice.uniform(0.0, 0.04))
    last = Life(directory)
    asyncio.run(last.finish())
    print(last.store.memory("number"))


if __name__ == "__main__":
    main()
