"""The sidecar's parts with points at which the process dies: around a read, a position, a commit and a delivery.

A kill throws away all that is in memory and what was not committed.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from standins.log_life import LogLife
from vllm_vigil.lines.mark import Place
from vllm_vigil.lines.news import LOOK, News
from vllm_vigil.lines.reader import Batch, Reader
from vllm_vigil.model import Incident, Line, Outcome, Reason, Stretch
from vllm_vigil.notifications.channel import Attempt
from vllm_vigil.notifications.message import Message
from vllm_vigil.state.store import Store

POINTS = ("read", "judged", "asked", "half stored", "stored", "committed", "sending", "sent")


class Killed(BaseException):
    """The process is gone. No `except Exception` may see it."""


@dataclass
class Fuse:
    """Where the process is to be killed next, "" nowhere."""

    point: str = ""

    def reach(self, point: str) -> None:
        """Die here, if this is the place."""
        if point == self.point:
            self.point = ""
            raise Killed(point)


class FusedStore(Store):
    """A store whose process can die around a commit."""

    fuse: Fuse
    kept: Callable[[], None]
    saving = False

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """What is written by one that dies inside is not there afterwards."""
        with super().transaction():
            self.saving = False
            yield
            self.fuse.reach("stored")
        if self.saving:
            self.kept()
        self.fuse.reach("committed")

    def save_position(self, name: str, body: str) -> None:
        """Remember that a position is among what is committed."""
        super().save_position(name, body)
        self.saving = True
        self.fuse.reach("half stored")

    def save_incident(self, incident: Incident) -> None:
        """Die with the incident written, and nobody told."""
        super().save_incident(incident)
        self.fuse.reach("half stored")


class FusedReader(Reader):
    """A reader that tells the model what it read, and whose process can die around it."""

    fuse: Fuse
    life: LogLife
    limit_bytes = 1 << 20
    order: list[bytes]
    dealt: int | None = None

    def read(self, max_bytes: int, news: News = LOOK) -> Batch:
        """Of fewer bytes, if so wished."""
        self.life.sees()
        batch = super().read(min(max_bytes, self.limit_bytes), news)
        lines = [each for line in batch.lines for each in _lines(line)]
        self.order += lines
        self.life.saw(lines)
        self.fuse.reach("read")
        return batch

    def positions(self, held: Iterable[Place] = ()) -> dict[str, str]:
        """Where the lines that were handed out have been judged; the model takes all after a held one for held."""
        self.fuse.reach("judged")
        places = list(held)
        self.dealt = min([self.order.index(each.data) for each in places if isinstance(each, Line)], default=None)
        bodies = super().positions(places)
        if not bodies:
            self.kept()
        self.fuse.reach("asked")
        return bodies

    def kept(self) -> None:
        """What `positions` gave last is stored."""
        self.life.kept(() if self.dealt is None else self.order[self.dealt :])


def _lines(line: Line | Stretch) -> list[bytes]:
    return [line.data] if isinstance(line, Line) else line.block[line.start : line.end].split(b"\n")[:-1]


@dataclass
class Provider:
    """Where one channel's messages arrive; `answer` is what it says to the next."""

    name: str
    fuse: Fuse
    arrived: list[tuple[Reason, str]] = field(default_factory=list)
    told: list[tuple[Reason, str]] = field(default_factory=list)  # whose arrival our process may not have noted yet
    noted: Counter[tuple[Reason, str]] = field(default_factory=Counter)
    answer: Outcome = Outcome.DELIVERED

    def send(self, message: Message, key: str) -> Attempt:
        """Take it, or not."""
        self.fuse.reach("sending")
        if self.answer is not Outcome.RETRY:
            self.arrived.append((Reason(message.title), key))
        self.fuse.reach("sent")
        if self.answer is Outcome.DELIVERED:
            self.told.append((Reason(message.title), key))
        return Attempt(self.answer)

    def note(self, *, alive: bool) -> None:
        """Our process has written down what it was answered; or it died before it did."""
        self.noted.update(self.told if alive else ())
        self.told = []
