"""Reading by reading, what an engine shows -> for how long it has held work and given no sign of a step.

Times are seconds watched. Only readings count, not the ticks between them: nothing can move while nobody looks.
"""

from __future__ import annotations

from dataclasses import dataclass

from vllm_vigil.verdict.pulse import Pulse


@dataclass(slots=True)
class Heart:
    """`moved_at` is the last reading in which a sign of a step had changed; `work_since` None while it holds none."""

    pulse: Pulse | None = None
    moved_at: float = 0.0
    read_at: float = 0.0
    work_since: float | None = None

    def beat(self, pulse: Pulse, now: float) -> None:
        """Take in one reading. An engine that sleeps or wakes begins anew."""
        before = self.pulse
        if before is None or pulse.signs != before.signs or pulse.asleep != before.asleep or pulse.asleep:
            self.moved_at = now
        if not pulse.work:
            self.work_since = None
        elif self.work_since is None:
            self.work_since = now
        self.pulse, self.read_at = pulse, now

    def still(self, now: float | None = None) -> float:
        """Seconds without a sign while it held work by its gauges, up to the last reading, or to that time."""
        if self.pulse is None or not self.pulse.counts or self.work_since is None:
            return 0.0
        return max(0.0, (self.read_at if now is None else now) - max(self.moved_at, self.work_since))

    def rests(self, now: float, seconds: float) -> bool:
        """Whether it has held nothing and shown nothing for so long."""
        return self.work_since is None and now - self.moved_at >= seconds

    def moves(self, now: float, seconds: float) -> bool:
        """Whether it has shown a sign of a step in the last so many seconds."""
        return now - self.moved_at < seconds
