"""One crash is one incident, with its cause on top, from the first sign to recovery and across restarts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from standins.log_replay import DATA, events_of, records_of
from vllm_vigil.incidents.lifecycle import Incidents
from vllm_vigil.incidents.rules import RULES, RuleSettings, merge
from vllm_vigil.model import Change, Event, Finding, Incident, Record, Severity, Transition, labels

T = 1_780_000_000.0
OPENED, TAKEN_OVER, UPDATED, RESOLVED = Transition

CRASHES = {
    "cuda-oom-serving-v0.19.log": "cuda_oom",
    "cuda-oom-startup-tp2-v0.11.log": "cuda_oom",
    "illegal-memory-access-v0.11.log": "cuda_error",
    "kv-cache-no-memory-startup-v0.32.log": "kv_cache_too_small",
    "model-weights-missing-v0.32.log": "startup_failed",
    "nccl-watchdog-timeout-v0.10.log": "nccl_failure",
    "nccl-init-error-ray-v0.8.log": "nccl_failure",
    "worker-killed-json-v0.32.log": "worker_died",
    "engine-killed-v0.32.log": "engine_dead",
    "engine-iteration-timeout-v0.6.log": "engine_dead",
}


def event(rule: str, at: float, text: str = "it failed", *, kind: str = "", offset: int = 0, **fields: str) -> Event:
    """One event of the server llama, `at` seconds after T."""
    record = Record("vllm.log", "ERROR", text, "llama", process="EngineCore", pid="7", offset=offset or int(at * 10))
    return Event(kind or rule, rule, "llama", T + at, record, fields)


def finding(rule: str, since: float, *, holds: bool = True, server: str = "llama", **pairs: str) -> Finding:
    """One finding whose onset was `since` seconds after T."""
    return Finding(rule, server, holds, T + since, f"{rule} was found", labels(**pairs))


def told(changes: list[Change]) -> list[tuple[str, str]]:
    """Transition and rule of each change."""
    return [(change.transition, change.incident.rule) for change in changes]


def only(incidents: Incidents) -> Incident:
    """The one incident that is open."""
    (incident,) = incidents.open()
    return incident


def serving(since: float | None) -> Mapping[str, float | None]:
    """The server llama serves since so many seconds after T."""
    return {"llama": None if since is None else T + since}


# --- one crash, one incident


@pytest.mark.parametrize(("name", "cause"), CRASHES.items(), ids=list(CRASHES))
def test_the_records_of_a_crash_give_one_incident_in_any_order(name: str, cause: str) -> None:
    """However the processes' records are mixed, there is one incident, its cause on top, its key from the first."""
    events = events_of(records_of((DATA / "samples" / name).read_bytes(), name))

    @settings(max_examples=40, deadline=None)
    @given(st.permutations(events))
    def mixed(order: list[Event]) -> None:
        incidents = Incidents(RULES)
        changes = [change for event_ in order for change in incidents.observe(event_)]
        assert cause == only(incidents).rule
        assert 1 == only(incidents).count
        assert [OPENED] == [change.transition for change in changes if change.transition is OPENED]
        assert 1 == len({change.incident.key for change in changes})
        assert 5 >= len(only(incidents).evidence)

    mixed()


def test_a_cause_takes_over_and_the_key_stays() -> None:
    """Rule, severity, title and labels are the cause's; its line stands first, and it is told once."""
    incidents = Incidents(RULES)
    (first,) = incidents.observe(event("engine_dead", 0, "dead"))
    (second,) = incidents.observe(event("cuda_oom", 2, "no memory", phase="runtime"))
    assert [(OPENED, "engine_dead"), (TAKEN_OVER, "cuda_oom")] == told([first, second])
    assert first.incident.key == second.incident.key
    assert "GPU out of memory (runtime)" == second.incident.title
    assert (("cause", "runtime"), ("phase", "runtime"), ("processes", "EngineCore")) == second.incident.labels
    assert ("EngineCore: no memory", "EngineCore: dead") == second.incident.evidence
    assert first.incident.opened == second.incident.opened


