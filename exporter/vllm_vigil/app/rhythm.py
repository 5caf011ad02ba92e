"""When the logs are read next: at once when a quiet one is written to, in any case when the timer says so.

The timer is the truth and a wake-up only shortens it, so it may be slow while wake-ups come. Where the kernel gives
none, or gives none for what the timer then finds (a file written from another machine), it is quick. After a read that
found something nothing is read for a while: 10,000 writes a second are then 16 reads.
"""

from __future__ import annotations

from vllm_vigil.clock import Clock, Waker
from vllm_vigil.lines.reader import Batch
from vllm_vigil.lines.wake import Pipes, Writes

PACE_SECONDS = 0.06
QUICK_SECONDS = 0.2
SLOW_SECONDS = 1.0
DEAF_SECONDS = 60.0
"""For so long after the timer found what no wake-up had told, the timer is quick."""


class Rhythm:
    """Waits between two reads. Used from the loop's thread only."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._waker = Waker(clock)
        self._writes = Writes(self._waker.wake)
        self._pipes = Pipes(self._waker.wake)
        self._hears = True
        self._woken = True
        self._deaf_until = 0.0

    def start(self) -> None:
        """Begin to listen, on the running loop."""
        self._writes.start()

    def stop(self) -> None:
        """Listen no more."""
        self._pipes.mute()
        self._writes.stop()

    def wake(self) -> None:
        """End the current or the next rest."""
        self._waker.wake()

    def listen(self, batch: Batch) -> None:
        """From now on, before the next read, hear of writes to what was open after the last one."""
        self._hears = self._writes.listen(batch.files)

    async def rest(self, batch: Batch, *, soon: bool) -> None:
        """Return when it is time to read again after a batch; `soon` that something is waited for in it."""
        if batch.lines:
            self._deaf_until = self._deaf_until if self._woken else self._clock.monotonic() + DEAF_SECONDS
            await self._clock.sleep(PACE_SECONDS)
        quick = soon or not self._hears or self._clock.monotonic() < self._deaf_until
        self._pipes.listen(batch.pipes)
        try:
            self._woken = await self._waker.wait(QUICK_SECONDS if quick else SLOW_SECONDS)
        finally:
            self._pipes.mute()
