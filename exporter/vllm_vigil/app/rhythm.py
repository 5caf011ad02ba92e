"""When the logs are read next, and which of them: at once one that is written to, and each when the timer says so.

The timer is the truth and a wake-up only shortens it, so it may be slow while wake-ups come; slower the more files it
has to look at, so that a crowd of quiet ones costs no more than a hundred. Where the kernel tells of no writes, or not
of those that the timer then finds (to a file system that another machine writes to), it is quick for such files. The
first few reads after a silence are made at once, so that a lone line waits for nothing; then one in `PACE_SECONDS`, so
that 10,000 writes a second are 12 reads.
"""

from __future__ import annotations

import math

from vllm_vigil.clock import Clock, Waker
from vllm_vigil.lines.news import Key, News
from vllm_vigil.lines.reader import Batch
from vllm_vigil.lines.wake import Pipes, Writes

PACE_SECONDS = 0.08
SPARE_READS = 5
"""So many may be made at once, and each is earned by `PACE_SECONDS` in which there was none."""
QUICK_SECONDS = 0.2
SLOW_SECONDS = 1.0
SWEEP_SECONDS = 0.01
"""For each followed path: so long after the last one everything is looked at, if that is more than `SLOW_SECONDS`."""
NAMED_SECONDS = 0.001
"""The same when names come and go, if that is more than `PACE_SECONDS`: as often as they may, it is a bounded cost."""
DEAF_SECONDS = 600.0
"""For so long after a file grew and nothing was told, nothing is thought to be told of any file of its device."""


class Rhythm:
    """Waits between two reads. Used from the loop's thread only."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._waker = Waker(clock)
        self._writes = Writes(self._waker.wake)
        self._pipes = Pipes(self._waker.wake)
        self._unheard: frozenset[Key] = frozenset()
        self._deaf_until: dict[int, float] = {}  # device -> when it is believed again
        self._everything = False  # something has happened to a name
        self._swept_at = -math.inf
        self._paced_until = -math.inf  # the reads that were made last use up the time until then

    def start(self) -> None:
        """Begin to listen, on the running loop."""
        self._writes.start()

    def stop(self) -> None:
        """Listen no more."""
        self._pipes.mute()
        self._writes.stop()

    def wake(self) -> None:
        """Something has happened to a name: look at everything, now or when the last such look is long enough ago."""
        if not self._everything:
            self.hurry()
        self._everything = True

    def hurry(self) -> None:
        """End the current or the next rest."""
        self._waker.wake()

    def listen(self, batch: Batch) -> News:
        """From now on, before the next read, hear of writes to what was open after the last one; what to look at."""
        now = self._clock.monotonic()
        heard = self._writes.listen(batch.files, batch.grown)
        self._deaf_until |= {device: now + DEAF_SECONDS for device, _ in heard.untold}
        deaf = {device for device, until in self._deaf_until.items() if now < until}
        self._unheard = heard.unheard | ({key for key in batch.files if key[0] in deaf} if deaf else set())
        everything = now >= self._sweep_at(batch)
        if everything:
            self._everything, self._swept_at = False, now
        return News(everything, heard.stirred | self._unheard)

    async def rest(self, batch: Batch, *, soon: bool) -> None:
        """Return when it is time to read again after a batch; `soon` that something is waited for in it."""
        if (batch.lines or batch.grown) and (pause := self._pause_seconds()) > 0:
            await self._clock.sleep(pause)
        seconds = QUICK_SECONDS if soon or self._unheard else SLOW_SECONDS
        if self._everything:
            seconds = min(seconds, self._sweep_at(batch) - self._clock.monotonic())
        self._pipes.listen(batch.pipes)
        try:
            await self._waker.wait(seconds)
        finally:
            self._pipes.mute()

    def _sweep_at(self, batch: Batch) -> float:
        """When everything is to be looked at next, as things stand."""
        least, each = (PACE_SECONDS, NAMED_SECONDS) if self._everything else (SLOW_SECONDS, SWEEP_SECONDS)
        return self._swept_at + max(least, each * len(batch.followed))

    def _pause_seconds(self) -> float:
        """For how long nothing is to be read after a read that found something."""
        now = self._clock.monotonic()
        self._paced_until = max(self._paced_until, now - SPARE_READS * PACE_SECONDS) + PACE_SECONDS
        return round(self._paced_until - now, 6)  # sums of fractions are off by less