def test_a_cause_that_comes_later_than_a_minute_is_a_crash_of_its_own() -> None:
    """5xx answers an hour ago are not taken for the consequence of this crash."""
    incidents = Incidents(RULES)
    changes = [c for n in range(12) for c in incidents.observe(event("http_5xx", n, offset=n + 1))]
    assert [(OPENED, "http_5xx"), (UPDATED, "http_5xx"), (UPDATED, "http_5xx")] == told(changes)
    changes = incidents.observe(event("cuda_oom", 200))
    assert [(OPENED, "cuda_oom")] == told(changes)
    assert 2 == len(incidents.open())


def test_consequences_fold_until_the_server_has_served_again() -> None:
    """A dead server answers 503 for an hour; that is the same outage. After it has served it is news."""
    incidents = Incidents(RULES)
    incidents.observe(event("cuda_oom", 0))
    for minute in range(1, 60):
        assert [(UPDATED, "cuda_oom")] == told(incidents.observe(event("http_5xx", 60 * minute)))
        incidents.tick(T + 60 * minute, serving(None))
    incidents.tick(T + 3700, serving(3650))
    changes = [c for n in range(10) for c in incidents.observe(event("http_5xx", 3800 + n))]
    assert [(OPENED, "http_5xx")] == told(changes)


def test_what_led_to_a_crash_is_among_its_evidence() -> None:
    """One timeout opens nothing; the death that follows it within a minute shows it."""
    incidents = Incidents(RULES)
    assert [] == incidents.observe(event("request_timeout", 0, "no reply within 10000ms"))
    incidents.observe(event("engine_dead", 1, "already dead"))
    assert ("EngineCore: already dead", "EngineCore: no reply within 10000ms") == only(incidents).evidence


def test_a_crash_counts_again_only_when_it_happens_again() -> None:
    """The same exception from a second process is no second event; one after a restart is."""
    incidents = Incidents(RULES)
    for at in (0, 0.1, 3):
        incidents.observe(event("cuda_oom", at))
    assert 1 == only(incidents).count
    incidents.observe(event("", 20, kind="server_started"))
    incidents.observe(event("cuda_oom", 40))
    incidents.observe(event("cuda_oom", 40.5))
    assert 2 == only(incidents).count


def test_a_key_depends_on_where_the_record_stands_alone() -> None:
    """A second reading of the same bytes, at another time, gives the same key."""
    keys = set()
    for at in (0, 500):
        (change,) = Incidents(RULES).observe(event("cuda_oom", at, offset=77))
        keys.add(change.incident.key)
    assert 1 == len(keys)
    assert keys.pop().startswith("vigil-")


def test_servers_are_kept_apart() -> None:
    """What happens to one is no consequence of what happens to another."""
    incidents = Incidents(RULES)
    incidents.observe(event("cuda_oom", 0))
    changes = incidents.weigh(finding("server_unreachable", 5, server="qwen"), T + 65)
    assert [(OPENED, "server_unreachable")] == told(changes)


# --- findings


def test_a_finding_folds_by_its_onset() -> None:
    """A server is found unreachable a minute after it went; that was within a second of the crash."""
    incidents = Incidents(RULES)
    incidents.observe(event("engine_dead", 0))
    incidents.tick(T + 1, serving(-1000))  # nobody has noticed yet
    assert [(UPDATED, "engine_dead")] == told(incidents.weigh(finding("server_unreachable", 1), T + 61))
    assert [] == incidents.weigh(finding("server_unreachable", 1), T + 66)


