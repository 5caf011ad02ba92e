"""The flight recorder with 8 engines and 8 GPUs: memory of a full ring, CPU of a tick, what a freeze holds up.

Engines show the recorded page of vLLM 0.32, GPUs what 8 H100 answer through NVML's stand-in is worth: the series that
the recorder takes, with as many points as there would be.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.figure import Figure
from vllm_vigil.model import (
    EngineHealth,
    EngineState,
    Incident,
    IncidentState,
    Point,
    Points,
    Series,
    Severity,
    Snapshot,
    labels,
)
from vllm_vigil.recorder import bundle
from vllm_vigil.recorder.bundle import DOCUMENT, Frozen
from vllm_vigil.recorder.ring import SECONDS, Ring
from vllm_vigil.recorder.tracks import ENGINE, ROWS, Taker

BUCKETS = 22
INCIDENT = Incident("vigil-bench", "cuda_oom", "llama", Severity.CRITICAL, IncidentState.OPEN, "bench", 0.0, 0.0)


def measure(scratch: Path) -> Iterator[Figure]:
    """A second, then fifteen minutes, then an incident."""
    moments = (snapshot(), snapshot())  # in turns, so that every series is another one than before
    health = [EngineHealth("llama", str(e), "m", EngineState.HEALTHY, 0.0) for e in range(8)]
    ring, taker = Ring(), Taker()

    def record() -> None:
        for second in range(SECONDS):
            ring.put(taker.take(moments[second % 2], health), float(second))

    tick = timed(record) / SECONDS
    yield Figure("recorder, 8 engines and 8 GPUs: CPU of a tick", "ms", tick * 1000)
    tracemalloc.start()
    full = Ring()
    for second in range(2 * SECONDS):
        full.put(taker.take(moments[second % 2], health), float(second))
    memory = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    yield Figure("recorder: memory after half an hour", "MB", memory / 1e6, 10.0, "the limit")
    yield Figure(
        "recorder: a freeze holds the loop for", "ms", timed(lambda: [full.copy() for _ in range(20)]) / 20 * 1000
    )
    frozen = Frozen(INCIDENT, float(2 * SECONDS), full.copy(), {})
    began = time.perf_counter()
    written = bundle.write(scratch, frozen)
    yield Figure("recorder: a bundle is written in", "s", time.perf_counter() - began)
    yield Figure("recorder: a bundle takes", "MB", sum(each.stat().st_size for each in written.iterdir()) / 1e6)
    began = time.perf_counter()
    target = written / "chart.png"
    subprocess.run((sys.executable, "-m", "vllm_vigil.recorder.draw", str(written / DOCUMENT), str(target)), check=True)
    yield Figure("recorder: a chart is drawn in", "s", time.perf_counter() - began, 3.0, "the limit")
    json.loads((written / DOCUMENT).read_text())


def snapshot() -> Snapshot:
    """Every series of the table, with the points of 8 engines or 8 GPUs, and with the buckets of histograms."""
    found: dict[str, Series] = {}
    for row in ROWS:
        points: list[Point] = []
        for index in range(8):
            own = (
                labels(server="llama", engine=str(index), model_name="m")
                if row.kind == ENGINE
                else labels(gpu=str(index))
            )
            if row.suffix:
                points += [Point((*own, ("le", str(bucket))), 1.0, "_bucket") for bucket in range(BUCKETS)]
                points += [Point(own, 1.5, "_sum"), Point(own, 2.0, "_count")]
            else:
                points += [Point(tuple(sorted((*own, row.only))) if row.only else own, 3.25)]
        found[row.series] = Series(row.series, Points.of(points))
    return Snapshot(found)


def timed(call: Callable[[], object]) -> float:
    """CPU seconds of a call."""
    began = time.process_time()
    call()
    return time.process_time() - began
