"""What is known around memory that ran out, what is found about it, and the numbers that both are reckoned with."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

GIB, MIB = 2.0**30, 2.0**20
UTILIZATION = 0.90
"""vLLM's default through 0.31; later ones have 0.92. The lower of both gives the lower value, which starts."""
HIGHEST_UTILIZATION = 0.95
LOWEST_UTILIZATION = 0.30
"""Below this a lower utilization is no fix: hardly anything would be left for the KV cache."""
HEADROOM_RATIO, LEAST_HEADROOM = 0.01, 0.5 * GIB
LEAST_POOL = 1.0 * GIB
FOREIGN_LEAST = 1.0 * GIB


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What is known beside the record: the server's settings, and the host at that time. None and "" if not known.

    `held` is what others than this server hold of the GPU, and `holder` who holds most of it; `limit` is that of the
    server's cgroup, all in bytes.
    """

    settings: Mapping[str, float] = field(default_factory=dict)
    total: float | None = None
    held: float | None = None
    holder: str = ""
    limit: float | None = None


@dataclass(frozen=True, slots=True)
class Triage:
    """The cause as a label, and the line; both "" where nothing can be said for sure."""

    cause: str = ""
    fix: str = ""


NOTHING = Triage()
Look = Callable[[str, Mapping[str, str]], Surroundings]
"""Gives the surroundings of a server at this moment, for a sign with these fields (`gpu`, `process`)."""


def end_of(holder: str, held: float, total: float, utilization: float) -> str:
    """End who holds it, or share the GPU: what it leaves, less room for what vLLM takes beyond its share.

    While the model is loaded a smaller share is no way out: weights are as large as they are (`utilization` 0).
    """
    who = holder or "the other process"
    fits = math.floor((total - held - max(HEADROOM_RATIO * total, LEAST_HEADROOM)) / total * 100) / 100
    share = (
        f", or start vLLM with --gpu-memory-utilization {fits:.2f}" if LOWEST_UTILIZATION <= fits < utilization else ""
    )
    return f"End {who} (see nvidia-smi), which holds {gib(held)} of the GPU's {gib(total)}{share}."


def gib(value: float) -> str:
    """Bytes for people: three digits, in GiB."""
    return f"{value / GIB:.2f} GiB" if value < 10 * GIB else f"{value / GIB:.1f} GiB"
