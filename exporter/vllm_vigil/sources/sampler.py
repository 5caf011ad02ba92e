"""One source, asked on its interval for ever -> its newest reading, and its last good one while that is fresh.

Promise: `vigil_source_up` falls with the first failed reading; the series live on until `stale_after` (3 intervals
unless set), so that one timeout leaves no hole in a panel and a dead source leaves no number standing. The beat is
fixed: a slow answer does not shift the next one, and beats that passed meanwhile are left out, not made up for. A
source that knows when it has something to tell is asked then, too.

This is one of the three places of the program that catch `Exception`: what one source does not expect costs that
source its reading, and nothing else.
"""

from __future__ import annotations

import math
from typing import Protocol

from loguru import logger

from vllm_vigil.clock import Clock, Waker
from vllm_vigil.model import Reading
from vllm_vigil.telemetry import Telemetry

STALE_INTERVALS = 3


class Source(Protocol):
    """What can be sampled. `read` returns in bounded time and tells its troubles in `Reading.error`."""

    @property
    def source(self) -> str:
        """Kind of source, the label `source`."""

    @property
    def server(self) -> str:
        """Name of the vLLM server, "" for a source of the host."""

    async def read(self) -> Reading:
        """Ask once."""

    async def close(self) -> None:
        """Give back what is held."""


class Sampler:
    """Keeps one source's readings: `latest` is the newest, `good` the newest without an error. None before that."""

    def __init__(
        self,
        source: Source,
        interval_seconds: float,
        stale_after_seconds: float | None,
        clock: Clock,
        telemetry: Telemetry,
        news: Waker | None = None,
    ) -> None:
        self.source = source
        self.latest: Reading | None = None
        self.good: Reading | None = None
        self._interval = interval_seconds
        self._stale_after = STALE_INTERVALS * interval_seconds if stale_after_seconds is None else stale_after_seconds
        self._clock = clock
        self._telemetry = telemetry
        self._news = news

    def current(self, now: float) -> Reading | None:
        """The last good reading, if it is fresh at this monotonic time."""
        if self.good is None or now - self.good.at >= self._stale_after:
            return None
        return self.good

    async def run(self) -> None:
        """Ask on the beat until cancelled, then close the source."""
        self._telemetry.source_expected(self.source.source, self.source.server)
        due = self._clock.monotonic()
        try:
            while True:
                await self.ask()
                now = self._clock.monotonic()
                due += self._interval * (math.floor((now - due) / self._interval) + 1)
                await (self._news.wait(due - now) if self._news else self._clock.sleep(due - now))
        finally:
            await self.source.close()

    async def ask(self) -> None:
        """Take one reading and tell of it."""
        reading = await self._read()
        self._tell(reading)
        self.latest = reading
        if reading.error is None:
            self.good = reading
        self._telemetry.source_read(reading)

    async def _read(self) -> Reading:
        started = self._clock.monotonic()
        try:
            return await self.source.read()
        except Exception as error:
            now = self._clock.monotonic()
            text = f"a fault in the sidecar: {type(error).__name__}: {error}"[:200]
            if self.latest is None or self.latest.error != text:
                logger.exception("reading {} failed in a way that was not expected; please report it", self._name)
            return Reading(self.source.source, self.source.server, now, now - started, error=text)

    def _tell(self, reading: Reading) -> None:
        before = self.latest.error if self.latest else None
        if reading.error is not None and reading.error != before:
            logger.warning("{} cannot be read: {}", self._name, reading.error)
        elif reading.error is None and before is not None:
            logger.info("{} can be read again", self._name)

    @property
    def _name(self) -> str:
        return f"{self.source.source} {self.source.server}".strip()
