"""What one GPU does, as numbers -> what that is: work, a kernel that spins, rest, or not clear. A pure table.

The tell of a hung kernel is a GPU that is busy all the time, yet draws hardly more than at rest and touches no memory
(eugr/spark-vllm-docker#260, vllm#40926, vllm#51921: 16-27 W where work takes 45 W, 135 W where it takes 250-550 W). A
long prefill, a batch of images and the capture of a graph draw what work draws.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

QUIET_UTILIZATION = 0.10
SPINNING_UTILIZATION = 0.90
WORKING_LEVEL = 0.6
"""Where between its idle watts (0) and the low edge of its busy ones (1) the power of a GPU begins to mean work."""

SOME_LEVEL = 0.3
"""Above this, power means work if memory is touched too."""

SILENT_MEMORY = 0.02
BUSY_SHARE_OF_LIMIT, IDLE_SHARE_OF_LIMIT, IDLE_SHARE_OF_BUSY = 0.5, 0.1, 0.25
"""What is taken for its bands until they are learned."""


class Effort(StrEnum):
    """What a GPU does."""

    WORKING = "working"
    SPINNING = "spinning"
    QUIET = "quiet"
    UNCLEAR = "unclear"


@dataclass(frozen=True, slots=True)
class Look:
    """One GPU over the last seconds: ratios from 0 to 1, watts; None is what it does not tell, or is not learned."""

    gpu: str
    utilization: float
    memory: float | None = None
    watts: float | None = None
    limit_watts: float | None = None
    idle_watts: float | None = None
    busy_watts: float | None = None
    busy_memory: float | None = None

    @property
    def effort(self) -> Effort:
        """What it does. Power or memory alone never say more than "not clear"."""
        level, touched = self._level(), self._touches_memory()
        if self.utilization < QUIET_UTILIZATION:
            return Effort.QUIET
        if level is None:
            return Effort.UNCLEAR
        if touched is not False and level >= (SOME_LEVEL if touched else WORKING_LEVEL):
            return Effort.WORKING
        if not touched and level < WORKING_LEVEL and self.utilization >= SPINNING_UTILIZATION:
            return Effort.SPINNING
        return Effort.UNCLEAR

    @property
    def words(self) -> str:
        """The same for people."""
        parts = [f"GPU {self.gpu} at {self.utilization:.0%}"]
        if self.memory is not None:
            parts.append(f"memory {self.memory:.0%}")
        if self.watts is not None:
            known = [("idle", self.idle_watts), ("busy from", self.busy_watts)]
            bands = ", ".join(f"{name} {watts:.0f} W" for name, watts in known if watts is not None)
            parts.append(f"{self.watts:.0f} W" + (f" ({bands})" if bands else ""))
        return ", ".join(parts).replace("%", " %")

    def _level(self) -> float | None:
        """How its power lies between rest (0) and work (1)."""
        busy, idle = self.busy_watts, self.idle_watts
        if busy is None and self.limit_watts:
            busy = BUSY_SHARE_OF_LIMIT * self.limit_watts
            idle = IDLE_SHARE_OF_LIMIT * self.limit_watts if idle is None else idle
        if self.watts is None or busy is None:
            return None
        idle = IDLE_SHARE_OF_BUSY * busy if idle is None else idle
        return (self.watts - idle) / (busy - idle) if busy > idle else None

    def _touches_memory(self) -> bool | None:
        if self.memory is None:
            return None
        return self.memory > max(SILENT_MEMORY, 0.2 * (self.busy_memory or 0.0))


def together(looks: Iterable[Look]) -> Effort | None:
    """What the GPUs of one engine do: one that works speaks for all, since the others wait for it; None without any."""
    found = {look.effort for look in looks}
    order = (Effort.WORKING, Effort.SPINNING, Effort.UNCLEAR, Effort.QUIET)
    return next((effort for effort in order if effort in found), None)
