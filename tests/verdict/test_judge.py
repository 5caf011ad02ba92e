"""Engine states, findings and who is serving."""

from __future__ import annotations

from typing import Any

import pytest

from standins.watch import SERVER, START, Watch, watching
from vllm_vigil.model import SERVING_STATES, EngineState, Point, Reading, Series, Snapshot, labels
from vllm_vigil.verdict.judge import Verdict

DOWN: dict[str, Any] = {"error": "connection refused", "health": "unreachable"}
UP: dict[str, Any] = {"error": None, "health": "200"}


@pytest.mark.parametrize(
    ("scene", "state", "reason"),
    [
        ({}, EngineState.IDLE, "holds no request"),
        ({"running": 2, "waiting": 1}, EngineState.HEALTHY, "2 running, 1 waiting, last engine step 0 s ago"),
        ({"asleep": True}, EngineState.ASLEEP, "put to sleep through the sleep API"),
        (DOWN, EngineState.UNREACHABLE, "connection refused"),
        ({"health": "503"}, EngineState.DEAD, "its /health answers 503"),
        ({"error": "status 500"}, EngineState.UNREACHABLE, "its /metrics cannot be read: status 500"),
        ({"engine": False}, EngineState.HEALTHY, "it answers, but tells no numbers of its engine"),
    ],
)
def test_one_tick_tells_the_plain_states(scene: dict[str, Any], state: EngineState, reason: str) -> None:
    """Each with its reason in words."""
    watch = watching(**scene)
    watch.tick()
    assert (watch.state, watch.health.reasons) == (state, (reason,))


def test_an_engine_that_holds_work_and_takes_no_step_is_stalled_and_then_found() -> None:
    """`stalled` within 30 s, an incident at 60 s, both counted from the last step."""
    watch = watching(running=9, waiting=50, rate=20)
    watch.go(60)
    assert watch.state is EngineState.HEALTHY
    assert 20 <= watch.until(EngineState.STALLED, rate=0.0) <= 25
    assert watch.health.reasons == ("9 running, 50 waiting, and no engine step for 20 s",)
    assert watch.holding == set()
    assert 55 - 20 <= watch.until_page("engine_stalled") <= 66 - 20
    watch.go(20, rate=20.0)
    assert (watch.state, watch.holding) == (EngineState.HEALTHY, set())
    assert [rule for _, rule in watch.paged] == ["engine_stalled"]


def test_the_finding_says_since_when_nothing_moved() -> None:
    """And not since when we were sure."""
    watch = watching(running=1, rate=1.0)
    watch.go(60)
    watch.until_page("engine_stalled", rate=0.0)
    (finding,) = [each for each in watch.judgement.findings if each.holds]
    assert finding.since == START + 60
    assert finding.summary.startswith("llama hangs: 1 running, 0 waiting, and no engine step for ")


def test_the_age_of_a_step_goes_on_between_readings_and_ends_with_the_work() -> None:
    """It is absent while there is nothing to do."""
    watch = watching(running=1, rate=1.0, interval=10)
    watch.go(13)
    assert watch.health.step_age_seconds == 3
    watch.go(10, running=0.0, rate=0.0)
    assert watch.health.step_age_seconds is None


def test_work_that_arrives_after_an_idle_hour_is_no_stall() -> None:
    """The time without a step counts only while work is held."""
    watch = watching()
    watch.go(3600)
    watch.go(19, waiting=1.0)
    assert watch.state is EngineState.HEALTHY


def test_a_vllm_that_counts_no_steps_is_never_called_stalled() -> None:
    """Without a heartbeat there is no evidence."""
    watch = watching(running=1, steps=None)
    watch.go(600)
    assert watch.states == [EngineState.HEALTHY]


def test_a_slow_interval_is_no_stall() -> None:
    """Nothing can move between two readings."""
    watch = watching(running=1, rate=1.0, interval=60)
    watch.go(1200)
    assert watch.states == [EngineState.HEALTHY]


def test_a_server_that_was_up_and_does_not_answer_for_a_minute_is_found_with_its_onset() -> None:
    """The finding comes at 60 s and says when it began."""
    watch = watching()
    watch.go(10)
    watch.go(65, **DOWN)
    (finding,) = [finding for finding in watch.judgement.findings if finding.holds]
    assert (finding.rule, finding.since) == ("server_unreachable", START + 15)
    assert watch.judgement.serving_since == {SERVER: None}


