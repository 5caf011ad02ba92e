"""The command behind `scripts/backfill`: a simulated day into a directory of blocks for a real Prometheus."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from loguru import logger

from standins.days import BAD_DAY, ordinary_day
from standins.simulation import HOUR, Simulation, backfill
from vllm_vigil.demo.script import Scene

DAYS: dict[str, Callable[[], Iterable[Scene]]] = {"ordinary": ordinary_day, "bad": lambda: BAD_DAY}


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the blocks and say what was written."""
    parser = argparse.ArgumentParser(prog="scripts/backfill", description=__doc__)
    parser.add_argument("tsdb", type=Path, metavar="DIR", help="where the blocks go")
    parser.add_argument("--day", choices=sorted(DAYS), default="bad", help="what is played (bad)")
    parser.add_argument("--hours", type=float, default=24.0, help="only the first hours of it (24)")
    parser.add_argument("--step", type=float, default=30.0, metavar="SECONDS", help="time between two scrapes (30)")
    parser.add_argument("--end", type=float, metavar="EPOCH", help="when it ends (now)")
    parser.add_argument("--seed", type=int, default=7, help="another seed is another day")
    options = parser.parse_args(arguments)
    logger.remove()
    seconds = options.hours * HOUR
    end = time.time() if options.end is None else options.end
    scenes = first(DAYS[options.day](), seconds)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="backfill-") as scratch:
        played = Simulation(Path(scratch), scenes, begun=end - seconds, step_seconds=options.step, seed=options.seed)
        pages = backfill(options.tsdb, played)
    print(f"{pages} scrapes in {options.tsdb}, in {time.monotonic() - began:.0f} s", file=sys.stderr)
    return 0


def first(scenes: Iterable[Scene], seconds: float) -> Iterator[Scene]:
    """The scenes up to a time; the last one is cut there."""
    left = seconds
    for scene in scenes:
        if left <= 0:
            return
        yield replace(scene, seconds=min(scene.seconds, left))
        left -= scene.seconds


if __name__ == "__main__":
    sys.exit(main())
