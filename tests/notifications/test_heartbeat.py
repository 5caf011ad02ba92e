"""A dead man's switch hears of a sidecar whose tick turns, of no other, and nobody else learns its address."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from standins.program import free_port
from standins.switch import CANARY, Switch
from vllm_vigil.clock import CrankedClock, settle
from vllm_vigil.notifications.heartbeat import STILL_SECONDS, Heartbeat
from vllm_vigil.notifications.heartbeat_settings import HeartbeatSettings
from vllm_vigil.telemetry import Telemetry
from vllm_vigil.units import Seconds, Secret


@pytest.fixture
def switch(monkeypatch: pytest.MonkeyPatch) -> Iterator[Switch]:
    """A switch that is up, and no proxy before it."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    made = Switch()
    made.start()
    yield made
    made.close()


class Heart:
    """What a heartbeat needs, and how it fared."""

    def __init__(self, clock: CrankedClock, telemetry: Telemetry) -> None:
        self.clock = clock
        self.telemetry = telemetry
        self.age_seconds = 0.0
        telemetry.heartbeats_known()

    def made(self, url: str, timeout_seconds: float = 5.0) -> Heartbeat:
        """One that has not beaten yet."""
        given = HeartbeatSettings(Secret(url), timeout=Seconds(timeout_seconds))
        return Heartbeat(Secret(url), given, self.clock, self.telemetry, lambda: self.age_seconds)

    def beat(self, url: str, times: int, timeout_seconds: float = 5.0) -> None:
        """So many beats."""

        async def run() -> None:
            heart = self.made(url, timeout_seconds)
            for _ in range(times):
                await heart.beat()
            await heart.close()

        asyncio.run(run())

    def delivered(self, count: int) -> bool:
        """Whether so many beats have arrived."""
        return self.counts().get("delivered") == count

    def counts(self) -> dict[str, float]:
        """The outcomes that there were."""
        value = self.telemetry.registry.get_sample_value
        outcomes = ("delivered", "refused", "failed", "withheld")
        found = {each: value("vigil_heartbeats_total", {"outcome": each}) or 0.0 for each in outcomes}
        return {outcome: count for outcome, count in found.items() if count}


@pytest.fixture
def heart(clock: CrankedClock, telemetry: Telemetry) -> Heart:
    return Heart(clock, telemetry)


async def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        await asyncio.sleep(0.005)
    await settle()


def test_it_beats_at_once_and_on_every_interval(heart: Heart, switch: Switch) -> None:
    """With a GET of the whole address; not before its time."""

    async def scene() -> None:
        task = asyncio.ensure_future(heart.made(switch.url).run())
        for count in (1, 2, 3):
            await until(partial(heart.delivered, count))
            await heart.clock.crank(59)
            assert len(switch.asked) == count
            await heart.clock.crank(1)
        await until(partial(heart.delivered, 4))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(scene())
    assert [("GET", f"/ping/{CANARY}")] * 4 == switch.asked


def test_a_tick_that_stands_still_is_not_called_alive(heart: Heart, switch: Switch, log: list[str]) -> None:
    """No request, which is what the switch waits for; said once, and when the tick turns again."""

    async def scene() -> None:
        made = heart.made(switch.url)
        for age in (STILL_SECONDS + 1, STILL_SECONDS + 60, 0.5):
            heart.age_seconds = age
            await made.beat()
        await made.close()

    asyncio.run(scene())
    assert {"delivered": 1.0, "withheld": 2.0} == heart.counts()
    assert len(switch.asked) == 1
    assert [
        "ERROR no heartbeat is delivered: the tick stands still for more than 30s; tried again every 1m",
        "INFO heartbeats are delivered again",
    ] == log


def test_trouble_is_said_once_and_when_it_is_over(heart: Heart, switch: Switch, log: list[str]) -> None:
    """Each beat is counted; the address is never told."""
    switch.script = [500, 500, 404, 200]
    heart.beat(switch.url, 4)
    assert {"delivered": 1.0, "refused": 3.0} == heart.counts()
    assert [
        "ERROR no heartbeat is delivered: it answered status 500; tried again every 1m",
        "ERROR no heartbeat is delivered: it answered status 404; tried again every 1m",
        "INFO heartbeats are delivered again",
    ] == log


def test_a_redirect_is_not_followed(heart: Heart, switch: Switch, log: list[str]) -> None:
    """It could lead anywhere; the log says what to do."""
    switch.script = [302]
    heart.beat(switch.url, 1)
    assert [("GET", f"/ping/{CANARY}")] == switch.asked
    assert {"refused": 1.0} == heart.counts()
    assert "redirects are not followed, give the last address" in log[0]


def test_a_switch_that_does_not_answer_has_its_time(heart: Heart, switch: Switch, log: list[str]) -> None:
    """Then the beat has failed."""
    switch.script = [0]
    heart.beat(switch.url, 1, timeout_seconds=0.2)
    assert {"failed": 1.0} == heart.counts()
    assert ["ERROR no heartbeat is delivered: no answer within 0.2s; tried again every 1m"] == log


@pytest.mark.parametrize("proxy", ["", "nonsense://x:1"])
def test_what_cannot_be_reached_costs_nothing_but_the_beat(
    heart: Heart, log: list[str], proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody listens, or the environment names a proxy that is none: said once, without the address."""
    monkeypatch.setenv("NO_PROXY", "" if proxy else "127.0.0.1")
    monkeypatch.setenv("ALL_PROXY", proxy)
    heart.beat(f"http://user:{CANARY}@127.0.0.1:{free_port()}/{CANARY}", 2)
    assert {"failed": 2.0} == heart.counts()
    assert len(log) == 1
    assert CANARY not in log[0]


@pytest.mark.parametrize(
    "url",
    ["", "hc-ping.example", "ftp://x/y", "http:///x", "http://x:0/", "http://x:y/", "http://[::1", "http://x/ y",
     f"https://{'a' * 64}.example/"],
)  # fmt: skip
def test_an_address_that_cannot_be_asked_is_found_at_start(url: str) -> None:
    """Without a letter of it in the message."""
    ((place, message),) = HeartbeatSettings(Secret(url)).problems()
    assert place == "url"
    assert not url or url not in message


def test_times_that_cannot_be_kept_are_found_at_start() -> None:
    """And what is usual is not."""
    assert [] == list(HeartbeatSettings(Secret("https://hc.example/x")).problems())
    wrong = HeartbeatSettings(interval=Seconds(0.5), timeout=Seconds(0.0))
    assert ["interval", "timeout"] == [place for place, _ in wrong.problems()]
