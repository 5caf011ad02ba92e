"""One failure of the table -> which alerts of the shipped rules fire, from when to when; in processes of its own."""

from __future__ import annotations

import multiprocessing
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from loguru import logger

from standins.evaluated import Alert, firing
from standins.failures import BACKGROUND, FAILURES, SCRAPE
from standins.promtool import rules_of
from standins.simulation import Simulation, steps
from vigil_rules.__main__ import FILES
from vllm_vigil.demo.script import Scene


def two_at_a_time() -> ProcessPoolExecutor:
    """For `play`: a simulation takes one core."""
    return ProcessPoolExecutor(2, multiprocessing.get_context("spawn"), _silently)


def _silently() -> None:
    """Hours of a sidecar's log are nobody's reading."""
    logger.remove()


@dataclass(frozen=True, slots=True)
class Fired:
    """One alert that fired: from when to when, in seconds since the failure began; `ended` if not at the very end."""

    alert: Alert
    since: float
    until: float
    ended: bool


def closely(scene: Scene, scrape_seconds: int = SCRAPE) -> Iterator[float]:
    """Close steps while a failure is played, so that the sidecar's own times are kept; scrapes' own for hours."""
    return steps(scene.seconds, 10.0 if scene.seconds < 3600 else scrape_seconds)


def play(id_: str) -> tuple[Fired, ...]:
    """What fires of a failure, background left out, by when it began."""
    failure = next(each for each in FAILURES if each.id == id_)
    directory = Path(tempfile.mkdtemp(prefix="loop-"))
    begins = sum(scene.seconds for scene in failure.before)
    scenes, scrape = (*failure.before, *failure.scenes), failure.scrape_seconds
    with Simulation(
        directory / "play", scenes, step_seconds=lambda scene: closely(scene, scrape), scrape_seconds=scrape
    ) as stage:
        began = stage.clock.wall()
        moments = [moment for moment in stage.moments() if moment.scraped]
    found: dict[Alert, list[float]] = {}
    for moment, alerts in zip(moments, firing(moments, rules_of(FILES), directory, scrape), strict=True):
        for alert in alerts:
            found.setdefault(alert, []).append(moment.at - began - begins)
    shutil.rmtree(directory)
    end = moments[-1].at - began - begins
    fired = (Fired(alert, at[0], at[-1], at[-1] < end) for alert, at in found.items() if alert.name not in BACKGROUND)
    return tuple(sorted(fired, key=lambda each: (each.since, str(each.alert))))
