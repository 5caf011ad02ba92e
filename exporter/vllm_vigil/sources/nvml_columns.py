"""Answers of many calls -> two columns, keys and values, of which the keys stay the same object while they can.

A machine of 8 GPUs gives 2,000 samples a second that are called the same every time. Whoever comes later in the chain
works a key out once and knows by its identity that nothing new has come.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from operator import is_

from vllm_vigil.model import Labels

Key = tuple[str, Labels]


@dataclass(slots=True)
class Column:
    """What one call, or one GPU, gave last."""

    keys: tuple[Key, ...] = ()
    values: tuple[float, ...] = ()

    def take(self, pairs: Sequence[tuple[Key, float]]) -> None:
        """A new answer; its keys only if they are others than before."""
        keys = tuple([key for key, _ in pairs])
        if keys != self.keys:
            self.keys = keys
        self.values = tuple([value for _, value in pairs])


@dataclass(slots=True)
class Stitched(Column):
    """Columns one below the other."""

    _of: tuple[tuple[Key, ...], ...] = ()

    def stitch(self, columns: Iterable[Column]) -> Column:
        """Take in the columns as they are now; gives itself."""
        columns = list(columns)
        of = tuple([column.keys for column in columns])
        if len(of) != len(self._of) or not all(map(is_, of, self._of)):
            self._of = of
            self.keys = tuple(chain.from_iterable(of))
        self.values = tuple(chain.from_iterable([column.values for column in columns]))
        return self
