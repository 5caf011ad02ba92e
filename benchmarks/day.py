"""Memory over a week of the real pipeline, played in compressed time: what the second to seventh day add to the first.

An ordinary week (tests/standins/days.py) through sources, verdict, alert half and rendering, close around every change
and coarse in between, in a process of its own. After the first day everything has been seen once, so what grows from
there on would grow for ever.
"""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.figure import Figure

LIMIT_MEGABYTES = 2.0

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))


def measure(scratch: Path) -> Iterator[Figure]:
    """Memory after the first day, and how much more after the seventh."""
    command = (sys.executable, "-m", "benchmarks.day", str(scratch / "week"))
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    first, growth, objects = map(float, done.stdout.split())
    yield Figure("RSS after a day of the simulation, which is part of it", "MB", first)
    yield Figure("RSS that six more days add", "MB", growth, LIMIT_MEGABYTES, "the limit")
    yield Figure("objects that six more days add", "", objects)


def play(directory: Path) -> None:
    """The week; prints megabytes after a day, those that came later, and by how many objects."""
    from loguru import logger  # noqa: PLC0415  # what is measured is loaded in its process only

    from standins.days import ordinary_week  # noqa: PLC0415
    from standins.simulation import DAY, Simulation, close_then_coarse  # noqa: PLC0415

    logger.remove()
    seen: list[tuple[float, int]] = []
    with Simulation(directory, ordinary_week(), step_seconds=close_then_coarse) as week:
        began = week.clock.wall()
        for moment in week.moments():
            if not seen and moment.at - began >= DAY:
                seen.append(_memory())
        seen.append(_memory())
    (first, objects), (last, more) = seen
    print(first, last - first, more - objects)


def _memory() -> tuple[float, int]:
    """Resident megabytes and objects of this process, with what is unreachable taken away first."""
    from benchmarks.daemon import rss_megabytes  # noqa: PLC0415  # as above

    gc.collect()
    return rss_megabytes(os.getpid()), len(gc.get_objects())


if __name__ == "__main__":
    play(Path(sys.argv[1]))
