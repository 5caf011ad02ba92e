"""What a `Pump` took from standard input -> lines. There is no position: what passed has passed."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from loguru import logger

from vllm_vigil.clock import Clock
from vllm_vigil.lines.lag import Lag
from vllm_vigil.lines.mark import Place
from vllm_vigil.lines.news import Key
from vllm_vigil.lines.pump import Pump
from vllm_vigil.lines.report import DROPPED, TOO_LONG, Report
from vllm_vigil.lines.settings import STDIN
from vllm_vigil.lines.sift import Left, Sieve, cut
from vllm_vigil.lines.split import Piece, Splitter
from vllm_vigil.model import Line, Stretch


class Stdin:
    """Gives the lines of standard input."""

    idle = resting = False
    open_files = 0
    files: Mapping[Key, str] = MappingProxyType({})
    grown: tuple[Key, ...] = ()

    def __init__(self, server: str, report: Report, clock: Clock, pump: Pump, sieve: Sieve | None = None) -> None:
        self.name = STDIN
        self.server = server
        self.lag_bytes = 0
        self.used_at = 0.0
        self._report = report
        self._clock = clock
        self._pump = pump
        self._sieve = sieve
        self._lines = Splitter(0)
        self._lag = Lag()
        self._generation = f"{STDIN}-{os.getpid()}-{clock.wall():.0f}"
        self._over = False

    @property
    def pipes(self) -> tuple[int, ...]:
        """See `Source`."""
        return (self._pump.bell,)

    @property
    def waiting(self) -> bool:
        """Whether a read would give something now."""
        return self.lag_bytes > 0 or (self._pump.ended and not self._over)

    def look(self) -> bool:
        """See how much waits."""
        now = self._clock.monotonic()
        self.lag_bytes = self._pump.waiting_bytes
        self._lag.saw(now, self._lines.at + self.lag_bytes)
        self._report.lag(self.lag_bytes, self._lag.seconds(now, self._lines.at))
        if not self._over:
            self._report.good()
        return True

    def read(self, share_bytes: int) -> list[Line | Stretch]:
        """Lines out of about so many bytes."""
        data, dropped = self._pump.take(share_bytes)
        if dropped:
            self._report.gap(DROPPED, dropped)
            logger.warning("standard input came faster than it was judged: {} bytes were passed over", dropped)
        pieces = list(cut(data, self._lines, self._sieve))
        if self._pump.ended and not self._pump.waiting_bytes and not self._over:
            self._over = True
            pieces += [last for last in (self._lines.finish(),) if last]
            self._report.say("has ended: the server has closed its output, or is gone; the metrics are watched on")
        self._report.gap(TOO_LONG, self._lines.take_cut())
        self.look()
        return [self._line(piece) for piece in pieces]

    def _line(self, piece: Piece | Left) -> Line | Stretch:
        if isinstance(piece, Left):
            at, levels = piece.at, piece.levels
            return Stretch(self.name, piece.block, piece.start, piece.end, at, self.server, self._generation, levels)
        return Line(self.name, piece.data, self.server, self._generation, piece.offset, piece.end, piece.soft)

    def position(self, held: Iterable[Place]) -> None:  # nothing can be read again
        """There is none."""

    def park(self) -> None:
        """It holds no descriptor of a file."""

    def close(self) -> None:
        """The pump goes on: a reload makes another of these."""