def test_an_incident_stays_open_while_a_finding_holds() -> None:
    """Quiet time counts from the moment at which it holds no longer."""
    incidents = Incidents(RULES)
    for now in range(300, 9001, 100):
        incidents.weigh(finding("gpu_hot", 0, server="", gpu="3"), T + now)
        assert [] == incidents.tick(T + now, {})
    assert [] == incidents.weigh(finding("gpu_hot", 0, server="", gpu="3", holds=False), T + 9000)
    assert [] == incidents.tick(T + 9299, {})
    (change,) = incidents.tick(T + 9301, {})
    assert (RESOLVED, T + 9300) == (change.transition, change.incident.resolved)


def test_a_finding_that_is_made_no_more_does_not_hold_for_ever() -> None:
    """Its server was taken out of the configuration, or its GPU replaced while we were down."""
    incidents = Incidents(RULES)
    incidents.weigh(finding("gpu_lost", 0, server="", gpu="3"), T)
    assert [] == incidents.tick(T + 300, {})
    assert [(RESOLVED, "gpu_lost")] == told(incidents.tick(T + 301, {}))


def test_each_gpu_has_its_own_incident() -> None:
    """Two hot GPUs are two things to look at."""
    incidents = Incidents(RULES)
    for gpu in ("0", "1", "0"):
        incidents.weigh(finding("gpu_hot", 0, server="", gpu=gpu), T + 300)
    assert ["0", "1"] == sorted(dict(incident.labels)["gpu"] for incident in incidents.open())


def test_the_class_of_an_xid_gives_the_severity_unless_the_user_sets_it() -> None:
    """A corrected error is a warning."""
    (change,) = Incidents(RULES).observe(event("gpu_xid", 0, severity="warning", pci="0000:65:00"))
    assert (Severity.WARNING, "0000:65:00") == (change.incident.severity, dict(change.incident.labels)["gpu"])
    rules = merge({"gpu_xid": RuleSettings(severity=Severity.CRITICAL)})
    (change,) = Incidents(rules).observe(event("gpu_xid", 0, severity="warning"))
    assert Severity.CRITICAL is change.incident.severity


def test_who_was_told_to_stop_and_has_not_come_back_is_known_after_a_restart() -> None:
    """By when it was told; a start or a server that serves ends that."""
    incidents = Incidents(RULES)
    incidents.observe(life("server_stopping", 10))
    again = Incidents(RULES)
    again.restore(incidents.remember(), [])
    assert {"llama": T + 10} == again.stops()
    again.tick(T + 60, serving(50))
    incidents.observe(life("server_started", 60))
    assert {} == incidents.stops() == again.stops()


# --- a GPU that is lost


LOSS = (
    lambda incidents: incidents.weigh(finding("gpu_lost", 0, gpu="3", uuid="GPU-3", xid="79"), T),
    lambda incidents: incidents.observe(event("gpu_lost", 1, "NVRM: Xid 79", gpu="0000:44:00", xid="79")),
    lambda incidents: incidents.observe(event("cuda_error", 2, "unspecified launch failure")),
    lambda incidents: incidents.observe(event("nccl_failure", 30, "watchdog timeout")),
    lambda incidents: incidents.weigh(finding("engine_stalled", 5), T + 65),
    lambda incidents: incidents.weigh(finding("engine_dead", 4), T + 5),
    lambda incidents: incidents.weigh(finding("server_unreachable", 6), T + 66),
)


@given(st.permutations(LOSS))
def test_a_lost_gpu_is_one_incident_in_any_order(order: list[Callable[[Incidents], list[Change]]]) -> None:
    """Whatever is seen first: driver, kernel, engine, other ranks, silence. The loss is on top, one key is told."""
    incidents = Incidents(RULES)
    changes = [change for sign in order for change in sign(incidents)]
    assert "gpu_lost" == only(incidents).rule
    assert [OPENED] == [change.transition for change in changes if change.transition is OPENED]
    assert {only(incidents).key} == {change.incident.key for change in changes}


