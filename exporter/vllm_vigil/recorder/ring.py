"""Numbers of a moment, second by second -> the last 15 minutes of all of them. Flat memory: one array a track.

A number that is not known at a moment is NaN there. A track that has not been seen for the whole ring is forgotten, and
beyond `MAX_TRACKS` new ones are not begun: 8 engines and 8 GPUs have 152.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping
from dataclasses import dataclass

from vllm_vigil.recorder.tracks import Track

SECONDS = 900
MAX_TRACKS = 1000


@dataclass(frozen=True, slots=True)
class Recording:
    """A copy of the ring, oldest first: when each moment was (epoch seconds), and every track at these moments."""

    times: array[float]
    tracks: Mapping[Track, array[float]]


class Ring:
    """The last moments."""

    def __init__(self, moments: int = SECONDS, max_tracks: int = MAX_TRACKS) -> None:
        self._empty = array("d", [math.nan]) * moments
        self._times = self._empty[:]
        self._tracks: dict[Track, array[float]] = {}
        self._seen: dict[Track, int] = {}
        self._max_tracks = max_tracks
        self._count = 0

    def __len__(self) -> int:
        return min(self._count, len(self._times))

    @property
    def tracks(self) -> int:
        """How many there are."""
        return len(self._tracks)

    def put(self, numbers: Mapping[Track, float], now: float) -> None:
        """One moment; `now` in epoch seconds."""
        slot = self._count % len(self._times)
        if slot == 0:
            self._forget()
        self._times[slot] = now
        for track in numbers.keys() - self._tracks.keys():
            if len(self._tracks) < self._max_tracks:
                self._tracks[track] = self._empty[:]
        for track, column in self._tracks.items():
            value = numbers.get(track)
            column[slot] = math.nan if value is None else value
            if value is not None:
                self._seen[track] = self._count
        self._count += 1

    def copy(self) -> Recording:
        """What there is, in the order of time; it does not change any more."""
        return Recording(self._ordered(self._times), {track: self._ordered(c) for track, c in self._tracks.items()})

    def _ordered(self, column: array[float]) -> array[float]:
        if self._count < len(column):
            return column[: self._count]
        slot = self._count % len(column)
        return column[slot:] + column[:slot]

    def _forget(self) -> None:
        old = [track for track in self._tracks if self._count - self._seen[track] >= len(self._times)]
        for track in old:
            del self._tracks[track], self._seen[track]
