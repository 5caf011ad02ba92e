"""Engine states, findings and who is serving."""

from __future__ import annotations

import pytest

from vllm_vigil.model import EngineState, Point, Reading, Series, Snapshot, labels
from vllm_vigil.verdict.judge import Judgement, Verdict

SERVER = "llama"
START = 1_000.0


def snapshot(*, running: float = 0, waiting: float = 0, steps: float | None = 0, asleep: float = 0) -> Snapshot:
    """One engine's numbers."""
    which = labels(server=SERVER, engine="0", model_name="tiny")
    values = {
        "llm_requests_running": running,
        "llm_requests_waiting": waiting,
        "llm_engine_asleep": asleep,
        "llm_engine_steps_total": steps,
    }
    return Snapshot({name: Series(name, (Point(which, value),)) for name, value in values.items() if value is not None})


def reading(*, error: str | None = None, health: str = "200") -> Reading:
    """What the source said."""
    return Reading("vllm", SERVER, 0.0, 0.01, facts={"health": health}, error=error)


UP = reading()
DOWN = reading(error="connection refused", health="unreachable")


class Watch:
    """A verdict with a clock of its own, for short tests."""

    def __init__(self) -> None:
        self.verdict = Verdict()
        self.now = START

    def after(self, seconds: float, asked: Reading, shown: Snapshot | None = None) -> Judgement:
        """Judge so much later."""
        self.now += seconds
        return self.verdict.judge({SERVER: asked}, shown or Snapshot(), self.now)


def held(judgement: Judgement) -> set[str]:
    """The rules whose findings hold."""
    return {finding.rule for finding in judgement.findings if finding.holds}


@pytest.mark.parametrize(
    ("asked", "shown", "state", "reason"),
    [
        (UP, snapshot(), EngineState.IDLE, "holds no request"),
        (UP, snapshot(running=2, waiting=1), EngineState.HEALTHY, "2 running, 1 waiting, last engine step 0 s ago"),
        (UP, snapshot(asleep=1), EngineState.ASLEEP, "put to sleep through the sleep API"),
        (DOWN, None, EngineState.UNREACHABLE, "connection refused"),
        (reading(health="503"), snapshot(), EngineState.DEAD, "its /health answers 503"),
        (
            reading(error="status 500", health="200"),
            None,
            EngineState.UNREACHABLE,
            "its /metrics cannot be read: status 500",
        ),
    ],
)
def test_one_tick_tells_the_plain_states(
    asked: Reading, shown: Snapshot | None, state: EngineState, reason: str
) -> None:
    """Each with its reason in words."""
    (health,) = Watch().after(0, asked, shown).engines
    assert (health.state, health.reasons) == (state, (reason,))


def test_an_engine_that_holds_work_and_takes_no_step_is_stalled_and_then_found() -> None:
    """`stalled` within 30 s, an incident at 60 s, both counted from the last step."""
    watch = Watch()
    busy = snapshot(running=9, waiting=50, steps=700)
    assert watch.after(0, UP, busy).engines[0].state is EngineState.HEALTHY
    assert watch.after(15, UP, busy).engines[0].state is EngineState.HEALTHY
    stalled = watch.after(10, UP, busy)
    assert stalled.engines[0].state is EngineState.STALLED
    assert stalled.engines[0].reasons == ("9 running, 50 waiting, and no engine step for 25 s",)
    assert held(stalled) == set()
    assert held(watch.after(45, UP, busy)) == {"engine_stalled"}
    assert held(watch.after(1, UP, snapshot(running=9, waiting=50, steps=701))) == set()


def test_work_that_arrives_after_an_idle_hour_is_no_stall() -> None:
    """The time without a step counts only while work is held."""
    watch = Watch()
    watch.after(0, UP, snapshot(steps=5))
    assert watch.after(3600, UP, snapshot(running=1, steps=5)).engines[0].state is EngineState.HEALTHY


def test_a_vllm_that_counts_no_steps_is_never_called_stalled() -> None:
    """Without a heartbeat there is no evidence."""
    watch = Watch()
    watch.after(0, UP, snapshot(running=1, steps=None))
    assert watch.after(600, UP, snapshot(running=1, steps=None)).engines[0].state is EngineState.HEALTHY


def test_a_server_that_was_up_and_does_not_answer_for_a_minute_is_found_with_its_onset() -> None:
    """The finding comes at 60 s and says when it began."""
    watch = Watch()
    watch.after(0, UP, snapshot())
    assert held(watch.after(5, DOWN)) == set()
    judgement = watch.after(60, DOWN)
    (finding,) = [finding for finding in judgement.findings if finding.holds]
    assert (finding.rule, finding.since) == ("server_unreachable", START + 5)
    assert judgement.serving_since == {SERVER: None}


def test_a_server_that_was_never_up_is_unreachable_but_no_incident() -> None:
    """The sidecar may be started first."""
    watch = Watch()
    watch.after(0, DOWN)
    assert held(watch.after(3600, DOWN)) == set()


