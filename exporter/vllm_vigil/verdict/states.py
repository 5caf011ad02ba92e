"""The table of states: which evidence leads to which state. The first row that holds speaks.

The rows stand in the order of how much they prove. What a server answers comes before what its log says, and a GPU
that spins or works before the mere absence of steps. `docs/verdict.md` says the same with the cases behind it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from vllm_vigil.model import EngineState
from vllm_vigil.verdict.effort import Effort
from vllm_vigil.verdict.evidence import Evidence
from vllm_vigil.verdict.settings import VerdictSettings

UNCLEAR_TIMES = 3
"""How much longer than elsewhere an engine may show no step while what its GPUs do is not clear."""

MOST_GPUS = 8
"""GPUs that the reasons name."""

PHASES = {
    "starting": "starts",
    "loading": "loads its weights",
    "profiling": "measures how much memory the KV cache may have",
    "warming": "captures CUDA graphs and warms up",
}
"""What the log tells of a start, in words."""


class Row(NamedTuple):
    """A state, the evidence for it as people read it, the same as a condition, and the reason that is given."""

    state: EngineState
    evidence: str
    when: Callable[[Evidence, VerdictSettings], bool]
    why: Callable[[Evidence], str]


NO_ANSWER = (
    Row(
        EngineState.DEAD,
        "`/health` answers 500 or 503",
        lambda e, _: e.health in ("500", "503"),
        lambda e: f"its /health answers {e.health}",
    ),
    Row(
        EngineState.UNREACHABLE,
        "`/health` answers, `/metrics` cannot be read",
        lambda e, _: not e.answers and not e.refused,
        lambda e: f"its /metrics cannot be read: {e.error}",
    ),
    Row(
        EngineState.DEAD,
        "no answer, and the log said in the 10 min before that the engine died",
        lambda e, _: e.refused and e.life == "dead",
        lambda e: f"its log told of its end {e.life_seconds:.0f} s ago: {e.error}",
    ),
    Row(
        EngineState.STARTING,
        "no answer, and the log tells of a start, by phase",
        lambda e, _: e.refused and e.life in PHASES,
        lambda e: f"it {PHASES[e.life]}, as its log said {e.life_seconds:.0f} s ago",
    ),
    Row(
        EngineState.UNREACHABLE,
        "no answer, and the log said in the 10 min before that it was told to stop",
        lambda e, _: e.refused and e.life == "stopping",
        lambda e: f"it was told to stop {e.life_seconds:.0f} s ago: {e.error}",
    ),
    Row(
        EngineState.STARTING,
        "no answer, and its process began after the last one",
        lambda e, _: e.refused and e.young is not None,
        lambda e: f"its process began {e.young or 0.0:.0f} s ago and does not answer yet: {e.error}",
    ),
    Row(
        EngineState.DEAD,
        "no answer, and none of its processes is left",
        lambda e, _: e.refused and e.gone,
        lambda e: f"none of its processes is left: {e.error}",
    ),
    Row(
        EngineState.UNREACHABLE,
        "no answer, and nothing explains it",
        lambda e, _: e.refused,
        lambda e: f"{e.error}",
    ),
)
"""What is so of a whole server."""

NO_STEP = (
    Row(
        EngineState.FROZEN_METRICS,
        "work by the gauges, no step for `stalled_after`, and a probe got its token",
        lambda e, s: e.still >= s.stalled_after and e.token is True,
        lambda e: f"{e.held} by its gauges and no step for {e.still:.0f} s, but a probe got its token",
    ),
    Row(
        EngineState.SPINNING,
        "work by the gauges, or clients that wait, no step for `stalled_after`, and a GPU is near 100 % at idle watts "
        "and touches no memory",
        lambda e, s: e.stuck >= s.stalled_after and e.effort is Effort.SPINNING,
        lambda e: f"{e.held}, no engine step for {e.stuck:.0f} s, and a GPU that only spins",
    ),
    Row(
        EngineState.HEALTHY,
        "work, no step, but a GPU is busy at busy watts: for up to `longest_step`",
        lambda e, s: s.stalled_after <= e.still < s.longest_step and e.effort is Effort.WORKING,
        lambda e: f"{e.held}, no engine step for {e.still:.0f} s, but its GPU works as in a long prefill",
    ),
    Row(
        EngineState.HEALTHY,
        "work, no step, but the log said in the last 10 min that it was told to stop: it drains",
        lambda e, s: e.still >= s.stalled_after and e.life == "stopping",
        lambda e: f"{e.held}, and it was told to stop {e.life_seconds:.0f} s ago",
    ),
    Row(
        EngineState.STALLED,
        "a probe got no token, and no step for `stalled_after`, whether or not the gauges say work",
        lambda e, s: e.moved >= s.stalled_after and e.token is False,
        lambda e: f"{e.held}, no engine step for {e.moved:.0f} s, and a probe got no token: {e.token_words}",
    ),
    Row(
        EngineState.FROZEN_METRICS,
        "work by the gauges, no step for `stalled_after`, but no client is connected, nor was one for that long since "
        "the last step, which emptied it",
        lambda e, s: e.still >= s.stalled_after and e.clients == 0 and e.longest_wait < s.stalled_after,
        lambda e: (
            f"{e.held} by its gauges and no step for {e.still:.0f} s, but no client waits: the last step emptied it"
        ),
    ),
    Row(
        EngineState.STALLED,
        "work by the gauges and no step for `stalled_after`; for three times that where the GPUs are neither at rest, "
        "nor plainly at work, nor spinning",
        lambda e, s: e.still >= s.stalled_after * (UNCLEAR_TIMES if e.effort is Effort.UNCLEAR else 1),
        lambda e: f"{e.held}, and no engine step for {e.still:.0f} s",
    ),
)
"""What an engine is that shows no sign of a step."""

AT_WORK = (
    Row(
        EngineState.HEALTHY,
        "it answers, and its page has no numbers of an engine (`--disable-log-stats`): a hang cannot be seen there",
        lambda e, _: e.pulse is None,
        lambda _: "it answers, but tells no numbers of its engine",
    ),
    Row(
        EngineState.HEALTHY,
        "work, and a step lately",
        lambda e, _: e.work > 0,
        lambda e: f"{e.held}, last engine step {e.still:.0f} s ago",
    ),
    Row(
        EngineState.IDLE,
        "no work",
        lambda _, __: True,
        lambda _: "holds no request",
    ),
)

TABLE: tuple[Row, ...] = (
    *NO_ANSWER,
    Row(
        EngineState.ASLEEP,
        "the sleep gauge, or the log of a vLLM that has none, says that it sleeps",
        lambda e, _: (
            e.pulse is not None and (e.pulse.asleep or (e.pulse.asleep is None and e.life == "asleep")) is True
        ),
        lambda _: "put to sleep through the sleep API",
    ),
    *NO_STEP,
    *AT_WORK,
)


def shown(evidence: Evidence, settings: VerdictSettings) -> tuple[EngineState, tuple[str, ...]]:
    """The state that the evidence shows, and the reasons: the row's own first, then who waits and what the GPUs do."""
    row = next(row for row in TABLE if row.when(evidence, settings))
    return row.state, (row.why(evidence), *_details(evidence))


def _details(evidence: Evidence) -> tuple[str, ...]:
    if not evidence.answers or not evidence.stuck:
        return ()
    number = evidence.clients
    clients = () if number is None else (f"{number} {'client is' if number == 1 else 'clients are'} connected",)
    return (*clients, *(look.words for look in evidence.looks[:MOST_GPUS]))
