"""What a batch is read from: a file that is followed, a journal, standard input."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Protocol

from vllm_vigil.lines.mark import Place
from vllm_vigil.lines.news import Key
from vllm_vigil.model import Line, Stretch


class Source(Protocol):
    """One log, whatever it is made of. `used_at` (monotonic) is when it last gave anything."""

    name: str
    server: str
    lag_bytes: int
    used_at: float

    @property
    def files(self) -> Mapping[Key, str]:
        """Its files, open or parked, each with a path that leads to it."""
        ...

    @property
    def open_files(self) -> int:
        """How many descriptors of files it holds."""
        ...

    @property
    def grown(self) -> Collection[Key]:
        """Its files that the last look saw grown since the one before."""
        ...

    @property
    def pipes(self) -> tuple[int, ...]:
        """The descriptors of what is no file and becomes readable when there is something to read."""
        ...

    @property
    def waiting(self) -> bool:
        """Whether a read would give something now."""
        ...

    @property
    def resting(self) -> bool:
        """Whether it has nothing to do until one of its files is written to, or something happens to its path."""
        ...

    @property
    def idle(self) -> bool:
        """Whether it can be parked."""
        ...

    def look(self) -> bool:
        """See what there is to read; False if nothing has changed since the last look."""
        ...

    def read(self, share_bytes: int) -> Sequence[Line | Stretch]:
        """Lines out of about so many bytes."""

    def position(self, held: Iterable[Place]) -> str | None:
        """The body to store, None if there is none or none can be given now."""

    def park(self) -> None:
        """Give descriptors back."""

    def close(self) -> None:
        """Give everything back."""
