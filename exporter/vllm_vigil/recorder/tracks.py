"""The table of what is recorded each second: one row per number of an engine or a GPU.

Counters are kept as they are and become rates when they are looked at, so that nothing is lost between two readings.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from vllm_vigil.model import EngineHealth, EngineState, Labels, Points, Series, Snapshot

ENGINE, GPU = "engine", "gpu"
STATES = tuple(EngineState)
"""A state is recorded as its place here, which is the order of the contract."""


class Track(NamedTuple):
    """One line of numbers: of what kind of thing, of which (`llama/0`; `3` for a GPU), and which number of it."""

    kind: str
    of: str
    name: str


@dataclass(frozen=True, slots=True)
class Row:
    """One number: the series that it is taken from, the part of a histogram, and the one label that tells it apart."""

    kind: str
    name: str
    series: str
    unit: str
    counts: bool = False
    suffix: str = ""
    only: tuple[str, str] | None = None


ROWS: tuple[Row, ...] = (
    Row(ENGINE, "running", "llm_requests_running", "requests"),
    Row(ENGINE, "waiting", "llm_requests_waiting", "requests"),
    Row(ENGINE, "kv_cache", "llm_kv_cache_usage_ratio", "ratio"),
    Row(ENGINE, "generation_tokens", "llm_generation_tokens_total", "tokens", counts=True),
    Row(ENGINE, "prompt_tokens", "llm_prompt_tokens_total", "tokens", counts=True),
    Row(ENGINE, "preemptions", "llm_preemptions_total", "preemptions", counts=True),
    Row(ENGINE, "steps", "llm_engine_steps_total", "steps", counts=True),
    Row(ENGINE, "ttft_seconds", "llm_time_to_first_token_seconds", "seconds", counts=True, suffix="_sum"),
    Row(ENGINE, "ttft_count", "llm_time_to_first_token_seconds", "requests", counts=True, suffix="_count"),
    Row(ENGINE, "itl_seconds", "llm_inter_token_latency_seconds", "seconds", counts=True, suffix="_sum"),
    Row(ENGINE, "itl_count", "llm_inter_token_latency_seconds", "tokens", counts=True, suffix="_count"),
    Row(ENGINE, "e2e_seconds", "llm_e2e_request_latency_seconds", "seconds", counts=True, suffix="_sum"),
    Row(ENGINE, "e2e_count", "llm_e2e_request_latency_seconds", "requests", counts=True, suffix="_count"),
    Row(GPU, "power", "gpu_power_watts", "watts"),
    Row(GPU, "clock", "gpu_clock_hertz", "hertz", only=("clock", "sm")),
    Row(GPU, "memory", "gpu_memory_used_bytes", "bytes"),
    Row(GPU, "utilization", "gpu_utilization_ratio", "ratio"),
    Row(GPU, "temperature", "gpu_temperature_celsius", "celsius", only=("sensor", "gpu")),
)
STATE = "state"
UNITS = {row.name: row.unit for row in ROWS} | {STATE: "state"}
COUNTED = frozenset(row.name for row in ROWS if row.counts)

_NAMES: dict[tuple[str, Labels], str] = {}
"""Label sets to names of things; the labels of a page are the same objects from tick to tick."""
_MOST_NAMES = 4096


class Taker:
    """Takes the numbers of one tick after the other; of a series that is the same object as before, the same."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[Series | None, dict[Track, float]]] = {}

    def take(self, snapshot: Snapshot, engines: Iterable[EngineHealth]) -> dict[Track, float]:
        """Every number of a tick, by its track. What the snapshot does not know is not in it."""
        found = {
            Track(ENGINE, f"{each.server}/{each.engine}", STATE): float(STATES.index(each.state)) for each in engines
        }
        for row in ROWS:
            series = snapshot.series.get(row.series)
            kept = self._kept.get(row.name)
            if kept is None or kept[0] is not series:
                kept = self._kept[row.name] = (series, _taken(series, row) if series else {})
            found |= kept[1]
        return found


def _taken(series: Series, row: Row) -> dict[Track, float]:
    found: dict[Track, float] = {}
    both = max if row.unit == "ratio" else operator.add
    for pairs, value in _numbers(series, row):
        track = Track(row.kind, _named(row.kind, pairs), row.name)
        before = found.get(track)  # of several models of one engine
        found[track] = value if before is None else both(before, value)
    return found


def _numbers(series: Series, row: Row) -> Iterator[tuple[Labels, float]]:
    points = Points.of(series.points)
    for pairs, value, suffix in zip(points.labels, points.values, points.suffixes, strict=True):
        if suffix == row.suffix and (row.only is None or row.only in pairs):
            yield pairs, value


def _named(kind: str, labels: Labels) -> str:
    name = _NAMES.get((kind, labels))
    if name is None:
        known = dict(labels)
        server = f"{known.get('server', '')}/{known.get('engine', '0')}"
        name = server if kind == ENGINE else known.get("gpu", "")
        if len(_NAMES) >= _MOST_NAMES:
            _NAMES.clear()
        _NAMES[kind, labels] = name
    return name
