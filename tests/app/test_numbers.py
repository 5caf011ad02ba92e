"""The numbers that a message holds, from a snapshot."""

from __future__ import annotations

from vllm_vigil.app.numbers import numbers
from vllm_vigil.model import Point, Series, Snapshot, labels

GIB = 2**30


def snapshot(**series: list[tuple[dict[str, str], float]]) -> Snapshot:
    """Series by name, each with labels and values."""
    return Snapshot(
        {
            name: Series(name, tuple(Point(labels(**pairs), value) for pairs, value in points))
            for name, points in series.items()
        }
    )


def test_a_server_s_numbers_are_its_own() -> None:
    """The fullest KV cache, its queues in sum, the fullest GPU of the host, start and version."""
    llama, other = {"server": "llama"}, {"server": "other"}
    found = snapshot(
        llm_kv_cache_usage_ratio=[(llama | {"engine": "0"}, 0.5), (llama | {"engine": "1"}, 0.994), (other, 1.0)],
        llm_requests_running=[(llama | {"engine": "0"}, 1.0), (llama | {"engine": "1"}, 2.0)],
        llm_requests_waiting=[(llama, 41.0)],
        gpu_memory_used_bytes=[({"gpu": "0"}, 8.0 * GIB), ({"gpu": "1"}, 79.1 * GIB)],
        gpu_memory_total_bytes=[({"gpu": "0"}, 80.0 * GIB), ({"gpu": "1"}, 80.0 * GIB)],
        llm_server_start_time_seconds=[(llama, 1_780_000_000.0)],
        llm_engine_info=[(other | {"vllm_version": "0.6.0"}, 1.0), (llama | {"vllm_version": "0.32.0"}, 1.0)],
    )
    assert (
        ("kv_cache", "99 %"),
        ("running", "3"),
        ("waiting", "41"),
        ("gpu_memory", "79.1 of 80.0 GiB"),
        ("started", "2026-05-28 20:26:40 UTC"),
        ("vllm", "0.32.0"),
    ) == numbers(found, "llama")


def test_what_is_not_known_is_left_out() -> None:
    """Never a 0 for "not known"."""
    assert numbers(Snapshot(), "llama") == ()
