"""How far reading is behind, in seconds: the age of the oldest byte that was seen and not read yet."""

from __future__ import annotations

STEPS = 64


class Lag:
    """Remembers when the file was first seen at which size; bounded, by forgetting every other step."""

    def __init__(self) -> None:
        self._steps: list[tuple[float, int]] = []  # time, size; both growing

    def saw(self, now: float, size: int) -> None:
        """The file has this size now."""
        if not self._steps or size > self._steps[-1][1]:
            self._steps.append((now, size))
            if len(self._steps) > STEPS:
                del self._steps[1::2]  # the oldest stays, so that the lag is never told too small

    def seconds(self, now: float, at: int) -> float:
        """The age of what comes after an offset; 0 when nothing waits."""
        while self._steps and self._steps[0][1] <= at:
            if len(self._steps) == 1:
                return 0.0
            del self._steps[0]
        return now - self._steps[0][0] if self._steps else 0.0
