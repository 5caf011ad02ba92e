"""One measured figure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """What was measured of us and, in the same run, of a peer."""

    name: str
    unit: str
    ours: float
    peer: float | None = None
    peer_name: str = ""