def test_one_reading_that_fails_is_no_outage() -> None:
    """A busy engine misses a deadline now and then (gonka-ai/gonka#1421)."""
    watch = watching(running=100, rate=5.0)
    watch.go(10)
    for _ in range(20):
        watch.go(5, error="/metrics timed out after 5 s", health="unreachable")
        watch.go(5, **UP)
    assert watch.states == [EngineState.HEALTHY]


def test_a_server_that_was_never_up_is_unreachable_but_no_incident() -> None:
    """The sidecar may be started first."""
    watch = watching(**DOWN)
    watch.go(3600)
    assert (watch.states, watch.paged) == ([EngineState.UNREACHABLE], [])


def test_a_wanted_stop_and_a_start_that_takes_its_time_are_no_incident() -> None:
    """The log tells them from a loss: SIGTERM, and a model that loads for minutes, phase by phase."""
    watch = watching()
    watch.go(20)
    watch.verdict.hear(SERVER, "stopping", watch.wall)
    watch.go(120, **DOWN)
    watch.verdict.hear(SERVER, "starting", watch.wall)
    watch.go(600)
    assert watch.health.reasons == ("it starts, as its log said 600 s ago",)
    watch.verdict.hear(SERVER, "warming", watch.wall)
    watch.go(10)
    assert watch.health.reasons == ("it captures CUDA graphs and warms up, as its log said 10 s ago",)
    watch.go(10, **UP)
    assert watch.states == [EngineState.IDLE, EngineState.UNREACHABLE, EngineState.STARTING, EngineState.IDLE]
    assert watch.paged == []


def test_a_server_that_was_stopped_on_purpose_stays_so() -> None:
    """Over night too, and its processes are gone; when it is started again it starts."""
    watch = watching(began=START - 5000, host=True)
    watch.go(20)
    watch.verdict.hear(SERVER, "stopping", watch.wall)
    watch.go(8 * 3600, **DOWN, began=None)
    assert watch.health.reasons == ("it was told to stop 28800 s ago: connection refused",)
    assert watch.until(EngineState.STARTING, began=watch.wall) <= 2
    assert (watch.states, watch.paged) == ([EngineState.IDLE, EngineState.UNREACHABLE, EngineState.STARTING], [])


def test_a_stop_is_said_with_its_time_until_the_server_is_back() -> None:
    """From the moment of the line on, however long it is down; what it ends of by the way is no death."""
    watch = watching(began=START - 5000, host=True)
    assert {} == watch.go(20).stops
    told = watch.wall
    watch.verdict.hear(SERVER, "stopping", told)
    assert {SERVER: told} == watch.go(5).stops
    watch.verdict.hear(SERVER, "dead", watch.wall)
    assert {SERVER: told} == watch.go(8 * 3600, **DOWN, began=None).stops
    assert watch.state is EngineState.UNREACHABLE
    watch.verdict.move(60.0)
    assert {SERVER: told + 60} == watch.go(1).stops
    assert {} == watch.go(10, **UP, began=watch.wall).stops


def test_a_start_that_fails_after_a_stop_is_no_stop() -> None:
    """Its log may not say a word; that it was started is enough, and its end is then one that nobody asked for."""
    watch = watching(began=START - 5000, host=True)
    watch.go(20)
    watch.verdict.hear(SERVER, "stopping", watch.wall)
    watch.go(60, **DOWN, began=None)
    assert {} == watch.go(10, began=watch.wall).stops
    assert watch.until(EngineState.DEAD, began=None) <= 15
    assert {} == watch.judgement.stops


def test_a_stop_that_an_earlier_process_knew_of_is_remembered_until_the_server_answers() -> None:
    """The sidecar was restarted meanwhile; one that came back in the meantime was not stopped."""
    watch = watching(**DOWN)
    watch.verdict.recall_stops({SERVER: START - 600}, START)
    assert {SERVER: START - 600} == watch.go(3600).stops
    assert watch.health.reasons == ("it was told to stop 4199 s ago: connection refused",)
    back = watching()
    back.verdict.recall_stops({SERVER: START - 600}, START)
    assert {} == back.go(5).stops
    assert back.until_page("server_unreachable", **DOWN) <= 66


def test_a_stop_that_is_read_after_the_silence_began_explains_it_too() -> None:
    """The log may be read late."""
    watch = watching(began=START - 5000, host=True)
    watch.go(20)
    watch.go(6, **DOWN, began=None)
    watch.verdict.hear(SERVER, "stopping", watch.wall)
    watch.go(3600)
    assert (watch.state, watch.paged) == (EngineState.UNREACHABLE, [])


