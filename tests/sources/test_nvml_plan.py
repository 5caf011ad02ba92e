"""What is asked seldom is spread over time, so that no reading of eight GPUs asks much more than the next."""

from __future__ import annotations

from collections import Counter

from vllm_vigil.sources.nvml_columns import Sheet
from vllm_vigil.sources.nvml_plan import Turn, batches_of, calls_of

GPUS = 8
DEAR = {"gpu_energy_joules_total", "gpu_temperature_margin_celsius", "fields"}
"""What takes a real GPU a millisecond or more, every 10 s."""


def seconds_of(turn: Turn) -> set[int]:
    """The seconds of two minutes after the first reading in which it is asked."""
    turn.took_place(0.0)
    found = set()
    for now in range(1, 121):
        if turn.due <= now:
            turn.took_place(float(now))
            found.add(now)
    return found


def asked(gpu: int) -> list[tuple[str, set[int]]]:
    """The slow calls and fields of a GPU, by the first series that they give, and when they are asked."""
    options = frozenset({"no_serial"})
    calls = [(call.rows[0].spec.name, call.turn) for call in calls_of(options, gpu, Sheet())]
    fields = [("fields", batch.turn) for batch in batches_of(18, gpu, Sheet())]
    return [(name, seconds_of(turn)) for name, turn in (*calls, *fields) if turn.every_seconds]


def test_every_second_has_its_share() -> None:
    """Eight GPUs of 21 calls in 10 s and 30 in 60 s: about 22 a second, and never twice as many."""
    counts = Counter(second for gpu in range(GPUS) for _, seconds in asked(gpu) for second in seconds)
    assert set(range(1, 121)) == counts.keys()
    assert max(counts.values()) < 2 * sum(counts.values()) / len(counts)


def test_the_dear_ones_of_a_gpu_do_not_fall_together() -> None:
    """Nor does one of them fall in the same second on all GPUs."""
    for gpu in range(GPUS):
        dear = [seconds for name, seconds in asked(gpu) if name in DEAR and len(seconds) > 2]
        assert len(DEAR) == len(dear)
        assert sum(map(len, dear)) == len(set[int]().union(*dear))
    energy = [seconds for gpu in range(GPUS) for name, seconds in asked(gpu) if name == "gpu_energy_joules_total"]
    assert sum(map(len, energy)) == len(set[int]().union(*energy))
