"""A systemd unit, or the kernel -> the lines that journald keeps of it, from the cursor on where we left it.

A cursor is verified: the entry that it names must be the first to come, and is passed over. journalctl's own
`--after-cursor` does not look (systemd before 254), so that after a vacuum it loses an entry, or says nothing for
ever. When the entry is gone, we go on by its time instead and count that something may be lost.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from types import MappingProxyType

from loguru import logger

from vllm_vigil.clock import Clock
from vllm_vigil.lines.backlog import LATE_SECONDS, LOOK_BACK_SECONDS
from vllm_vigil.lines.entries import Entry, entry
from vllm_vigil.lines.journalctl import Journalctl
from vllm_vigil.lines.mark import Place
from vllm_vigil.lines.news import Key
from vllm_vigil.lines.report import GONE, Report
from vllm_vigil.lines.settings import KERNEL
from vllm_vigil.lines.split import LINE_LIMIT_BYTES
from vllm_vigil.model import Line

VERIFY_SECONDS = 5.0
LONGEST_WAIT_SECONDS = 60.0
HEALTHY_SECONDS = 60.0
PARTS = 4096
"""An entry may hold so many lines; its number times this is the offset of its first."""
TRAIL = 65_536
ENTRY_LIMIT_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Left:
    """Where the journal was left: the last entry dealt with, by cursor and by time (microseconds)."""

    cursor: str
    at: int
    version: int = 1


def left_from_json(body: str) -> Left:
    """Read a position back. Raises ValueError for anything that we did not write."""
    document = json.loads(body)
    try:
        left = Left(**document)
    except TypeError as error:
        raise ValueError(f"no position in a journal: {error}") from error
    if (left.version, type(left.cursor), type(left.at)) != (1, str, int):
        raise ValueError("no position in a journal")
    return left


class Journal:
    """Follows one unit, `kernel` being the kernel. `left` is None at the first sight."""

    idle = resting = False
    open_files = 0
    files: Mapping[Key, str] = MappingProxyType({})
    grown: tuple[Key, ...] = ()

    def __init__(self, name: str, server: str, report: Report, clock: Clock, left: Left | None) -> None:
        self.name = name
        self.server = server
        self.lag_bytes = 0
        self.used_at = 0.0
        self._report = report
        self._clock = clock
        self._began = int(clock.wall() * 1e6)
        self._left = left or Left("", self._began)
        self._first_sight = left is None
        self._child: Journalctl | None = None
        self._started_at = self._wait_seconds = 0.0
        self._next_start = clock.monotonic()
        self._verifying: Left | None = None
        self._complaint = ""
        self._block = b""
        self._raw = bytearray()
        self._cut: dict[str, tuple[Left, bytearray]] = {}  # stream -> where it began, the text so far
        self._trail: deque[tuple[str, int, Left]] = deque(maxlen=TRAIL)  # line -> what was dealt with before it

    @property
    def pipes(self) -> tuple[int, ...]:
        """See `Source`."""
        return self._child.pipes if self._child else ()

    @property
    def waiting(self) -> bool:
        """Whether a read would give something now."""
        return bool(self._block)

    # --- the child

    def look(self) -> bool:
        """See that journalctl runs, that it began where it should, and what it printed."""
        now = self._clock.monotonic()
        if self._child is None and now >= self._next_start:
            self._start(now)
        elif self._verifying and now - self._started_at >= VERIFY_SECONDS:
            self._tell_gone()
            self._drop_child()
            self._spawn(f"--since=@{self._left.at / 1e6:.6f}", now)
        self._print()
        self._measure()
        return True

    def _measure(self) -> None:
        """What waits to be read, and how long after the last entry that was read it is now."""
        self.lag_bytes = len(self._block)
        seconds = max(0.0, self._clock.wall() - self._left.at / 1e6) if self._block else 0.0
        self._report.lag(self.lag_bytes, seconds)

    def _start(self, now: float) -> None:
        if self._left.cursor:
            self._verifying = self._left
            self._spawn(f"--cursor={self._left.cursor}", now)
        else:
            back = LOOK_BACK_SECONDS if self._first_sight else 0.0
            self._spawn(f"--since=@{self._left.at / 1e6 - back:.6f}", now)

    def _spawn(self, begin: str, now: float) -> None:
        self._raw.clear()
        self._started_at = now
        self._complaint = ""
        try:
            self._child = Journalctl.start([begin, *_matches(self.name.partition(":")[2])])
        except OSError as error:
            self._fail(f"cannot be read, for journalctl cannot be started ({error.strerror}): follow a file instead")
            return
        self._report.good()

    def _print(self) -> None:
        """Take what journalctl printed; what it complains of is said once."""
        if self._child is None or self._block:
            return
        block = self._child.read()
        if block is None:
            self._fail(f"is not being read, for journalctl stopped ({self._child.last_words()})")
            return
        self._block = block
        complaint = self._child.last_words()
        if complaint != self._complaint:
            self._complaint = complaint
            self._report.say(f"may be read in part only; journalctl says: {complaint}")

    def _tell_gone(self) -> None:
        """The entry was vacuumed, or the journal is another one: we go on with what came after it in time."""
        logger.warning("log {!r}: the entry that was read last is gone from the journal; going on by time", self.name)
        self._report.gap(GONE, 0)
        self._verifying = None

    def _fail(self, what: str) -> None:
        self._drop_child()
        now = self._clock.monotonic()
        healthy = now - self._started_at >= HEALTHY_SECONDS
        self._wait_seconds = 1.0 if healthy else min(LONGEST_WAIT_SECONDS, max(1.0, 2 * self._wait_seconds))
        self._next_start = now + self._wait_seconds
        self._report.say(f"{what}; it is tried again")

    def _drop_child(self) -> None:
        if self._child:
            self._child.close()
        self._child = None

    # --- reading

    def read(self, share_bytes: int) -> list[Line]:
        """Lines of about so many bytes of what journalctl printed."""
        lines: list[Line] = []
        while self._block and share_bytes > 0:
            block, self._block = self._block, b""
            share_bytes -= len(block)
            lines += self._take(block)
            self._print()
        self._measure()
        return lines

    def _take(self, block: bytes) -> list[Line]:
        self._raw += block
        *whole, rest = self._raw.split(b"\n")
        self._raw = bytearray(rest) if len(rest) <= ENTRY_LIMIT_BYTES else bytearray()
        lines = []
        for raw in whole:
            found = entry(bytes(raw))
            if found and not self._known(found):
                lines += self._lines(found)
        return lines

    def _known(self, found: Entry) -> bool:
        """Whether an entry is the one that was read last, or older; the first one to come shows if the cursor holds."""
        if found.cursor == self._left.cursor:
            self._verifying = None
            return True
        if self._verifying:
            self._tell_gone()
        looking_back = self._first_sight and not self._left.cursor
        return found.at < self._left.at and not looking_back

    def _lines(self, found: Entry) -> list[Line]:
        before, self._left = self._left, Left(found.cursor, found.at)
        begun, text = self._cut.pop(found.stream, (before, bytearray()))
        text += found.text[: LINE_LIMIT_BYTES - len(text)]
        if found.cut:
            self._cut[found.stream] = (begun, text)
            return []
        generation, number = found.place
        self._trail.append((generation, number, begun))
        late = max(0.0, self._clock.wall() - found.at / 1e6)
        old = self._first_sight and found.at < self._began
        return [
            Line(
                self.name,
                data[data.rfind(b"\r") + 1 :],
                self.server,
                generation,
                number * PARTS + index,
                number * PARTS + index + 1,
                old=old,
                late_seconds=late if old or late >= LATE_SECONDS else 0.0,
            )
            for index, data in enumerate(bytes(text).rstrip(b"\r\n").split(b"\n")[: PARTS - 1])
        ]

    # --- position

    def position(self, held: Iterable[Place]) -> str:
        """The last entry that is dealt with."""
        places = {(place.generation, place.offset // PARTS) for place in held if place.file == self.name}
        while self._trail and places and self._trail[0][:2] not in places:
            self._trail.popleft()
        if not places:
            self._trail.clear()
        kept = [self._left, *(left for left, _ in self._cut.values()), *(each[2] for each in islice(self._trail, 1))]
        return json.dumps(asdict(min(kept, key=lambda left: left.at)))

    def park(self) -> None:
        """It holds no descriptor of a file."""

    def close(self) -> None:
        """End journalctl."""
        self._drop_child()


def _matches(unit: str) -> Sequence[str]:
    return ["_TRANSPORT=kernel"] if unit == KERNEL else [f"--unit={unit}"]
