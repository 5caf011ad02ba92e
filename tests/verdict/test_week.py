"""An ordinary week of one server: bursts, idle nights, long prefills, restarts, sleep, clients that leave. No incident.

A cheap one, over the verdict alone, in ticks of 5 s and with days of five hours; the demo's drives the whole sidecar.
"""

from __future__ import annotations

import random

import pytest

from standins.watch import BUSY_GPU, IDLE_GPU, SERVER, Watch, watching
from vllm_vigil.model import EngineState

NIGHT, DAY = 3600, 4 * 3600
TICK = 5.0
REST = {"running": 0.0, "waiting": 0.0, "kv": 0.0, "rate": 0.0, "connections": 1.0, "gpus": (IDLE_GPU,) * 2}
DOWN = {"error": "connection refused", "health": "unreachable", "connections": 0.0, "rate": 0.0}
UP = {"error": None, "health": "200", "steps": 0.0}


class Week:
    """One server behind a gateway that keeps a connection open."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.watch = watching(interval=1, attributed=SERVER, began=0.0, host=True)

    def pass_(self, seconds: float, **changes: object) -> None:
        """Time passes, after a change."""
        self.watch.set(**changes)
        for _ in range(max(1, int(seconds / TICK))):
            self.watch.tick(TICK)

    def work(self) -> None:
        """Some requests, at some speed."""
        running = self.random.randint(1, 64)
        waiting = self.random.choice([0, 0, 0, 20, 200])
        watts = self.random.uniform(280, 650)
        gpu = (self.random.uniform(0.7, 1.0), self.random.uniform(0.2, 0.7), watts)
        self.pass_(
            self.random.expovariate(1 / 90),
            running=float(running),
            waiting=float(waiting),
            kv=self.random.random(),
            rate=self.random.uniform(1, 50),
            connections=1.0 + running + waiting,
            gpus=(gpu, gpu),
        )

    def prefill(self) -> None:
        """One step that takes up to three minutes."""
        gpu = (1.0, self.random.uniform(0.3, 0.6), self.random.uniform(450, 680))
        seconds = self.random.uniform(20, 180)
        self.pass_(seconds, running=1.0, waiting=9.0, rate=0.0, connections=11.0, gpus=(gpu, gpu))

    def leave(self) -> None:
        """Everybody hangs up, and the gauges stay where they were."""
        self.pass_(self.random.uniform(10, 900), rate=0.0, connections=1.0, gpus=(IDLE_GPU,) * 2)

    def restart(self) -> None:
        """Wanted, as the log says, or only seen by its processes."""
        logged = self.random.random() < 0.5
        if logged:
            self.watch.verdict.hear(SERVER, "stopping", self.watch.wall)
        self.pass_(10, **DOWN)
        self.pass_(5, began=self.watch.wall)
        for phase in ("starting", "loading", "profiling", "warming", "ready"):
            if logged:
                self.watch.verdict.hear(SERVER, phase, self.watch.wall)
            self.pass_(self.random.uniform(10, 240))
        self.pass_(10, **UP, **{**REST, "connections": 0.0})

    def sleep(self) -> None:
        """For ten minutes."""
        self.pass_(30, **REST)
        self.pass_(600, asleep=True)
        self.pass_(10, asleep=False)

    def day(self) -> None:
        """A night, then work with pauses and what comes between."""
        self.pass_(NIGHT, **REST)
        end = self.watch.wall + DAY
        between = [self.prefill] * 8 + [self.leave] * 3 + [self.restart, self.sleep]
        while self.watch.wall < end:
            self.work()
            if self.random.random() < 0.3:
                self.pass_(self.random.expovariate(1 / 40), **REST)
            if self.random.random() < 0.1:
                self.random.choice(between)()


@pytest.mark.no_cover
@pytest.mark.parametrize("seed", [1, 2])
def test_an_ordinary_week_opens_no_incident(seed: int) -> None:
    """And nothing is said to hang."""
    week = Week(seed)
    for _ in range(7):
        week.day()
    watch: Watch = week.watch
    assert watch.paged == []
    assert not {EngineState.STALLED, EngineState.SPINNING} & set(watch.states), watch.said
    assert {EngineState.HEALTHY, EngineState.IDLE, EngineState.ASLEEP, EngineState.STARTING} <= set(watch.states)
    assert watch.state in (EngineState.HEALTHY, EngineState.IDLE)


def test_a_hang_in_such_a_week_is_found() -> None:
    """What was learned in it has not made the verdict blind."""
    week = Week(3)
    week.day()
    week.work()
    week.watch.set(gpus=(BUSY_GPU, BUSY_GPU), running=8.0, connections=9.0, rate=9.0)
    week.pass_(60)
    week.watch.set(rate=0.0, gpus=((1.0, 0.0, 130.0),) * 2)
    week.pass_(30)
    assert week.watch.state is EngineState.SPINNING
    week.pass_(45)
    assert week.watch.holding == {"engine_stalled"}
