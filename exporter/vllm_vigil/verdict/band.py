"""Samples of one number while something was so -> where it then lies: its low edge and its middle."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

KEPT = 180
ENOUGH = 6
"""Samples after which a band is believed."""

LOW = 0.1


@dataclass(slots=True)
class Band:
    """The last `KEPT` samples, so that a few odd ones move neither edge, and what is no longer so is forgotten."""

    low: float | None = None
    middle: float | None = None
    _samples: deque[float] = field(default_factory=lambda: deque(maxlen=KEPT))

    def learn(self, value: float) -> None:
        """One more sample."""
        self._samples.append(value)
        if len(self._samples) >= ENOUGH:
            ordered = sorted(self._samples)
            self.low = ordered[int(LOW * len(ordered))]
            self.middle = ordered[len(ordered) // 2]
