"""One source on its beat: what is current, what is told, and when."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator

import pytest
from loguru import logger

from vllm_vigil.clock import CrankedClock, Waker, settle
from vllm_vigil.model import Reading, Sample
from vllm_vigil.sources.sampler import Sampler
from vllm_vigil.telemetry import Telemetry

KEY = {"source": "vllm", "server": "llama"}


class Scripted:
    """A source that is good until told otherwise, and may take its time."""

    source = "vllm"
    server = "llama"

    def __init__(self, clock: CrankedClock) -> None:
        self.error: str | None = None
        self.fault: Exception | None = None
        self.seconds = 0.0
        self.asked_at: list[float] = []
        self.closed = False
        self._clock = clock

    async def read(self) -> Reading:
        """Answer as told."""
        self.asked_at.append(self._clock.monotonic() - 1_000.0)
        if self.seconds:
            await self._clock.sleep(self.seconds)
        if self.fault:
            raise self.fault
        return Reading("vllm", "llama", self._clock.monotonic(), self.seconds, (Sample("a", (), 1.0),), {}, self.error)

    async def close(self) -> None:
        """Remember it."""
        self.closed = True


@pytest.fixture
def said() -> Iterator[list[str]]:
    """What is logged, with its level."""
    lines: list[str] = []
    sink = logger.add(lambda message: lines.append(f"{message.record['level'].name} {message.record['message']}"))
    yield lines
    logger.remove(sink)


def play(
    clock: CrankedClock,
    telemetry: Telemetry,
    scene: Callable[[Scripted, Sampler], Awaitable[None]],
    news: Waker | None = None,
) -> Scripted:
    """Run a sampler of 5 s beside a scene, then cancel it."""

    async def whole() -> Scripted:
        source = Scripted(clock)
        sampler = Sampler(source, 5.0, None, clock, telemetry, news)
        task = asyncio.create_task(sampler.run())
        await settle()
        await scene(source, sampler)
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled()
        return source

    return asyncio.run(whole())


def up(telemetry: Telemetry) -> float | None:
    """`vigil_source_up` of the source."""
    return telemetry.registry.get_sample_value("vigil_source_up", KEY)


def test_the_source_is_asked_at_once_and_on_every_beat(clock: CrankedClock, telemetry: Telemetry) -> None:
    """The first reading does not wait for an interval, and the source is closed at the end."""

    async def scene(_: Scripted, sampler: Sampler) -> None:
        assert sampler.latest is not None
        await clock.crank(15.0)

    source = play(clock, telemetry, scene)
    assert [0.0, 5.0, 10.0, 15.0] == source.asked_at
    assert source.closed


def test_a_slow_answer_does_not_shift_the_beat(clock: CrankedClock, telemetry: Telemetry) -> None:
    """The next reading starts on the beat; beats that passed meanwhile are left out."""

    async def scene(source: Scripted, _: Sampler) -> None:
        source.seconds = 2.0
        await clock.crank(10.0)
        source.seconds = 11.0
        await clock.crank(20.0)

    assert [0.0, 5.0, 10.0, 15.0, 30.0] == play(clock, telemetry, scene).asked_at


def test_news_is_read_at_once_and_does_not_shift_the_beat(clock: CrankedClock, telemetry: Telemetry) -> None:
    """Two pieces of it before the source was asked are one."""
    news = Waker(clock)

    async def scene(_: Scripted, __: Sampler) -> None:
        await clock.crank(2.0)
        news.wake()
        news.wake()
        await settle()
        await clock.crank(9.0)

    assert [0.0, 2.0, 5.0, 10.0] == play(clock, telemetry, scene, news).asked_at


def test_a_source_is_down_until_it_has_answered(clock: CrankedClock, telemetry: Telemetry) -> None:
    """It is 0 before the first answer, and 1 with it."""

    async def scene(source: Scripted, _: Sampler) -> None:
        assert 1.0 == up(telemetry)
        source.error = "connection refused"
        await clock.crank(5.0)
        assert 0.0 == up(telemetry)
        source.error = None
        await clock.crank(5.0)
        assert 1.0 == up(telemetry)

    assert up(telemetry) is None
    play(clock, telemetry, scene)


def test_a_failed_source_keeps_its_series_three_intervals_and_no_longer(
    clock: CrankedClock, telemetry: Telemetry
) -> None:
    """One failure leaves no hole; a lasting one leaves no number."""

    async def scene(source: Scripted, sampler: Sampler) -> None:
        good = sampler.latest
        source.error = "connection refused"
        await clock.crank(14.9)
        assert good is sampler.current(clock.monotonic())
        assert sampler.latest is not None
        assert "connection refused" == sampler.latest.error
        await clock.crank(0.1)
        assert sampler.current(clock.monotonic()) is None
        source.error = None
        await clock.crank(5.0)
        assert sampler.latest is sampler.current(clock.monotonic())

    play(clock, telemetry, scene)


def test_a_source_that_does_not_come_back_goes_stale_too(clock: CrankedClock, telemetry: Telemetry) -> None:
    """A reading that hangs cannot keep an old one alive."""

    async def scene(source: Scripted, sampler: Sampler) -> None:
        source.seconds = 1_000.0
        await clock.crank(15.0)
        assert sampler.current(clock.monotonic()) is None

    play(clock, telemetry, scene)


def test_nothing_is_current_before_the_first_good_reading(clock: CrankedClock, telemetry: Telemetry) -> None:
    """A source that was never up has no series."""

    async def whole() -> None:
        source = Scripted(clock)
        sampler = Sampler(source, 5.0, None, clock, telemetry)
        assert (None, None) == (sampler.latest, sampler.current(clock.monotonic()))
        source.error = "no"
        await sampler.ask()
        assert sampler.current(clock.monotonic()) is None

    asyncio.run(whole())


def test_stale_after_can_be_set(clock: CrankedClock, telemetry: Telemetry) -> None:
    """What the user configured takes the place of three intervals."""

    async def whole() -> None:
        sampler = Sampler(Scripted(clock), 5.0, 60.0, clock, telemetry)
        await sampler.ask()
        assert sampler.current(clock.monotonic() + 59.9) is sampler.latest
        assert sampler.current(clock.monotonic() + 60.0) is None

    asyncio.run(whole())


def test_a_reason_is_logged_once_then_on_change_and_on_recovery(
    clock: CrankedClock, telemetry: Telemetry, said: list[str]
) -> None:
    """A server that is down for a day writes one line."""

    async def scene(source: Scripted, _: Sampler) -> None:
        for error in ("connection refused", "/metrics answered status 500", None):
            source.error = error
            await clock.crank(50.0)

    play(clock, telemetry, scene)
    assert [
        "WARNING vllm llama cannot be read: connection refused",
        "WARNING vllm llama cannot be read: /metrics answered status 500",
        "INFO vllm llama can be read again",
    ] == said


def test_a_fault_of_our_own_costs_one_source_its_reading_and_is_logged_once(
    clock: CrankedClock, telemetry: Telemetry, said: list[str]
) -> None:
    """The beat goes on, the source is down, the traceback is there once."""

    async def scene(source: Scripted, sampler: Sampler) -> None:
        source.fault = KeyError("surprise")
        await clock.crank(25.0)
        assert sampler.latest is not None
        assert "a fault in the sidecar: KeyError: 'surprise'" == sampler.latest.error
        assert 0.0 == up(telemetry)
        source.fault = None
        await clock.crank(5.0)
        assert 1.0 == up(telemetry)

    play(clock, telemetry, scene)
    assert ["ERROR", "WARNING", "INFO"] == [line.split()[0] for line in said]
