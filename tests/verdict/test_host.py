"""Findings on OOM kills."""

from __future__ import annotations

from vllm_vigil.model import Point, Reading, Series, Snapshot, labels
from vllm_vigil.verdict.host import HOLDS_SECONDS, TOGETHER_SECONDS, HostVerdict

GOOD = Reading("host", "", 0.0, 0.01)


def snapshot(*, engine: float | None = 100.0, cgroup: float | None = 0.0, host: float = 5.0) -> Snapshot:
    """One server: when its engine core began (None: there is none), and the kills of its cgroup and of the host."""
    points = {
        "llm_process_start_time_seconds": [
            Point(labels(server="llama", role="api_server"), 90.0),
            *([Point(labels(server="llama", role="engine_core", engine="0"), engine)] if engine is not None else []),
        ],
        "llm_cgroup_oom_kills_total": [Point(labels(server="llama"), cgroup)] if cgroup is not None else [],
        "host_oom_kills_total": [Point((), host)],
    }
    return Snapshot({name: Series(name, tuple(found)) for name, found in points.items()})


def holds(verdict: HostVerdict, shown: Snapshot, now: float, reading: Reading | None = GOOD) -> bool:
    """Whether something is found now."""
    return any(found.holds for found in verdict.judge(reading, shown, now))


def test_a_kill_in_the_cgroup_and_a_process_that_is_gone_are_an_oom_kill() -> None:
    """With what was seen, and for a minute, so that what follows folds into it."""
    verdict = HostVerdict()
    assert not holds(verdict, snapshot(), 1000)
    (found,) = verdict.judge(GOOD, snapshot(engine=None, cgroup=1.0, host=6.0), 1005)
    assert (found.rule, found.server, found.holds, found.since) == ("host_oom_kill", "llama", True, 1005)
    assert found.summary == "OOM kills in vLLM's cgroup rose by 1, and engine_core of llama is gone"
    assert dict(found.labels) == {"killed": "engine_core"}
    assert holds(verdict, snapshot(engine=None, cgroup=1.0, host=6.0), 1004 + HOLDS_SECONDS)
    assert not holds(verdict, snapshot(engine=None, cgroup=1.0, host=6.0), 1005 + HOLDS_SECONDS)


def test_they_may_be_seen_one_after_the_other_but_not_long_after() -> None:
    """A reading between the two is ordinary; a stop a minute later is another thing."""
    soon, late = HostVerdict(), HostVerdict()
    for verdict in (soon, late):
        holds(verdict, snapshot(), 1000)
        assert not holds(verdict, snapshot(cgroup=1.0), 1005)
    assert holds(soon, snapshot(engine=200.0, cgroup=1.0), 1005 + TOGETHER_SECONDS)
    assert not holds(late, snapshot(engine=200.0, cgroup=1.0), 1006 + TOGETHER_SECONDS)


def test_either_alone_is_none() -> None:
    """A restart, and the kill of another program in the same cgroup."""
    verdict = HostVerdict()
    assert not holds(verdict, snapshot(), 1000)
    assert not holds(verdict, snapshot(engine=200.0), 1005)
    assert not holds(verdict, snapshot(engine=200.0, cgroup=1.0), 1100)


def test_the_host_s_count_speaks_where_the_cgroup_went_with_the_process() -> None:
    """And only there: a kill elsewhere on the host is not vLLM's."""
    gone, there = HostVerdict(), HostVerdict()
    for verdict in (gone, there):
        holds(verdict, snapshot(), 1000)
    assert holds(gone, snapshot(engine=None, cgroup=None, host=6.0), 1005)
    assert not holds(there, snapshot(engine=None, cgroup=0.0, host=6.0), 1005)


def test_kills_before_the_first_look_and_in_an_older_cgroup_do_not_count() -> None:
    """A new container's count begins anew, and its first kill counts."""
    verdict = HostVerdict()
    assert not holds(verdict, snapshot(cgroup=7.0), 1000)
    assert not holds(verdict, snapshot(engine=200.0, cgroup=0.0), 1005)
    assert holds(verdict, snapshot(engine=300.0, cgroup=1.0), 1100)


def test_while_the_host_cannot_be_read_nothing_is_gone() -> None:
    """No series is not the same as no process."""
    verdict = HostVerdict()
    failed = Reading("host", "", 0.0, 0.01, error="/proc cannot be read")
    holds(verdict, snapshot(), 1000)
    assert not holds(verdict, Snapshot(), 1005, failed)
    assert not holds(verdict, Snapshot(), 1006, None)
    assert not holds(verdict, snapshot(cgroup=1.0), 1007)
