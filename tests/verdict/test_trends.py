"""Trends come from the snapshot, and go with what they came from."""

from __future__ import annotations

from vllm_vigil.model import Point, Series, Snapshot, labels
from vllm_vigil.series.catalogue import SPECS
from vllm_vigil.verdict.trends import Trends

FULL, PREEMPTED, GROWTH = (
    "llm_kv_cache_time_to_full_seconds",
    "llm_preemption_ratio",
    "llm_memory_growth_bytes_per_second",
)
ENGINE = labels(server="llama", engine="0", model_name="tiny")
MIB = 2**20


def snapshot(
    at: float, *, usage: float | None = None, preempted: float = 0, finished: float = 0, steps: float = 0
) -> Snapshot:
    """One engine, whose API server and worker grow by a MiB a minute each, and who holds 70 GB of a GPU."""
    api, worker = labels(server="llama", role="api_server"), labels(server="llama", role="worker", rank="TP0")
    held = labels(**dict(worker), gpu="0", uuid="GPU-0")
    values = {
        "llm_kv_cache_usage_ratio": [] if usage is None else [Point(ENGINE, usage)],
        "llm_preemptions_total": [Point(ENGINE, preempted)],
        "llm_requests_finished_total": [
            Point(labels(**dict(ENGINE), reason=reason), finished) for reason in ("stop", "length")
        ],
        "llm_engine_steps_total": [Point(ENGINE, steps)],
        "llm_process_resident_memory_bytes": [Point(api, 2e9 + at / 60 * MIB), Point(worker, 9e9 + at / 60 * MIB)],
        "llm_process_start_time_seconds": [Point(api, 5.0), Point(worker, 6.0)],
        "gpu_process_memory_bytes": [Point(held, 7e10)],
    }
    return Snapshot({name: Series(name, tuple(points)) for name, points in values.items() if points})


def told(shown: Snapshot) -> dict[str, dict[str, float]]:
    """The values by series and by the label that tells them apart."""
    return {
        each.name: {dict(point.labels).get("kind", "0"): round(point.value, 6) for point in each.points}
        for each in shown.series.values()
    }


def test_an_engine_that_fills_and_preempts_is_told_on_every_tick() -> None:
    """Also on the ticks between two that take numbers."""
    trends = Trends()
    found = told(Snapshot())
    for second in range(123):
        shown = snapshot(second, usage=0.4 + second / 1000, preempted=second, finished=second, steps=second)
        found = told(trends.tick(shown, float(second)))
    assert found == {FULL: {"0": 480.0}, PREEMPTED: {"0": 0.5}}


def test_what_it_came_from_is_gone_and_so_is_the_trend_on_the_same_tick() -> None:
    """Absent is absent."""
    trends = Trends()
    for second in range(123):
        trends.tick(snapshot(second, usage=0.4 + second / 1000, preempted=second, finished=second), float(second))
    assert FULL not in told(trends.tick(snapshot(123, preempted=123, finished=123), 123.0))
    assert trends.tick(Snapshot(), 124.0) == Snapshot()


def test_a_restart_of_the_engine_begins_the_forecast_anew() -> None:
    """Its cache is empty, and its steps count from 0."""
    trends = Trends()
    for second in range(0, 130, 5):
        trends.tick(snapshot(second, usage=0.1 + second / 1000, steps=second), float(second))
    assert told(trends.tick(snapshot(130, usage=0.9, steps=3), 130.0)) == {}


def test_memory_is_told_of_the_server_s_processes_together_and_of_its_gpus() -> None:
    """Two processes that grow by a MiB a minute each, and a pool that does not."""
    trends = Trends()
    found = trends.tick(snapshot(0.0, usage=0.5), 0.0)
    for minute in range(1, 200):
        found = trends.tick(snapshot(minute * 60.0, usage=0.5), minute * 60.0)
    assert told(found)[GROWTH] == {"host": round(2 * MIB / 60, 6), "gpu": 0.0}


def test_a_new_process_begins_the_growth_anew() -> None:
    """A worker that was restarted has not leaked what it holds."""
    trends = Trends()
    for minute in range(200):
        trends.tick(snapshot(minute * 60.0, usage=0.5), minute * 60.0)
    shown = snapshot(12_000.0, usage=0.5)
    again = tuple(Point(point.labels, 11_990.0) for point in shown.points("llm_process_start_time_seconds"))
    started = Series("llm_process_start_time_seconds", again)
    assert GROWTH not in told(trends.tick(Snapshot({**shown.series, started.name: started}), 12_000.0))


def test_every_trend_stands_in_the_catalogue_with_its_labels() -> None:
    """What is told carries no label that is not declared."""
    trends = Trends()
    found = trends.tick(snapshot(0.0, usage=0.5), 0.0)
    for minute in range(1, 200):
        found = trends.tick(snapshot(minute * 60.0, usage=0.5), minute * 60.0)
    assert found.series
    for each in found.series.values():
        assert all({name for name, _ in point.labels} <= set(SPECS[each.name].labels) for point in each.points)
