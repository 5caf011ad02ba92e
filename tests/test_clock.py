"""The cranked clock and the waker."""

from __future__ import annotations

import asyncio

from vllm_vigil.clock import CrankedClock, RealClock, Steps, Waker, settle


def test_sleepers_wake_in_order_and_not_before_their_time(clock: CrankedClock) -> None:
    """Who is due first runs first, and who sleeps again within the crank is woken again."""
    woken: list[tuple[str, float]] = []

    async def sleeper(name: str, seconds: float) -> None:
        while True:
            await clock.sleep(seconds)
            woken.append((name, clock.monotonic()))

    async def scene() -> None:
        tasks = [asyncio.create_task(sleeper("slow", 3)), asyncio.create_task(sleeper("quick", 2))]
        await settle()
        await clock.crank(5)
        for task in tasks:
            task.cancel()

    asyncio.run(scene())
    assert woken == [("quick", 1002.0), ("slow", 1003.0), ("quick", 1004.0)]
    assert clock.monotonic() == 1005.0


def test_wall_and_monotonic_time_pass_together(clock: CrankedClock) -> None:
    """A crank moves both."""
    before = clock.wall()
    asyncio.run(clock.crank(60))
    assert clock.wall() - before == 60


def test_the_real_clock_tells_this_machine_s_time() -> None:
    """It never goes back, and sleeping takes as long as it says."""

    async def scene() -> float:
        clock = RealClock()
        start = clock.monotonic()
        await clock.sleep(0.01)
        return clock.monotonic() - start

    assert 0.01 <= asyncio.run(scene()) < 5
    assert RealClock().wall() > 1_700_000_000


def test_many_wakes_are_one_and_one_before_the_wait_is_not_lost(clock: CrankedClock) -> None:
    """A waker coalesces, and remembers."""

    async def scene() -> float:
        waker = Waker(clock)
        waker.wake()
        waker.wake()
        await waker.wait(10)
        second = asyncio.create_task(waker.wait(10))
        await settle()
        assert not second.done()
        await clock.crank(10)
        await second
        return clock.monotonic()

    assert asyncio.run(scene()) == 1010.0


def test_a_step_of_the_wall_clock_is_told_once_and_its_drift_is_none() -> None:
    """Set on or back by more than it could gain between two looks."""
    clock = CrankedClock()
    steps = Steps(clock)
    asyncio.run(clock.crank(3600.0))
    assert 0.0 == steps.taken()
    for seconds in (7200.0, -86_400.0, 1.0):
        clock.set_by(seconds)
        assert [seconds if abs(seconds) > 1 else 0.0, 0.0] == [steps.taken(), steps.taken()]
