"""What a batch is read from: a file that is followed, a journal, standard input."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from vllm_vigil.lines.outset import Place
from vllm_vigil.model import Line, Stretch


class Source(Protocol):
    """One log, whatever it is made of. `used_at` (monotonic) is when it last gave anything."""

    name: str
    server: str
    lag_bytes: int
    used_at: float

    @property
    def files(self) -> Mapping[tuple[int, int], int]:
        """The files that it holds open: device and inode -> descriptor."""
        ...

    @property
    def pipes(self) -> tuple[int, ...]:
        """The descriptors of what is no file and becomes readable when there is something to read."""
        ...

    @property
    def keys(self) -> frozenset[tuple[int, int]]:
        """Device and inode of its files."""
        ...

    @property
    def waiting(self) -> bool:
        """Whether a read would give something now."""
        ...

    @property
    def idle(self) -> bool:
        """Whether it can be parked."""
        ...

    def look(self) -> None:
        """See what there is to read."""

    def read(self, share_bytes: int) -> Sequence[Line | Stretch]:
        """Lines out of about so many bytes."""

    def position(self, held: Iterable[Place]) -> str | None:
        """The body to store, None if there is none or none can be given now."""

    def park(self) -> None:
        """Give descriptors back."""

    def close(self) -> None:
        """Give everything back."""