def test_a_wanted_stop_and_a_start_that_takes_its_time_are_no_incident() -> None:
    """The log tells them from a loss: SIGTERM, and a model that loads for minutes."""
    watch = Watch()
    watch.after(0, UP, snapshot())
    watch.verdict.hear(SERVER, "stopping", watch.now)
    assert held(watch.after(120, DOWN)) == set()
    watch.verdict.hear(SERVER, "starting", watch.now)
    starting = watch.after(600, DOWN)
    assert (starting.engines[0].state, held(starting)) == (EngineState.STARTING, set())


def test_an_engine_whose_log_said_dead_is_dead_until_it_answers_again() -> None:
    """vLLM closes its port within a second of an engine's death; the log knows why."""
    watch = Watch()
    watch.after(0, UP, snapshot())
    watch.verdict.hear(SERVER, "dead", watch.now)
    assert watch.after(1, UP, snapshot()).engines[0].state is EngineState.IDLE, "its last answers still come"
    assert watch.after(5, DOWN).engines[0].state is EngineState.DEAD
    assert watch.after(60, UP, snapshot()).engines[0].state is EngineState.IDLE


def test_what_the_log_said_long_ago_explains_nothing() -> None:
    """A stop that was drained for long, or a death that was none, must not hide a loss that comes later."""
    watch = Watch()
    watch.after(0, UP, snapshot())
    watch.verdict.hear(SERVER, "stopping", watch.now)
    watch.after(700, UP, snapshot())
    watch.after(1, DOWN)
    assert held(watch.after(60, DOWN)) == {"server_unreachable"}


def test_a_loss_after_a_return_is_a_loss() -> None:
    """Once it was away and came back, what the log said before it went is over."""
    watch = Watch()
    watch.after(0, UP, snapshot())
    watch.verdict.hear(SERVER, "stopping", watch.now)
    watch.after(5, DOWN)
    watch.after(5, UP, snapshot())
    watch.after(5, DOWN)
    assert held(watch.after(60, DOWN)) == {"server_unreachable"}


def test_serving_has_lasted_since_the_last_time_it_did_not() -> None:
    """The evidence of health on which incidents resolve."""
    watch = Watch()
    watch.after(0, UP, snapshot())
    assert watch.after(10, UP, snapshot(running=1, steps=1)).serving_since == {SERVER: START}
    watch.after(5, DOWN)
    assert watch.after(5, UP, snapshot()).serving_since == {SERVER: START + 20}


def test_a_state_has_lasted_since_it_began() -> None:
    """Not since the last tick."""
    watch = Watch()
    watch.after(0, UP, snapshot())
    (health,) = watch.after(30, UP, snapshot()).engines
    assert health.since == START


def test_a_server_that_is_no_longer_configured_is_forgotten() -> None:
    """Its engines show nothing more."""
    verdict = Verdict()
    verdict.judge({SERVER: UP}, snapshot(), START)
    assert verdict.judge({}, Snapshot(), START + 1).engines == ()


def test_a_token_made_since_the_last_step_says_that_the_numbers_stand_still() -> None:
    """And the next probe that gets none says that it was a stall after all."""
    watch = Watch()
    busy = snapshot(running=9, waiting=50, steps=700)
    watch.after(0, UP, busy)
    watch.verdict.hear_probe(SERVER, answered=True, began=watch.now - 1)
    (health,) = watch.after(30, UP, busy).engines
    assert health.state is EngineState.STALLED, "a token from before the last step proves nothing"
    watch.verdict.hear_probe(SERVER, answered=True, began=watch.now)
    (health,) = watch.after(1, UP, busy).engines
    assert health.state is EngineState.FROZEN_METRICS
    assert "a probe got its token" in health.reasons[0]
    watch.verdict.hear_probe(SERVER, answered=False, began=watch.now, words="no token within 10s")
    (health,) = watch.after(1, UP, busy).engines
    assert health.state is EngineState.STALLED
    assert "no token within 10s" in health.reasons[0]
    (health,) = watch.after(1, UP, snapshot(running=9, waiting=50, steps=701)).engines
    assert health.state is EngineState.HEALTHY


def test_of_several_engines_a_token_does_not_say_which_one_made_it() -> None:
    """The one that stands still stays stalled."""
    watch = Watch()

    def both(steps: float) -> Snapshot:
        values = {"llm_requests_running": (3.0, 3.0), "llm_engine_steps_total": (700.0, steps)}
        which = [labels(server=SERVER, engine=engine, model_name="tiny") for engine in ("0", "1")]
        return Snapshot(
            {
                name: Series(name, tuple(Point(pairs, value) for pairs, value in zip(which, of_both, strict=True)))
                for name, of_both in values.items()
            }
        )

    watch.after(0, UP, both(1))
    watch.after(30, UP, both(2))
    watch.verdict.hear_probe(SERVER, answered=True, began=watch.now)
    states = [health.state for health in watch.after(1, UP, both(3)).engines]
    assert [EngineState.STALLED, EngineState.HEALTHY] == states