def test_a_server_that_dies_at_every_start_for_want_of_its_gpu_is_no_second_incident() -> None:
    """However late, as long as the GPU is gone and it has not served again; what comes after that is news."""
    incidents = Incidents(RULES)
    lost = finding("gpu_lost", 0, gpu="3")
    assert [(OPENED, "gpu_lost")] == told(incidents.weigh(lost, T))
    for minutes in (2, 5, 9):
        assert [] == incidents.weigh(lost, T + 60 * minutes)
        assert [(UPDATED, "gpu_lost")] == told(incidents.observe(event("startup_failed", 60 * minutes)))
    incidents.weigh(lost, T + 800)
    assert [] == incidents.tick(T + 800, serving(700))
    assert [(OPENED, "cuda_oom")] == told(incidents.observe(event("cuda_oom", 900)))


def test_an_engine_that_idled_on_after_its_gpu_was_lost_dies_of_that() -> None:
    """It noticed with its first request; it has never ceased to serve before, so it has not come back."""
    incidents = Incidents(RULES)
    incidents.weigh(finding("gpu_lost", 0, gpu="3"), T)
    for at in range(0, 240, 30):
        incidents.weigh(finding("gpu_lost", 0, gpu="3"), T + at)
        assert [] == incidents.tick(T + at, serving(-500))
    assert [(UPDATED, "gpu_lost")] == told(incidents.observe(event("cuda_error", 240)))


def test_a_lost_gpu_is_over_when_it_and_its_server_are_back() -> None:
    """Neither alone: a GPU that was reset serves nobody, and a server on the other GPUs leaves one broken."""
    incidents = Incidents(RULES)
    incidents.weigh(finding("gpu_lost", 0, gpu="3"), T)
    assert [] == incidents.tick(T + 1, serving(None))
    incidents.weigh(finding("gpu_lost", 0, gpu="3", holds=False), T + 100)
    assert [] == incidents.tick(T + 500, serving(None))
    assert [] == incidents.tick(T + 600, serving(550))
    assert [(RESOLVED, "gpu_lost")] == told(incidents.tick(T + 610, serving(550)))


def test_a_gpu_that_warns_is_no_part_of_a_crash_and_one_that_fails_is_its_cause() -> None:
    """XID 63 beside a crash is another thing; 119, after which nothing runs, takes it over and waits for the server."""
    incidents = Incidents(RULES)
    incidents.observe(event("engine_dead", 0))
    warns = finding("gpu_xid", 1, gpu="3", xid="63", severity="warning")
    assert [(OPENED, "gpu_xid")] == told(incidents.weigh(warns, T + 1))
    fails = finding("gpu_xid", 2, gpu="2", xid="119", severity="critical")
    assert [(TAKEN_OVER, "gpu_xid")] == told(incidents.weigh(fails, T + 2))
    incidents.weigh(replace(fails, holds=False), T + 3)
    incidents.weigh(replace(warns, holds=False), T + 3)
    assert ["warning"] == [change.incident.severity for change in incidents.tick(T + 400, serving(None))]
    assert [(RESOLVED, "gpu_xid")] == told(incidents.tick(T + 500, serving(450)))


# --- the end


@pytest.mark.parametrize("xid_first", [True, False])
@pytest.mark.parametrize("crash", ["cuda_error", "engine_dead"])
def test_an_xid_of_a_program_warns_and_pages_when_the_engine_dies_of_it(crash: str, *, xid_first: bool) -> None:
    """One incident in either order, with the XID as its cause; who was told of the warning alone hears of the page."""
    incidents = Incidents(RULES)
    xid = event("cuda_error", 0 if xid_first else 5, "Xid 13", kind="gpu_fault_program", severity="warning", xid="13")
    signs = [xid, event(crash, 5 if xid_first else 0, "the engine is dead")]
    changes = [change for each in (signs if xid_first else signs[::-1]) for change in incidents.observe(each)]
    assert "cuda_error" == only(incidents).rule
    assert Severity.CRITICAL is only(incidents).severity
    assert "13" == dict(only(incidents).labels)["xid"]
    opened_as = Severity.WARNING if xid_first else Severity.CRITICAL
    assert (OPENED, opened_as) == (changes[0].transition, changes[0].incident.severity)
    pages = TAKEN_OVER if xid_first or crash == "engine_dead" else UPDATED
    assert [pages] == [change.transition for change in changes[1:]]


