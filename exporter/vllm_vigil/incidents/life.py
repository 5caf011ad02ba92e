"""What the log and the series tell of one server's life: starts, readiness, wanted stops. All times are handed in."""

from __future__ import annotations

from collections import deque
from dataclasses import asdict, dataclass, field
from typing import Any

from vllm_vigil.incidents.burst import Fix
from vllm_vigil.incidents.rules import Rule
from vllm_vigil.incidents.said import settings, size
from vllm_vigil.incidents.sign import Sign
from vllm_vigil.model import Event

HEALTHY_SECONDS = 300.0
STARTING_SECONDS = 1800.0
EARLY_SECONDS = 5.0  # the processes of one server write a stop in any order
LATE_SECONDS = 120.0
RECENT = 5
STARTED, READY, STOPPING = "server_started", "server_ready", "server_stopping"
_MOMENTS = ("started_at", "ready_at", "trouble_at", "stop_at", "served_at", "serving_since", "served_from")


@dataclass(slots=True)
class Life:
    """One server. `recent` are the signs that did not open anything yet: rule, time, line.

    `served_from` is when the last stretch began in which it served. `settings` are the numbers among the arguments of
    its last start, and by how much its memory was short then.
    """

    starts: list[float] = field(default_factory=list)
    started_at: float | None = None
    ready_at: float | None = None
    trouble_at: float | None = None  # the first crash since it was ready
    stop_at: float | None = None
    stopped: bool = False
    served_at: float | None = None
    serving_since: float | None = None
    served_from: float | None = None
    settings: dict[str, float] = field(default_factory=dict)
    recent: deque[tuple[str, float, str]] = field(default_factory=lambda: deque(maxlen=RECENT))

    def start(self, at: float, window_seconds: float) -> int:
        """It starts; how many times it has, without a healthy stretch or a wanted stop in between."""
        up = (self.trouble_at or at) - self.ready_at if self.ready_at is not None else 0.0
        if self.stopped or up >= HEALTHY_SECONDS:
            self.starts.clear()
        self.starts = [*(start for start in self.starts if start >= at - window_seconds), at][-100:]
        self.started_at, self.ready_at, self.trouble_at, self.stopped = at, None, None, False
        return len(self.starts)

    def learn(self, event: Event) -> None:
        """What its log says of its life, and of its settings for when its memory runs out."""
        if event.kind == READY:
            self.ready(event.at)
        elif event.kind == STOPPING:
            self.stop(event.at)
        elif event.kind == STARTED:
            self.settings = settings(event.record.message)
        elif event.kind == "kv_memory_short":
            short = size(f"{event.fields.get('short', '')} GiB") or 0.0
            self.settings["short_bytes"] = max(short, self.settings.get("short_bytes", 0.0))

    def ready(self, at: float) -> None:
        """It answers requests from now on."""
        self.ready_at, self.trouble_at, self.stopped = at, None, False

    def stop(self, at: float) -> None:
        """Somebody asked it to stop."""
        self.stop_at, self.stopped = at, True

    def tick(self, now: float, serving_since: float | None) -> None:
        """The series say since when it serves, None if it does not."""
        self.serving_since = serving_since
        if serving_since is None:
            return
        self.served_at, self.served_from = now, serving_since
        if now - serving_since >= HEALTHY_SECONDS:
            self.starts.clear()
        if self.stop_at is not None and serving_since > self.stop_at:
            self.stopped = False

    def adjust(self, fix: Fix) -> None:
        """The clock was set: correct every time."""
        self.starts = [*map(fix, self.starts)]
        for name in _MOMENTS:
            at = getattr(self, name)
            setattr(self, name, None if at is None else fix(at))
        self.recent = deque(((rule, fix(at), line) for rule, at, line in self.recent), maxlen=RECENT)

    def explains(self, rule: Rule, at: float, *, found: bool) -> bool:
        """Whether something is as it should be: the end of a server that was told to end, a start that takes long."""
        if rule.id == "engine_stalled" and not found:
            starting = self.started_at is not None and self.ready_at is None
            return starting and at - (self.started_at or 0.0) < STARTING_SECONDS
        if self.stop_at is None or not (rule.consequence or rule.id == "worker_died"):
            return False
        after = at - self.stop_at
        return after >= -EARLY_SECONDS and (self.stopped or (found and after <= LATE_SECONDS))

    def served_since(self, at: float, settle_seconds: float) -> bool:
        """Whether it has served again since a crash; a reading just after it may still be of the time before."""
        if self.ready_at is not None and self.ready_at > at:
            return True
        if self.serving_since is not None and self.serving_since > at:
            return True
        return self.served_at is not None and self.served_at > at + settle_seconds

    def came_back_since(self, at: float) -> bool:
        """Whether it has begun to serve anew since then; one that has never ceased to has not."""
        return any(moment is not None and moment > at for moment in (self.ready_at, self.served_from))

    def note(self, sign: Sign) -> None:
        """Keep the line of a sign that opens nothing by itself: it may be what led to what comes next."""
        self.recent.append((sign.rule.id, sign.at, sign.line))

    def remember(self) -> dict[str, Any]:
        """Everything, for after a restart."""
        return asdict(self) | {"recent": list(self.recent)}

    @classmethod
    def restored(cls, memory: dict[str, Any]) -> Life:
        """The life that an earlier process remembered."""
        known = {name: memory[name] for name in cls.__slots__ if name in memory}  # another version may know others
        recent = ((rule, at, line) for rule, at, line in memory.get("recent", ()))
        return cls(**known | {"recent": deque(recent, maxlen=RECENT)})
