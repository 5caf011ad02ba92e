"""What can happen to an engine, as scenes for `standins.watch`, with what vLLM's /health says and what we must say.

The cases of public reports carry their numbers. `run` plays one; `python -m standins.cases docs/verdict.md` plays all
and writes the table into that page between its marks, with the cases that were measured on a real vLLM.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from standins.watch import BUSY_GPU, IDLE_GPU, SERVER, SPINNING_GPU, START, Watch, watching
from vllm_vigil.model import EngineState
from vllm_vigil.verdict.states import TABLE

BEGIN, END = "<!-- cases: begin -->", "<!-- cases: end -->"
STATES_BEGIN, STATES_END = "<!-- states: begin -->", "<!-- states: end -->"
REAL = Path(__file__).parents[1] / "data" / "verdict" / "real.json"

WORK: dict[str, object] = {
    "running": 8.0,
    "waiting": 2.0,
    "kv": 0.4,
    "rate": 20.0,
    "connections": 10.0,
    "gpus": (BUSY_GPU,),
}
REST: dict[str, object] = {
    "running": 0.0,
    "waiting": 0.0,
    "kv": 0.0,
    "rate": 0.0,
    "connections": 0.0,
    "gpus": (IDLE_GPU,),
}
DOWN: dict[str, object] = {"error": "connection refused", "health": "unreachable", "connections": 0.0}
UP: dict[str, object] = {"error": None, "health": "200"}

STALLED, SPINNING, FROZEN = EngineState.STALLED, EngineState.SPINNING, EngineState.FROZEN_METRICS
HEALTHY, IDLE, STARTING = EngineState.HEALTHY, EngineState.IDLE, EngineState.STARTING
ASLEEP, DEAD, UNREACHABLE = EngineState.ASLEEP, EngineState.DEAD, EngineState.UNREACHABLE

Happening = Callable[[Watch], None]


def known(watch: Watch, **scene: object) -> None:
    """An hour and a half in which the bands of the GPUs are learned: rest, then work."""
    watch.go(900, **{**REST, **scene})
    watch.go(900, **{**WORK, **scene})


@dataclass(frozen=True, slots=True)
class Case:
    """`says` are the states that may be said while it happens, the last of which must be; `page` is the rule, or ""."""

    happened: str
    health: str
    says: tuple[EngineState, ...]
    then: Happening
    page: str = ""
    before: Happening = known


@dataclass(frozen=True, slots=True)
class Outcome:
    """One row of the table. `seconds` until the state was said, None if it was said all along; likewise the page."""

    happened: str
    health: str
    said: str
    seconds: float | None = None
    page: str = ""
    page_seconds: float | None = None
    real: bool = False


def only(**changes: object) -> Happening:
    """Nothing but that, for ten minutes."""
    return lambda watch: _go(watch, 600, **changes)


def _go(watch: Watch, seconds: int, **changes: object) -> None:
    watch.go(seconds, **changes)


# --- hangs


def _gb10(watch: Watch) -> None:
    """A GPU without a power limit, and without memory activity."""
    watch.set(limit_watts=None)
    watch.go(900, **{**REST, "gpus": ((0.0, None, 9.0),)})
    watch.go(900, **{**WORK, "gpus": ((0.96, None, 45.0),)})


def _rtx(watch: Watch) -> None:
    watch.set(limit_watts=600.0)
    watch.go(900, **{**REST, "gpus": ((0.0, 0.0, 28.0),) * 2})
    for watts in (250.0, 400.0, 550.0, 300.0):
        watch.go(300, **{**WORK, "gpus": ((0.97, 0.5, watts),) * 2})


def _wedged_at_zero(watch: Watch) -> None:
    watch.go(600, **REST)
    watch.happens()
    watch.go(600, connections=3.0, gpus=(SPINNING_GPU,))


def _clients_leave_a_hang(watch: Watch) -> None:
    watch.go(120, rate=0.0, gpus=(IDLE_GPU,))
    watch.go(600, connections=0.0)


def _livelock(watch: Watch) -> None:
    for waiting in range(1, 121):
        watch.go(5, **{**REST, "waiting": float(waiting), "connections": float(waiting)})


def _unanswered_probe(watch: Watch) -> None:
    watch.go(600, **REST)
    watch.happens()
    watch.verdict.hear_probe(SERVER, answered=False, began=watch.wall, words="no token within 10 s")
    watch.go(120)


# --- gauges that lie


def _all_hang_up(watch: Watch) -> None:
    watch.go(600, rate=0.0, running=8.0, waiting=52.0, kv=0.99, connections=0.0, gpus=(IDLE_GPU,))


def _with_a_pool(watch: Watch) -> None:
    known(watch, connections=2.0)
    watch.go(900, **{**REST, "connections": 2.0})
    watch.go(300, **WORK)


# --- what only looks like a hang


def _long_prefill(watch: Watch) -> None:
    watch.go(95, rate=0.0, running=1.0, waiting=30.0, connections=31.0, gpus=((1.0, 0.5, 640.0),))
    watch.go(120, **WORK)


def _chunks(watch: Watch) -> None:
    for chunk in range(1, 41):
        watch.go(5, rate=0.0, running=1.0, waiting=0.0, kv=0.02 * chunk, connections=1.0)
    watch.go(60, rate=20.0)


def _images(watch: Watch) -> None:
    watch.go(60, rate=0.0, waiting=64.0, connections=64.0, gpus=((0.9, 0.2, 380.0),))
    watch.go(60, **WORK)


def _capture(watch: Watch) -> None:
    watch.go(45, rate=0.0, gpus=((0.75, 0.3, 330.0),))
    watch.go(60, **WORK)


def _sleep(watch: Watch) -> None:
    watch.go(60, **REST)
    watch.happens()
    watch.go(600, asleep=True, waiting=3.0, connections=3.0)


def _wake(watch: Watch) -> None:
    _sleep(watch)
    watch.happens()
    watch.go(3, asleep=False, gpus=(BUSY_GPU,))
    watch.go(60, **WORK)


def _drain(watch: Watch) -> None:
    watch.verdict.hear(SERVER, "stopping", watch.wall)
    watch.go(90, rate=0.0, running=2.0, waiting=0.0, connections=2.0, gpus=(IDLE_GPU,))
    watch.happens()
    watch.go(300, **DOWN)


def _start_by_log(watch: Watch) -> None:
    watch.verdict.hear(SERVER, "stopping", watch.wall)
    watch.go(20, **DOWN)
    watch.happens()
    for phase, seconds in (("starting", 20), ("loading", 400), ("profiling", 40), ("warming", 60)):
        watch.verdict.hear(SERVER, phase, watch.wall)
        watch.go(seconds, gpus=((0.3, 0.3, 150.0),))


def _seen(watch: Watch) -> None:
    watch.set(began=START - 9000, host=True)
    known(watch)


def _start_by_process(watch: Watch) -> None:
    watch.go(20, **DOWN, began=watch.wall)
    watch.go(500)


def _restart(watch: Watch) -> None:
    watch.go(7, **DOWN)
    watch.go(120, **{**WORK, **UP}, steps=3.0)


def _misses(watch: Watch) -> None:
    for _ in range(60):
        watch.go(5, error="/metrics timed out after 5 s", health="unreachable")
        watch.go(10, **UP)


def _bursts(watch: Watch) -> None:
    for _ in range(60):
        watch.go(7, **WORK)
        watch.go(13, **REST)


def _throttled(watch: Watch) -> None:
    watch.go(600, rate=0.3, gpus=((1.0, 0.1, 120.0),))


def _log_says_dead(watch: Watch) -> None:
    watch.verdict.hear(SERVER, "dead", watch.wall)
    watch.go(120, **DOWN)


CASES: tuple[Case, ...] = (
    Case(
        "A kernel hangs; `num_requests_running` reads 0, 3 clients wait, GPU 100 % at 130 W (vllm#37729)",
        "200",
        (HEALTHY, IDLE, SPINNING),
        _wedged_at_zero,
        "engine_stalled",
    ),
    Case(
        "A kernel hangs on a GB10: 96 % at 22 W where work takes 45 W (spark-vllm-docker#260)",
        "200",
        (HEALTHY, SPINNING),
        only(rate=0.0, gpus=((0.96, None, 22.0),)),
        "engine_stalled",
        _gb10,
    ),
    Case(
        "A kernel hangs on two RTX PRO 6000: 100 % at 135 W where work takes 250-550 W (vllm#51921)",
        "200",
        (HEALTHY, SPINNING),
        only(rate=0.0, gpus=((1.0, 0.0, 135.0),) * 2),
        "engine_stalled",
        _rtx,
    ),
    Case(
        "A collective hangs: one GPU at rest, the others spin (vllm#40926)",
        "200",
        (HEALTHY, SPINNING),
        only(rate=0.0, gpus=(IDLE_GPU, SPINNING_GPU, SPINNING_GPU)),
        "engine_stalled",
    ),
    Case(
        "A kernel hangs in the first minutes, before any band is learned",
        "200",
        (HEALTHY, SPINNING),
        only(rate=0.0, gpus=(SPINNING_GPU,)),
        "engine_stalled",
        lambda watch: _go(watch, 30, **WORK),
    ),
    Case(
        "The scheduler deadlocks: gauges frozen, GPUs at rest; in rotation for 85 minutes (Fastllm-proxy#19)",
        "200",
        (HEALTHY, STALLED),
        only(rate=0.0, gpus=(IDLE_GPU,)),
        "engine_stalled",
    ),
    Case(
        "The same, and no GPU and no connection can be seen",
        "200",
        (HEALTHY, STALLED),
        only(rate=0.0),
        "engine_stalled",
        lambda watch: _go(watch, 900, **{**WORK, "gpus": (), "connections": None}),
    ),
    Case(
        "The same, and after 2 minutes all clients hang up",
        "200",
        (HEALTHY, STALLED),
        _clients_leave_a_hang,
        "engine_stalled",
    ),
    Case(
        "Admission livelock: requests wait, ever more, none runs, KV cache 0 % (vllm#39863)",
        "200",
        (HEALTHY, STALLED),
        _livelock,
        "engine_stalled",
    ),
    Case(
        "Idle by its gauges, and no request is ever answered: 12 days (home-ops#14030); a probe tells",
        "200",
        (HEALTHY, IDLE, STALLED),
        _unanswered_probe,
        "engine_stalled",
    ),
    Case(
        "All clients hang up at once: gauges freeze at 8 running, 52 waiting, KV cache 99 % (vllm#29928, #22545)",
        "200",
        (HEALTHY, FROZEN),
        _all_hang_up,
    ),
    Case(
        "The same behind a gateway that keeps 2 connections open",
        "200",
        (HEALTHY, IDLE, FROZEN),
        lambda watch: _go(watch, 600, **{**REST, "running": 8.0, "waiting": 52.0, "kv": 0.99, "connections": 2.0}),
        before=_with_a_pool,
    ),
    Case("A prefill of 95 s in one step", "200", (HEALTHY,), _long_prefill),
    Case(
        "A prefill of 200 s in chunks, where no GPU can be seen",
        "200",
        (HEALTHY,),
        _chunks,
        before=lambda watch: _go(watch, 600, **{**WORK, "gpus": ()}),
    ),
    Case("A batch of images that takes 60 s", "200", (HEALTHY,), _images),
    Case("CUDA graphs are captured for 45 s while requests wait", "200", (HEALTHY,), _capture),
    Case("A GPU is throttled to a third of its power; steps come slowly", "200", (HEALTHY,), _throttled),
    Case("Bursts of 7 s with pauses of 13 s", "200", (HEALTHY, IDLE), _bursts, before=known),
    Case("Put to sleep; requests come and wait", "200", (HEALTHY, IDLE, ASLEEP), _sleep),
    Case("Woken up after that", "200", (IDLE, ASLEEP, HEALTHY), _wake),
    Case(
        "A busy server misses every third reading (gonka#1421)",
        "times out",
        (HEALTHY,),
        _misses,
    ),
    Case(
        "Told to stop: drains for 90 s without a step, ends",
        "200, then refused",
        (HEALTHY, UNREACHABLE),
        _drain,
    ),
    Case(
        "Restarted, loads for 9 minutes; the log is followed",
        "refused",
        (HEALTHY, UNREACHABLE, STARTING),
        _start_by_log,
    ),
    Case("Restarted, loads for 9 minutes; no log", "refused", (HEALTHY, STARTING), _start_by_process, before=_seen),
    Case("Restarted within seconds", "refused, then 200", (HEALTHY,), _restart),
    Case(
        "`kill -9` of everything; no log",
        "refused",
        (HEALTHY, DEAD),
        only(**DOWN, began=None),
        "server_unreachable",
        _seen,
    ),
    Case("The engine dies, and its log tells of it", "refused", (HEALTHY, DEAD), _log_says_dead, "server_unreachable"),
    Case("The engine dies, the API server stays", "503", (HEALTHY, DEAD), only(health="503"), "engine_dead"),
    Case(
        "The API server hangs",
        "times out",
        (HEALTHY, UNREACHABLE),
        only(error="/metrics timed out after 5 s", health="unreachable"),
        "server_unreachable",
        _seen,
    ),
)


@cache
def run(case: Case) -> tuple[Watch, Outcome]:
    """Play a case: what led to it, then itself."""
    watch = watching(connections=0.0)
    case.before(watch)
    watch.happens()
    case.then(watch)
    began, last = watch.happened, case.says[-1]
    at = [second for second, state in watch.said if second > began and state is last]
    pages = [(second, rule) for second, rule in watch.paged if second > began]
    return watch, Outcome(
        case.happened,
        case.health,
        str(last),
        at[0] - began if at else None,
        pages[0][1] if pages else "",
        pages[0][0] - began if pages else None,
    )


def real() -> list[Outcome]:
    """What was measured on a real vLLM, by tests/real/test_verdict.py."""
    return [Outcome(**row, real=True) for row in json.loads(REAL.read_text())] if REAL.exists() else []


def table(outcomes: Sequence[Outcome]) -> str:
    """The rows as Markdown."""
    lines = [
        "| What happened | vLLM's `/health` | vigil said | after | incident | after |",
        "|---|---|---|---|---|---|",
    ]
    for each in outcomes:
        cells = (each.health, f"`{each.said}`", _seconds(each.seconds, "all along"))
        page = (f"`{each.page}`", _seconds(each.page_seconds, "")) if each.page else ("none", "")
        name = f"**{each.happened}**" if each.real else each.happened
        lines.append(f"| {' | '.join((name, *cells, *page))} |".replace("|  |", "| |"))
    return "\n".join(lines)


def section(outcomes: Sequence[Outcome]) -> str:
    """What stands between the marks of docs/verdict.md."""
    return f"{BEGIN}\n\n{table(outcomes)}\n\n{END}"


def _seconds(seconds: float | None, none: str) -> str:
    return none if seconds is None else f"{seconds:.0f} s"


def states() -> str:
    """The table of states, between its marks."""
    lines = ["| State | Evidence |", "|---|---|", *(f"| `{row.state}` | {row.evidence} |" for row in TABLE)]
    return "\n".join((STATES_BEGIN, "", *lines, "", STATES_END))


def written(text: str) -> str:
    """The page with both tables in their places."""
    outcomes = [*real(), *(run(case)[1] for case in CASES)]
    return _replaced(_replaced(text, states(), STATES_BEGIN, STATES_END), section(outcomes), BEGIN, END)


def _replaced(text: str, part: str, begin: str, end: str) -> str:
    head, _, rest = text.partition(begin)
    return head + part + rest.partition(end)[2]


if __name__ == "__main__":
    page = Path(sys.argv[1])
    page.write_text(written(page.read_text()))
