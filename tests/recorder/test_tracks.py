"""What is recorded comes from the series of the contract, under the names of engines and GPUs."""

from __future__ import annotations

from vllm_vigil.model import EngineHealth, EngineState, Point, Series, Snapshot, labels
from vllm_vigil.recorder.tracks import ROWS, STATES, Taker, Track
from vllm_vigil.series.catalogue import SPECS

ENGINE = labels(server="llama", engine="1", model_name="tiny")
GPU = labels(gpu="3", uuid="GPU-3")


def test_every_row_takes_a_series_of_the_catalogue() -> None:
    """With the label by which it chooses."""
    for row in ROWS:
        spec = SPECS[row.series]
        assert row.only is None or row.only[0] in spec.labels
        assert row.counts == (spec.kind in ("counter", "histogram"))


def test_numbers_are_taken_by_engine_and_by_gpu() -> None:
    """The parts of a histogram, the one clock and temperature that matter, and the state as its place."""
    shown = {
        "llm_requests_running": (Point(ENGINE, 7.0),),
        "llm_kv_cache_usage_ratio": (Point(ENGINE, 0.5), Point(labels(**dict(ENGINE) | {"model_name": "b"}), 0.2)),
        "llm_time_to_first_token_seconds": (
            Point(labels(**dict(ENGINE), le="0.1"), 3.0, "_bucket"),
            Point(ENGINE, 4.5, "_sum"),
            Point(ENGINE, 9.0, "_count"),
        ),
        "gpu_clock_hertz": (
            Point(labels(**dict(GPU), clock="sm"), 1.98e9),
            Point(labels(**dict(GPU), clock="memory"), 1.0),
        ),
    }
    health = EngineHealth("llama", "1", "tiny", EngineState.STALLED, 0.0)
    found = Taker().take(Snapshot({name: Series(name, points) for name, points in shown.items()}), [health])
    assert found == {
        Track("engine", "llama/1", "state"): float(STATES.index(EngineState.STALLED)),
        Track("engine", "llama/1", "running"): 7.0,
        Track("engine", "llama/1", "kv_cache"): 0.5,
        Track("engine", "llama/1", "ttft_seconds"): 4.5,
        Track("engine", "llama/1", "ttft_count"): 9.0,
        Track("gpu", "3", "clock"): 1.98e9,
    }


def test_what_is_absent_is_not_recorded() -> None:
    """Never a 0."""
    assert Taker().take(Snapshot(), []) == {}


def test_numbers_go_with_their_series_and_come_with_the_next() -> None:
    """What was taken of the last tick serves only while the series is the same."""
    taker, running = Taker(), "llm_requests_running"
    first, second = (Snapshot({running: Series(running, (Point(ENGINE, value),))}) for value in (1.0, 2.0))
    taken = [list(taker.take(each, []).values()) for each in (first, first, second, Snapshot(), second)]
    assert taken == [[1.0], [1.0], [2.0], [], [2.0]]
