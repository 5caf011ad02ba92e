"""The figures of a server -> what to change about its size, in one sentence with the numbers that led to it.

A row a case; the first that fits speaks. The bounds are rules of thumb: queueing is the sign of too little, idle GPUs
with an empty KV cache the sign of too much; a full KV cache alone is how vLLM is meant to run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from vllm_vigil.report.figures import Gpu, Server
from vllm_vigil.report.text import percent

MANY_WAITING = 10.0
MANY_PREEMPTIONS = 0.05
LITTLE_BUSY = 0.3
LITTLE_CACHE = 0.4
WELL_BUSY = 0.7


@dataclass(frozen=True, slots=True)
class Load:
    """What the size is judged by. GPU figures are means over the server's GPUs, None where there are none."""

    waiting: float
    cache: float | None
    preemptions: float
    busy: float | None
    busy_p95: float | None

    @property
    def gpus_idle(self) -> bool:
        """Whether the GPUs have little to do also when they have most."""
        return self.busy_p95 is not None and self.busy_p95 < LITTLE_BUSY

    def says(self) -> str:
        """The numbers, in words."""
        parts = [f"95 % of the time at most {self.waiting:.0f} requests wait"]
        if self.cache is not None:
            parts.append(f"the KV cache is at most {percent(self.cache, 0)} full")
        if self.busy is not None and self.busy_p95 is not None:
            parts.append(
                f"the GPUs are busy {percent(self.busy, 0)} of the time and at most {percent(self.busy_p95, 0)}"
            )
        return ", ".join(parts)


@dataclass(frozen=True, slots=True)
class Case:
    """When a server is of the wrong or the right size, and what to do then."""

    fits: Callable[[Load], bool]
    text: str


CASES = (
    Case(
        lambda load: load.waiting >= MANY_WAITING and load.gpus_idle,
        "Requests wait while the GPUs are idle: look at --max-num-seqs, at the host's CPU and at long prompts before "
        "you buy GPUs.",
    ),
    Case(
        lambda load: load.waiting >= MANY_WAITING,
        "Too small: requests wait for it. Add a replica, or GPU memory for a larger KV cache.",
    ),
    Case(
        lambda load: load.preemptions >= MANY_PREEMPTIONS,
        "The KV cache is too small for the batch: lower --max-num-seqs, raise --gpu-memory-utilization, or add memory.",
    ),
    Case(
        lambda load: load.gpus_idle and load.cache is not None and load.cache < LITTLE_CACHE,
        "Larger than it needs to be: fewer or smaller GPUs would do, or it can take another model's traffic.",
    ),
    Case(
        lambda load: load.busy_p95 is not None and load.busy_p95 >= WELL_BUSY,
        "Well used: it has no room for much more at the peaks.",
    ),
    Case(lambda load: True, "Of the right size for what came."),  # noqa: ARG005  # the last row takes every load
)


def advice(server: Server) -> str:
    """The sentence, and what it is based on; "" for a server that did nothing all month."""
    if server.tokens <= 0:
        return "It was not used: it can be switched off."
    load = _load(server)
    found = next(case for case in CASES if case.fits(load))
    return f"{found.text} ({load.says()}.)"


def _load(server: Server) -> Load:
    numbers = server.numbers
    requests = numbers.get("requests", 0.0)
    return Load(
        waiting=numbers.get("waiting_p95", 0.0),
        cache=numbers.get("kv_cache_p95"),
        preemptions=numbers.get("preemptions", 0.0) / requests if requests else 0.0,
        busy=_mean(server.gpus, lambda gpu: gpu.busy),
        busy_p95=_mean(server.gpus, lambda gpu: gpu.busy_p95),
    )


def _mean(gpus: tuple[Gpu, ...], read: Callable[[Gpu], float | None]) -> float | None:
    known = [value for gpu in gpus if (value := read(gpu)) is not None]
    return sum(known) / len(known) if known else None
