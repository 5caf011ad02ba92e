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

    @property
    def row(self) -> str:
        """The figure, ours, the peer's, the ratio."""
        ours = f"{self.ours:.4g} {self.unit}"
        if self.peer is None:
            return f"{self.name:<44} {ours:>12}"
        peer = f"{self.peer:.4g} {self.unit}"
        return f"{self.name:<44} {ours:>12} {peer:>12} {self.ours / self.peer:>8.2f}  {self.peer_name}"