def test_a_start_without_a_log_is_seen_by_its_process() -> None:
    """A model that loads for minutes after a restart is no outage."""
    watch = watching(began=START - 5000, host=True)
    watch.go(20)
    watch.go(300, **DOWN, began=START + 25)
    assert watch.state is EngineState.STARTING
    assert watch.health.reasons == ("its process began 295 s ago and does not answer yet: connection refused",)
    watch.go(10, **UP)
    assert (watch.state, watch.paged) == (EngineState.IDLE, [])


def test_a_server_whose_processes_are_gone_is_dead_and_is_found_after_a_minute() -> None:
    """Also without a log."""
    watch = watching(began=START - 5000, host=True)
    watch.go(20)
    assert watch.until(EngineState.DEAD, **DOWN, began=None) <= 15
    assert watch.until_page("server_unreachable") <= 62


def test_an_engine_whose_log_said_dead_is_dead_until_it_answers_again() -> None:
    """vLLM closes its port within a second of an engine's death; the log knows why."""
    watch = watching()
    watch.go(20)
    watch.verdict.hear(SERVER, "dead", watch.wall)
    watch.go(4)
    assert watch.state is EngineState.IDLE, "its last answers still come"
    assert watch.until(EngineState.DEAD, **DOWN) <= 5
    watch.go(60, **UP)
    assert watch.state is EngineState.IDLE


def test_an_engine_that_was_started_again_after_its_death_starts() -> None:
    """Its process says so before its log does."""
    watch = watching(began=START - 5000, host=True)
    watch.go(20)
    watch.verdict.hear(SERVER, "dead", watch.wall)
    watch.go(20, **DOWN)
    assert watch.until(EngineState.STARTING, began=START + 30) <= 10


def test_what_the_log_said_long_ago_explains_nothing() -> None:
    """A stop that was drained for long, or a death that was none, must not hide a loss that comes later."""
    watch = watching()
    watch.go(20)
    watch.verdict.hear(SERVER, "stopping", watch.wall)
    watch.go(700)
    assert watch.until_page("server_unreachable", **DOWN) <= 66


def test_a_loss_after_a_return_is_a_loss() -> None:
    """Once it was away and came back, what the log said before it went is over."""
    watch = watching()
    watch.go(20)
    watch.verdict.hear(SERVER, "stopping", watch.wall)
    watch.go(15, **DOWN)
    watch.go(15, **UP)
    assert watch.until_page("server_unreachable", **DOWN) <= 66


def test_serving_has_lasted_since_the_last_time_it_did_not() -> None:
    """The evidence of health on which incidents resolve."""
    watch = watching()
    watch.go(1)
    watch.go(20, running=1.0, rate=1.0)
    assert watch.judgement.serving_since == {SERVER: START + 1}
    watch.until(EngineState.UNREACHABLE, **DOWN)
    assert watch.judgement.serving_since == {SERVER: None}
    watch.until(EngineState.HEALTHY, **UP)
    assert watch.judgement.serving_since == {SERVER: watch.wall}


def test_a_state_has_lasted_since_it_began() -> None:
    """Not since the last tick."""
    watch = watching()
    watch.go(31)
    assert watch.health.since == START + 1


def test_a_server_that_is_no_longer_configured_is_forgotten() -> None:
    """Its engines show nothing more."""
    verdict = Verdict()
    verdict.judge({SERVER: Reading("vllm", SERVER, 0.0, 0.01)}, Snapshot(), START, None)
    assert verdict.judge({}, Snapshot(), START + 1, None).engines == ()


def test_one_that_was_not_read_yet_is_not_known() -> None:
    """Nothing is said of it."""
    judgement = Verdict().judge({SERVER: None}, Snapshot(), START, None)
    assert (judgement.engines, judgement.serving_since) == ((), {SERVER: None})


def test_a_sidecar_that_was_stopped_for_a_while_has_watched_nothing() -> None:
    """The machine slept, engine and all: the same numbers an hour later are no stall; nor is a clock that was set."""
    watch = watching(running=1, rate=1.0)
    watch.go(60)
    watch.set(rate=0.0)
    watch.tick(3600)
    watch.go(5)
    watch.tick(-7200)
    watch.go(5, rate=1.0)
    assert (watch.states, watch.paged) == ([EngineState.HEALTHY], [])


def probed(watch: Watch, *, ok: bool) -> None:
    """The probe tells how it ended."""
    watch.verdict.hear_probe(SERVER, answered=ok, began=watch.wall, words="" if ok else "no token within 10 s")


