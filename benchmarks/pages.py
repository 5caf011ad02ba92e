"""vLLM's page -> snapshot, and snapshot -> our page, beside prometheus_client on the same text in the same run.

The page is a recorded one, and the same with more engines. All numbers change from one reading to the next.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from itertools import cycle
from pathlib import Path

from prometheus_client import Metric, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from benchmarks.figure import Figure
from vllm_vigil.exposition.lines import TYPES, Lines
from vllm_vigil.model import Reading, Snapshot
from vllm_vigil.series.catalogue import spec_of
from vllm_vigil.series.normalise import Normaliser
from vllm_vigil.sources.page import Parser

CAPTURE = Path(__file__).parents[1] / "tests" / "data" / "captures" / "metrics-0.32.0-after-load.txt"
ROUNDS, RUNS = 5, 6


def measure(_: Path) -> Iterator[Figure]:
    """Milliseconds: reading warm and cold, and writing."""
    page = CAPTURE.read_text()
    for engines in (1, 13):
        text = with_engines(page, engines)
        yield from _reading(text)
    for engines in (2, 13):
        yield _writing(with_engines(page, engines))


def with_engines(page: str, engines: int) -> str:
    """The page of a server with so many engines."""
    return "".join(
        line.replace('engine="0"', f'engine="{engine}"')
        for line in page.splitlines(keepends=True)
        for engine in range(engines if 'engine="0"' in line else 1)
    )


def moved(page: str) -> str:
    """The page with other numbers: what has not changed we do not write again."""
    return re.sub(r" (\d+)\.(\d+)$", lambda match: f" {int(match[1]) + 3}.{match[2]}", page, flags=re.MULTILINE)


def _reading(text: str) -> Iterator[Figure]:
    name = f"vLLM text of {len(text) / 1000:.0f} KB to snapshot"
    parser, normaliser = Parser(), Normaliser()
    bodies = cycle((text.encode(), moved(text).encode()))
    snapshot_of(text.encode(), parser, normaliser)
    peer, warm, cold = milliseconds(
        lambda: list(text_string_to_metric_families(text)),
        lambda: snapshot_of(next(bodies), parser, normaliser),
        lambda: snapshot_of(text.encode(), Parser(), Normaliser()),
    )
    yield Figure(f"{name}, warm", "ms", warm, peer, "prometheus_client's parser alone")
    yield Figure(f"{name}, first page", "ms", cold, peer, "prometheus_client's parser alone")


def snapshot_of(body: bytes, parser: Parser, normaliser: Normaliser) -> Snapshot:
    """What the sidecar does with a page."""
    samples, error = parser.parse(body)
    assert error is None
    return normaliser.normalise(Reading("vllm", "llama", 0.0, 0.0, samples, {"version": "0.32.0"})).snapshot


def _writing(text: str) -> Figure:
    parser, normaliser = Parser(), Normaliser(10**6)
    snapshots = cycle([snapshot_of(body.encode(), parser, normaliser) for body in (text, moved(text))])
    count = sum(len(series.points) for series in next(snapshots).series.values())
    lines = Lines(spec_of)
    families = _Families(next(snapshots))
    ours, peer = milliseconds(
        lambda: lines.write(next(snapshots).series.values(), openmetrics=False).encode(),
        lambda: generate_latest(families),
    )
    return Figure(f"rendering {count} series", "ms", ours, peer, "generate_latest")


class _Families(Collector):
    """A snapshot as prometheus_client collects it."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def collect(self) -> Iterator[Metric]:
        for series in self._snapshot.series.values():
            spec = spec_of(series.name)
            kind = TYPES[spec.kind]
            metric = Metric(series.name.removesuffix("_total") if kind == "counter" else series.name, spec.help, kind)
            for point in series.points:
                metric.add_sample(series.name + point.suffix, dict(point.labels), point.value)
            yield metric


def milliseconds(*calls: Callable[[], object]) -> tuple[float, ...]:
    """CPU time of each call, the best of many. They take turns, so that what else the machine does meets them alike."""
    rounds = [[min(_seconds(call) for _ in range(RUNS)) for call in calls] for _ in range(ROUNDS)]
    return tuple(1000 * min(times) for times in zip(*rounds, strict=True))


def _seconds(call: Callable[[], object]) -> float:
    began = time.process_time()
    call()
    return time.process_time() - began
