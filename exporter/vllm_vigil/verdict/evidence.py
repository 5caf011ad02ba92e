"""Everything that is known of one engine on one tick, in one place: what the table of states looks at."""

from __future__ import annotations

from dataclasses import dataclass, field

from vllm_vigil.verdict.effort import Effort, Look, together
from vllm_vigil.verdict.memory import Probe
from vllm_vigil.verdict.pulse import Pulse


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the server answered, what its log and its processes tell, what the engine shows, who waits, what GPUs do.

    Its server: `error` is why its page could not be read, `health` the status of its `/health`, `life` what its log
    said last of its life (and how long ago), `young` the age of its newest process if that began after the last
    answer, `gone` that its processes were seen before and none is left.

    The engine: `still` and `moved` are seconds since the last sign of a step, the former counted only while its gauges
    say work. `clients` wait on it, None where connections are not seen; `waited` is for how long they do now without
    a sign of a step, `longest_wait` the longest that any did since the last one. `probe` is what a request of our
    own came to that was made since then.
    """

    error: str | None = None
    health: str = "200"
    life: str = ""
    life_seconds: float = 0.0
    young: float | None = None
    gone: bool = False

    pulse: Pulse | None = None
    still: float = 0.0
    moved: float = 0.0
    clients: int | None = None
    waited: float = 0.0
    longest_wait: float = 0.0
    looks: tuple[Look, ...] = field(default_factory=tuple)
    probe: Probe | None = None

    @property
    def answers(self) -> bool:
        """Whether its page could be read."""
        return self.error is None

    @property
    def refused(self) -> bool:
        """Whether neither its page nor its health could be had."""
        return not self.answers and self.health in ("", "unreachable")

    @property
    def work(self) -> float:
        """Requests that it holds by its gauges."""
        return self.pulse.work if self.pulse else 0.0

    @property
    def stuck(self) -> float:
        """Seconds for which somebody has waited, by the gauges or by connections, and no step was seen."""
        return max(self.still, self.waited)

    @property
    def effort(self) -> Effort | None:
        """What its GPUs do together; None where none can be seen."""
        return together(self.looks)

    @property
    def token(self) -> bool | None:
        """Whether a probe got its token; None if none was made."""
        return self.probe.answered if self.probe else None

    @property
    def token_words(self) -> str:
        """Why it got none."""
        return self.probe.words if self.probe else ""

    @property
    def held(self) -> str:
        """Its work in words."""
        pulse = self.pulse or Pulse()
        return f"{pulse.running:.0f} running, {pulse.waiting:.0f} waiting"
