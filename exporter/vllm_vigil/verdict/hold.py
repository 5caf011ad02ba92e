"""What the evidence says on each tick -> the state that is said, which does not flap.

Two rules. A state that was once said stands for `HOLD_SECONDS` at least, whatever is shown meanwhile. And a state is
said only after the evidence for it has lasted as long as the table below asks: a single failed reading is no outage,
a pause between two requests no idleness, and one step in a minute no recovery.
"""

from __future__ import annotations

from dataclasses import dataclass

from vllm_vigil.model import EngineState

HOLD_SECONDS = 10.0

STUCK = frozenset({EngineState.STALLED, EngineState.SPINNING, EngineState.FROZEN_METRICS})
MOVING = frozenset({EngineState.HEALTHY, EngineState.IDLE})

IDLE_AFTER_SECONDS = 10.0
UNREACHABLE_AFTER_SECONDS = 8.0
OTHER_WAY_SECONDS = 10.0
RECOVERED_AFTER_SECONDS = 10.0


def lasting(said: EngineState, shown: EngineState) -> float:
    """How long a state must be shown before it takes the place of the one that is said."""
    if said in STUCK:
        return RECOVERED_AFTER_SECONDS if shown in MOVING else OTHER_WAY_SECONDS if shown in STUCK else 0.0
    if shown is EngineState.IDLE and said is EngineState.HEALTHY:
        return IDLE_AFTER_SECONDS
    return UNREACHABLE_AFTER_SECONDS if shown is EngineState.UNREACHABLE else 0.0


@dataclass(slots=True)
class Said:
    """The state that is said: since when (epoch seconds), and why. Other times are seconds watched."""

    state: EngineState | None = None
    since: float = 0.0
    reasons: tuple[str, ...] = ()
    changed_at: float = float("-inf")
    shown: EngineState | None = None
    shown_since: float = 0.0

    def settle(self, shown: EngineState, reasons: tuple[str, ...], now: float, wall: float) -> None:
        """Take in what the evidence of this tick says. The first is believed at once."""
        if shown is not self.shown:
            self.shown, self.shown_since = shown, now
        if shown is self.state:
            self.reasons = reasons
        elif self.state is None:
            self.state, self.since, self.reasons = shown, wall, reasons
        elif self._may_change(self.state, shown, now):
            self.state, self.since, self.reasons, self.changed_at = shown, wall, reasons, now

    def _may_change(self, said: EngineState, shown: EngineState, now: float) -> bool:
        held = now - self.changed_at >= HOLD_SECONDS
        return held and now - self.shown_since >= lasting(said, shown)