def test_more_of_the_same_makes_nothing_worse() -> None:
    """A second XID of a program is counted, and nobody hears of it again."""
    incidents = Incidents(RULES)
    first, second = (
        event("cuda_error", at, "Xid 13", kind="gpu_fault_program", severity="warning", xid="13") for at in (0, 90)
    )
    assert [(OPENED, "cuda_error")] == told(incidents.observe(first))
    assert [(UPDATED, "cuda_error")] == told(incidents.observe(second))
    assert Severity.WARNING is only(incidents).severity


def test_a_crash_resolves_when_it_is_quiet_and_the_server_serves() -> None:
    """Ten minutes of quiet are not enough while the server is down, nor is a server that is just up."""
    incidents = Incidents(RULES)
    incidents.observe(event("cuda_oom", 0))
    assert [] == incidents.tick(T + 599, serving(100))
    assert [] == incidents.tick(T + 5000, serving(None))
    assert [] == incidents.tick(T + 5010, serving(5000))
    assert [(RESOLVED, "cuda_oom")] == told(incidents.tick(T + 5061, serving(5000)))
    assert [] == incidents.open()


def test_where_nobody_knows_of_health_quiet_alone_resolves() -> None:
    """As in a replay; and the moment is that of the quiet's end, whenever it is noticed."""
    incidents = Incidents(RULES)
    incidents.observe(event("cuda_oom", 0))
    (change,) = incidents.tick(T + 99_999, {})
    assert T + 600 == change.incident.resolved


def test_a_hang_that_writes_once_a_minute_is_one_incident() -> None:
    """It does not end and begin with every line."""
    incidents = Incidents(RULES)
    told_: list[tuple[str, str]] = []
    for minute in range(10):
        told_ += told(incidents.tick(T + 61 * minute, {}))
        told_ += told(incidents.observe(event("engine_stalled", 61 * minute)))
    assert [(OPENED, "engine_stalled"), *8 * [(UPDATED, "engine_stalled")]] == told_


# --- life: starts and stops


def life(kind: str, at: float) -> Event:
    """A start, readiness, or wanted stop."""
    return event("", at, kind=kind)


def test_a_wanted_stop_explains_its_consequences() -> None:
    """Workers that end, 500s in flight and a port that closes are no incident after SIGTERM; a cause still is."""
    incidents = Incidents(RULES)
    incidents.observe(life("server_stopping", 0))
    for rule in ("worker_died", "engine_dead", *10 * ("http_5xx",), *10 * ("error_burst",)):
        assert [] == incidents.observe(event(rule, 1))
    assert [] == incidents.weigh(finding("server_unreachable", 2), T + 62)
    assert [(OPENED, "cuda_oom")] == told(incidents.observe(event("cuda_oom", 3)))


def test_a_stop_explains_nothing_after_the_next_start() -> None:
    """But what began with the stop, such as the closed port, is still explained by it."""
    incidents = Incidents(RULES)
    incidents.observe(life("server_stopping", 0))
    incidents.observe(life("server_started", 30))
    assert [] == incidents.weigh(finding("server_unreachable", 2), T + 62)
    assert [(OPENED, "engine_dead")] == told(incidents.observe(event("engine_dead", 40)))


def test_waiting_for_workers_while_it_starts_is_no_stall() -> None:
    """Compilation takes minutes; after `startup complete` the same line is a hang."""
    incidents = Incidents(RULES)
    incidents.observe(life("server_started", 0))
    assert [] == [c for n in range(5) for c in incidents.observe(event("engine_stalled", 60 * n))]
    incidents.observe(life("server_ready", 300))
    changes = [c for n in range(2) for c in incidents.observe(event("engine_stalled", 400 + 60 * n))]
    assert [(OPENED, "engine_stalled")] == told(changes)