def test_a_probe_decides_between_a_stall_and_frozen_gauges() -> None:
    """Where connections cannot be seen the gauges alone say work; an answered request says that there is none."""
    watch = watching(running=9, rate=20.0)
    watch.go(60)
    watch.until(EngineState.STALLED, rate=0.0)
    assert list(watch.judgement.doubts) == [SERVER]
    probed(watch, ok=True)
    assert watch.until(EngineState.FROZEN_METRICS) <= 11
    assert watch.state in SERVING_STATES
    probed(watch, ok=False)
    assert watch.until(EngineState.STALLED) <= 11
    assert "a probe got no token: no token within 10 s" in watch.health.reasons[0]


def test_an_idle_engine_that_does_not_answer_a_probe_is_stalled() -> None:
    """For 12 days a server was up, idle by its gauges, and completed nothing (rwlove/home-ops#14030)."""
    watch = watching()
    watch.go(600)
    assert watch.judgement.doubts == {}
    probed(watch, ok=False)
    assert watch.until(EngineState.STALLED) == 1
    watch.until(EngineState.HEALTHY, running=1.0, rate=1.0)
    watch.go(20, running=0.0, rate=0.0)
    assert watch.state is EngineState.IDLE


def test_a_probe_that_waited_in_the_queue_of_an_engine_that_moves_says_nothing() -> None:
    """Too many requests are no stall."""
    watch = watching(running=256, waiting=1000, rate=5.0)
    watch.go(60)
    probed(watch, ok=False)
    watch.go(60)
    assert watch.states == [EngineState.HEALTHY]


def test_a_token_from_before_the_last_step_proves_nothing() -> None:
    """The engine may have hung since."""
    watch = watching(running=9, rate=20.0)
    watch.go(60)
    probed(watch, ok=True)
    watch.go(10)
    assert watch.until(EngineState.STALLED, rate=0.0) <= 30
    watch.go(60)
    assert watch.state is EngineState.STALLED


def both(steps: tuple[float, float], connections: float | None = None) -> Snapshot:
    """Two engines of one server, each with 3 requests."""
    which = [labels(server=SERVER, engine=engine, model_name="tiny") for engine in ("0", "1")]
    values: dict[str, tuple[float, ...]] = {"llm_requests_running": (3.0, 3.0), "llm_engine_steps_total": steps}
    found = {name: Series(name, tuple(map(Point, which, of_both))) for name, of_both in values.items()}
    if connections is not None:
        point = Point(labels(server=SERVER), connections)
        found["llm_server_connections"] = Series("llm_server_connections", (point,))
    return Snapshot(found)


def watched_both(verdict: Verdict, connections: float | None = None) -> list[EngineState]:
    """Engine 0 stands still for a minute while engine 1 works."""
    judgement = verdict.judge({SERVER: None}, Snapshot(), START, None)
    for second in range(60):
        reading = Reading("vllm", SERVER, float(second), 0.01, facts={"health": "200"})
        host = Reading("host", "", float(second), 0.01)
        if second == 40:
            verdict.hear_probe(SERVER, answered=True, began=START + second)
        judgement = verdict.judge({SERVER: reading}, both((700.0, float(second)), connections), START + second, host)
    return [health.state for health in judgement.engines]


def test_of_several_engines_a_token_does_not_say_which_one_made_it() -> None:
    """The one that stands still stays stalled."""
    assert watched_both(Verdict()) == [EngineState.STALLED, EngineState.HEALTHY]


def test_of_several_engines_the_clients_of_those_that_work_are_not_the_others() -> None:
    """With 3 connections, which engine 1 has work for, nobody waits on engine 0; with 6 somebody does."""
    assert watched_both(Verdict(), 3.0) == [EngineState.FROZEN_METRICS, EngineState.HEALTHY]
    assert watched_both(Verdict(), 6.0) == [EngineState.STALLED, EngineState.HEALTHY]


def test_a_vllm_without_a_sleep_gauge_tells_of_its_sleep_in_its_log() -> None:
    """Until it takes a step again."""
    watch = watching(asleep=None)
    watch.go(60)
    watch.verdict.hear(SERVER, "asleep", watch.wall)
    assert watch.until(EngineState.ASLEEP, waiting=2.0) <= 2
    watch.go(600)
    assert watch.state is EngineState.ASLEEP
    assert watch.until(EngineState.HEALTHY, rate=5.0) <= 6
