"""Time as something that is handed in: the real clock, and one that tests crank by hand.

`wall` is for people and for state that outlives the process; `monotonic` is for spans and deadlines. `sleep` belongs
to the clock too, so that a test never waits for time to pass. A `Waker` is the other reason to go on: a coalesced
"look again", which may come from any thread.
"""

from __future__ import annotations

import asyncio
import heapq
import time
from typing import Protocol

STEP_SECONDS = 2.0


class Clock(Protocol):
    """What every part that knows time is given."""

    def wall(self) -> float:
        """Seconds since the epoch; may jump."""

    def monotonic(self) -> float:
        """Seconds since some moment; never goes back."""

    async def sleep(self, seconds: float) -> None:
        """Return after so many seconds."""


class RealClock:
    """The time of this machine."""

    def wall(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds since boot."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Give the loop to others for so long."""
        await asyncio.sleep(seconds)


class Steps:
    """By how much the wall clock was set since one last asked: NTP that corrects it, a machine that was suspended.

    What it gains or loses little by little is no step.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ahead = clock.wall() - clock.monotonic()

    def taken(self) -> float:
        """Seconds; 0 if it was not set."""
        before, self._ahead = self._ahead, self._clock.wall() - self._clock.monotonic()
        step = self._ahead - before
        return step if abs(step) >= STEP_SECONDS else 0.0


class CrankedClock:
    """A clock that stands still until `crank` is called, then wakes who is due, in order."""

    def __init__(self, wall: float = 1_780_000_000.0, monotonic: float = 1_000.0) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._count = 0

    def wall(self) -> float:
        """The time that was set, plus what was cranked."""
        return self._wall

    def monotonic(self) -> float:
        """The same for spans."""
        return self._monotonic

    async def sleep(self, seconds: float) -> None:
        """Wait to be cranked past the moment."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._count += 1
        heapq.heappush(self._sleepers, (self._monotonic + seconds, self._count, future))
        await future

    async def crank(self, seconds: float) -> None:
        """Let so much time pass; everyone who is due runs, and may sleep again, before the next is woken."""
        end = self._monotonic + seconds
        while self._sleepers and self._sleepers[0][0] <= end:
            due, _, future = heapq.heappop(self._sleepers)
            self._advance(max(due, self._monotonic))
            if not future.done():
                future.set_result(None)
            await settle()
        self._advance(end)
        await settle()

    def set_by(self, seconds: float) -> None:
        """Set the wall clock forward, or back."""
        self._wall += seconds

    def lapse(self, seconds: float) -> None:
        """Let so much time pass in which nobody gets to run: who was due meanwhile is woken late, by `crank`."""
        self._advance(self._monotonic + seconds)

    def _advance(self, to: float) -> None:
        self._wall += to - self._monotonic
        self._monotonic = to


async def settle(rounds: int = 20) -> None:
    """Let every task that can run do so until it waits again."""
    for _ in range(rounds):
        await asyncio.sleep(0)


class Waker:
    """A coalesced "look again": many calls to `wake` before one `wait` are one."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._event = asyncio.Event()
        self._woken = False

    def wake(self) -> None:
        """End the current or the next `wait`. On the loop's thread; from others use `call_soon_threadsafe`."""
        self._woken = True
        self._event.set()

    async def wait(self, seconds: float) -> bool:
        """Return when woken, or after so many seconds; tell whether it was woken."""
        if not self._woken:
            await self._rest(seconds)
        self._event.clear()
        woken, self._woken = self._woken, False
        return woken

    async def _rest(self, seconds: float) -> None:
        timed = asyncio.ensure_future(self._clock.sleep(seconds))
        timed.add_done_callback(self._time_is_up)
        try:
            await self._event.wait()
        finally:
            timed.cancel()

    def _time_is_up(self, timed: asyncio.Future[None]) -> None:
        if not timed.cancelled():
            self._event.set()