def test_a_boot_loop_joins_its_cause_as_a_label() -> None:
    """Three failed starts are one incident, which says that it goes round."""
    incidents = Incidents(RULES)
    for start in (0, 60, 120):
        incidents.observe(life("server_started", start))
        incidents.observe(event("startup_failed", start + 20, cause="port"))
    incident = only(incidents)
    assert ("startup_failed", 3, "3 starts") == (incident.rule, incident.count, dict(incident.labels)["boot_loop"])


def test_a_boot_loop_without_a_cause_is_its_own_incident() -> None:
    """And becomes its cause's when that shows itself."""
    incidents = Incidents(RULES)
    changes = [c for start in (0, 60, 120) for c in incidents.observe(life("server_started", start))]
    assert [(OPENED, "boot_loop")] == told(changes)
    assert [(TAKEN_OVER, "startup_failed")] == told(incidents.observe(event("startup_failed", 400)))
    assert 1 == len(incidents.open())


@pytest.mark.parametrize("between", ["healthy", "stopped", "slow"])
def test_starts_that_are_no_loop(between: str) -> None:
    """With five healthy minutes in between, or by hand, or far apart."""
    incidents = Incidents(RULES)
    step = {"healthy": 400, "stopped": 60, "slow": 1000}[between]
    for start in range(0, 6 * step, step):
        assert [] == incidents.observe(life("server_started", start))
        if between == "healthy":
            incidents.observe(life("server_ready", start + 10))
        if between == "stopped":
            incidents.observe(life("server_stopping", start + 50))


# --- restart, rules, bounds


@pytest.mark.parametrize("cut", range(1, 14))
def test_a_restart_anywhere_changes_nothing(cut: int) -> None:
    """The same events, findings and ticks give the same incidents, also when the process ends in between."""
    steps: list[Event | Finding] = [
        event("http_5xx", 0),
        event("request_timeout", 1),
        event("engine_dead", 2),
        finding("server_unreachable", 3),
        event("cuda_oom", 4, gpu="1"),
        life("server_started", 30),
        event("error_burst", 40, template="a"),
        life("server_started", 90),
        event("cuda_oom", 95),
        life("server_started", 150),
        finding("server_unreachable", 3, holds=False),
        *(event("http_5xx", 900 + n) for n in range(4)),
    ]

    def run(incidents: Incidents, part: list[Event | Finding]) -> list[Change]:
        done = []
        for step in part:
            done += incidents.observe(step) if isinstance(step, Event) else incidents.weigh(step, step.since + 60)
        return done

    whole = Incidents(RULES)
    expected = run(whole, steps)
    first, second = Incidents(RULES), Incidents(RULES)
    before = run(first, steps[:cut])
    second.restore(first.remember(), first.open())
    assert expected == [*before, *run(second, steps[cut:])]
    assert whole.tick(T + 9999, serving(1000)) == second.tick(T + 9999, serving(1000))


def test_open_incidents_without_a_memory_go_on() -> None:
    """If only the store's rows are left, more of the same is no second incident."""
    first, second = Incidents(RULES), Incidents(RULES)
    first.observe(event("cuda_oom", 0))
    second.restore(None, first.open())
    assert [(UPDATED, "cuda_oom")] == told(second.observe(event("cuda_oom", 100)))


def old(rule: str, at: float, *, kind: str = "") -> Event:
    """An event of a line that stood there before its file was first seen."""
    found = event(rule, at, kind=kind)
    return replace(found, record=replace(found.record, old=True))


def test_what_stood_there_before_warms_windows_and_opens_nothing() -> None:
    """A crash before we came is not news; of ten errors that began before it the next one is the tenth."""
    incidents = Incidents(RULES)
    for at in range(60):
        assert [] == incidents.observe(old("cuda_oom", at))
        assert [] == incidents.observe(old("http_5xx", at))
        assert [] == incidents.observe(old("", at, kind="server_started"))
    assert [(OPENED, "http_5xx")] == told(incidents.observe(event("http_5xx", 61)))


