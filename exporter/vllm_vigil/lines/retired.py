"""Renamed files that are held open -> those that can be let go: read to their end, and nobody writes to them."""

from __future__ import annotations

from collections.abc import Sequence

from vllm_vigil.lines.generation import Generation

QUIET_SECONDS = 30.0
"""A renamed file is let go when it has not grown for so long, and the new one is written to or the old one deleted."""
RETIRED_LIMIT = 8
"""So many renamed files of one path stay open; beyond that the oldest that were read to their end are let go."""


def leaving(retired: Sequence[Generation], current: Generation | None, now: float) -> list[Generation]:
    """Which of the retired ones, oldest first, to let go; `now` is monotonic. Raises OSError."""
    everyone = [*retired, *([current] if current else [])]
    return [
        generation
        for index, generation in enumerate(retired)
        if not generation.waiting_bytes
        and not generation.held
        and (
            generation.complete
            or index < len(retired) - RETIRED_LIMIT
            or _forsaken(generation, everyone[index + 1 :], now)
        )
    ]


def _forsaken(generation: Generation, newer: Sequence[Generation], now: float) -> bool:
    """Whether a renamed file will not be written to again, as far as one can tell."""
    if now - generation.grown_at < QUIET_SECONDS:
        return False
    return any(other.size for other in newer) or generation.deleted
