"""The verdict on the engines -> the series that show it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache

from vllm_vigil.model import EngineHealth, EngineState, Labels, Point, Series, Snapshot, labels


def shown(engines: Iterable[EngineHealth], stops: Mapping[str, float]) -> Snapshot:
    """`llm_engine_state` as a state set, since when it is so, and how long ago the last step was; `stops` by server."""
    states: list[Point] = []
    starts: list[Point] = []
    ages: list[Point] = []
    for health in engines:
        which = _which(health)
        starts.append(Point(which, health.since))
        if health.step_age_seconds is not None:
            ages.append(Point(which, health.step_age_seconds))
        states += [Point(called, float(health.state is each)) for each, called in _each_state(which)]
    found = {
        "llm_engine_state": states,
        "llm_engine_state_start_time_seconds": starts,
        "llm_engine_step_age_seconds": ages,
        "llm_server_stop_requested_timestamp_seconds": [Point(labels(server=name), at) for name, at in stops.items()],
    }
    return Snapshot({name: Series(name, tuple(points)) for name, points in found.items() if points})


def _which(health: EngineHealth) -> Labels:
    return labels(server=health.server, engine=health.engine, model_name=health.model_name)


@lru_cache(maxsize=64)  # more engines than a sidecar watches; they are shown every second
def _each_state(which: Labels) -> tuple[tuple[EngineState, Labels], ...]:
    """Every state with the labels of its point."""
    return tuple((each, labels(**dict(which), state=each)) for each in EngineState)