def test_what_is_found_late_says_so() -> None:
    """After downtime the incident says by how much, also when its cause takes over."""
    incidents = Incidents(RULES)
    first = event("engine_dead", 0)
    incidents.observe(replace(first, record=replace(first.record, late_seconds=700.0)))
    assert "Engine dead, detected late by 12 min" == only(incidents).title
    incidents.observe(event("cuda_oom", 2))
    assert "GPU out of memory, detected late by 12 min" == only(incidents).title
    incidents = Incidents(RULES)
    incidents.observe(event("cuda_oom", 0))
    assert "GPU out of memory" == only(incidents).title


def test_disabled_and_unknown_rules_open_nothing() -> None:
    """Their events are counted elsewhere; what was open under them ends in quiet."""
    incidents = Incidents(merge({"cuda_oom": RuleSettings(enabled=False), "gpu_hot": RuleSettings(enabled=False)}))
    assert [] == incidents.observe(event("cuda_oom", 0))
    assert [] == incidents.observe(event("of_no_rule", 0))
    assert [] == incidents.weigh(finding("gpu_hot", 0), T)
    first = Incidents(merge({"mine": RuleSettings(title="Mine", count=1)}))
    first.observe(event("mine", 0))
    incidents.restore(first.remember(), first.open())
    assert [(RESOLVED, "mine")] == told(incidents.tick(T + 601, {}))


def test_a_users_threshold_is_kept() -> None:
    """Three 5xx in ten seconds, if that is what was asked for."""
    incidents = Incidents(merge({"http_5xx": RuleSettings(count=3)}))
    changes = [c for n in range(3) for c in incidents.observe(event("http_5xx", n))]
    assert [(OPENED, "http_5xx")] == told(changes)
    assert 3 == only(incidents).count


@pytest.mark.no_cover
def test_ever_new_messages_cost_flat_memory() -> None:
    """Fifty thousand different errors, each often enough to burst in its turn, leave little behind."""
    incidents = Incidents(RULES)
    sizes = []
    for n in range(50_000):
        incidents.observe(event("error_burst", n / 100, f"error {n}", template=f"t{n // 10}"))
        if n in (25_000, 49_999):
            sizes.append(len(incidents.remember()))
    assert 20 >= len(incidents.open())
    assert 1.2 * sizes[0] > sizes[1]
    assert 200_000 > sizes[1]


def test_evidence_and_labels_are_few_and_short() -> None:
    """Whatever stands in the log."""
    incidents = Incidents(RULES)
    for n in range(100):
        record = Record("f", "ERROR", f"{n}" + "x" * 9000, "llama", process=f"Worker_TP{n}", offset=n)
        incidents.observe(Event("cuda_oom", "cuda_oom", "llama", T, record, {"error": "y" * 9000, "unheard_of": "z"}))
    incident = only(incidents)
    assert 5 == len(incident.evidence)
    assert all(len(line) <= 301 for line in incident.evidence)
    assert {"error", "processes"} == {name for name, _ in incident.labels}
    assert all(len(value) <= 200 for _, value in incident.labels)
    assert 8 == len(dict(incident.labels)["processes"].split(","))


# --- resolved by hand


def test_an_incident_ends_when_a_person_says_so() -> None:
    """Whatever its rule waits for; the next sign of the same begins another one, and an unknown key changes nothing."""
    incidents = Incidents(RULES)
    incidents.observe(event("cuda_oom", 0))
    key = only(incidents).key
    assert [] == incidents.resolve("vigil-unknown", T + 5)
    (change,) = incidents.resolve(key, T + 5)
    assert (RESOLVED, key, T + 5) == (change.transition, change.incident.key, change.incident.resolved)
    assert ("ended", "resolved by hand") in change.incident.labels
    assert [] == incidents.open()
    assert [(OPENED, "cuda_oom")] == told(incidents.observe(event("cuda_oom", 90, offset=9)))
    assert key != only(incidents).key


