"""Time and what is known of a server -> whether to ask it now, and what for. Pure: the tick is its clock."""

from __future__ import annotations

from enum import Enum, auto

from vllm_vigil.probe.settings import ProbeSettings


class Occasion(Enum):
    """Why a server is asked."""

    DOUBT = auto()  # the passive signs disagree: one token decides
    CANARY = auto()  # it is time again


class Schedule:
    """When a server was last asked."""

    def __init__(self, settings: ProbeSettings) -> None:
        self._settings = settings
        self._began: float | None = None
        self._canary: float | None = None

    def due(self, now: float, *, doubted: bool, serving: bool, failed: bool = False) -> Occasion | None:
        """What to ask for now (monotonic seconds), which then counts as begun; a doubt goes first.

        `failed` is how the last one ended: without a schedule it would be said for ever of a server that is well again.
        """
        if self._began is not None and now - self._began < self._settings.at_most_every:
            return None
        every = self._settings.every
        if doubted or (failed and serving and every is None):
            self._began = now
            return Occasion.DOUBT
        if serving and every is not None and (self._canary is None or now - self._canary >= every):
            self._began = self._canary = now
            return Occasion.CANARY
        return None
