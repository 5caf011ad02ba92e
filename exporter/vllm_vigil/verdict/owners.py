"""The processes on every GPU, tick by tick -> whose a GPU is: the one server that works on it, or was just there.

A GPU that is lost takes its server with it, and either may be seen first: an engine that has died a moment ago is on no
GPU any more. So what was seen counts for a minute, the time within which one trouble is told as one.
"""

from __future__ import annotations

from collections.abc import Collection

from vllm_vigil.model import Snapshot
from vllm_vigil.verdict.pulse import value_of

REMEMBERED_SECONDS = 60.0


class Owners:
    """Which servers were last seen on which GPU, by UUID."""

    def __init__(self) -> None:
        self._seen: dict[str, dict[str, float]] = {}
        self._nobody_can_tell = False

    def tick(self, snapshot: Snapshot, now: float) -> None:
        """Take in who is where now."""
        for point in snapshot.points("gpu_processes"):
            if server := value_of(point.labels, "server"):
                self._seen.setdefault(value_of(point.labels, "uuid"), {})[server] = now
        told = [point.value for point in snapshot.points("gpu_process_attribution_available")]
        if told:
            self._nobody_can_tell = not any(told)

    def of(self, uuid: str, servers: Collection[str], now: float) -> str:
        """The server of a GPU, "" if it has none or several; where nobody can tell, the only one there is."""
        seen = self._seen.get(uuid, {})
        on_it = [server for server, at in seen.items() if abs(now - at) <= REMEMBERED_SECONDS and server in servers]
        if not on_it and self._nobody_can_tell and len(servers) == 1:
            return next(iter(servers))
        return on_it[0] if len(on_it) == 1 else ""

    def move(self, seconds: float) -> None:
        """The wall clock was set by so much."""
        self._seen = {uuid: {who: at + seconds for who, at in seen.items()} for uuid, seen in self._seen.items()}