def test_a_finding_that_still_holds_opens_nothing_after_a_person_ended_it() -> None:
    """Across a restart too; once it has ceased, it counts again, and so does one that nobody makes any more."""
    incidents = Incidents(RULES)
    incidents.weigh(finding("gpu_hot", 0), T)
    incidents.resolve(only(incidents).key, T + 5)
    assert [] == incidents.weigh(finding("gpu_hot", 0), T + 10)
    after = Incidents(RULES)
    after.restore(incidents.remember(), [])
    assert [] == after.weigh(finding("gpu_hot", 0), T + 15)
    assert [] == after.weigh(finding("gpu_hot", 0, holds=False), T + 20)
    assert [(OPENED, "gpu_hot")] == told(after.weigh(finding("gpu_hot", 30), T + 30))
    incidents.tick(T + 1000, {})
    assert [(OPENED, "gpu_hot")] == told(incidents.weigh(finding("gpu_hot", 1000), T + 1001))


# --- a wall clock that jumps

DAY = 86_400.0


def test_a_clock_that_is_set_back_a_day_keeps_no_incident_open_for_a_day() -> None:
    """Its quiet time begins with the jump; the incident is told of once, and never as over before it began."""
    incidents = Incidents(RULES)
    incidents.observe(event("cuda_oom", 0, "no memory"))
    assert [] == incidents.tick(T + 10, serving(5))
    assert [] == incidents.tick(T + 11 - DAY, serving(None))
    assert [] == incidents.tick(T + 30 - DAY, serving(20 - DAY))
    (over,) = incidents.tick(T + 3600 - DAY, serving(20 - DAY))
    assert RESOLVED is over.transition
    assert over.incident.opened <= over.incident.updated <= (over.incident.resolved or 0.0)


def test_a_burst_is_seen_across_a_jump_either_way() -> None:
    """As many as the rule asks for, counted from the jump on, also by a process that began after it."""
    rule = next(rule for rule in RULES.values() if rule.count > 1)
    for day in (DAY, -DAY):
        before, after = Incidents(RULES), Incidents(RULES)
        assert [] == before.observe(event(rule.id, 0))
        before.tick(T + 1, {})
        after.restore(before.remember(), [])
        for incidents in (before, after):
            incidents.tick(T + 2 + day, {})
            told_ = [change for n in range(rule.count) for change in incidents.observe(event(rule.id, 3 + day + n / 9))]
            assert (OPENED, rule.id) == told(told_)[0]


def test_an_incident_of_a_time_that_has_not_come_ends_after_a_restart_too() -> None:
    """The clock was set back while the sidecar was down."""
    before, after = Incidents(RULES), Incidents(RULES)
    before.observe(event("cuda_oom", DAY, "no memory"))
    after.restore(before.remember(), before.open())
    assert [] == after.tick(T, serving(-10))
    assert [(RESOLVED, "cuda_oom")] == told(after.tick(T + 3600, serving(-10)))


def test_a_wanted_stop_explains_the_end_though_the_clock_is_set_back_between() -> None:
    """SIGTERM, then NTP, then the engine goes: nobody is paged."""
    incidents = Incidents(RULES)
    incidents.observe(event("", 0, "stopping", kind="server_stopping"))
    incidents.tick(T + 1 - DAY, serving(None))
    assert [] == incidents.observe(event("engine_dead", 2 - DAY, "dead"))


def test_a_clock_set_on_by_a_day_opens_nothing_twice() -> None:
    """An incident that is open stays that one while what it is made of goes on, also a day later."""
    incidents = Incidents(RULES)
    opened = incidents.observe(event("cuda_oom", 0, "no memory"))
    again = incidents.observe(event("cuda_oom", DAY, "no memory"))
    assert [(OPENED, "cuda_oom"), (UPDATED, "cuda_oom")] == told([*opened, *again])
    assert opened[0].incident.key == again[0].incident.key
