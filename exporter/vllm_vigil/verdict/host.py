"""Series of this host -> findings on OOM kills of vLLM's processes.

Two things must come together within `TOGETHER_SECONDS`: the count of OOM kills of the server's cgroup has risen, and a
process of the server is gone. Either alone is something else: a cgroup may hold other programs too, and a process may
have been stopped on purpose. Where the cgroup cannot be read, as when the container went with it, the host's count
speaks instead.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from vllm_vigil.model import Finding, Labels, Point, Reading, Snapshot, labels

TOGETHER_SECONDS = 15.0
HOLDS_SECONDS = 60.0


@dataclass(slots=True)
class _Server:
    """What is remembered of one server; times in epoch seconds, None before it ever happened."""

    processes: frozenset[tuple[Labels, float]] = frozenset()
    kills: float | None = None
    killed_at: float | None = None
    kill: str = ""
    gone_at: float | None = None
    gone: str = ""
    found_at: float | None = None


@dataclass(slots=True)
class HostVerdict:
    """Judges the servers' processes, tick by tick."""

    _servers: dict[str, _Server] = field(default_factory=dict)
    _host_kills: float | None = None

    def judge(self, reading: Reading | None, snapshot: Snapshot, now: float) -> tuple[Finding, ...]:
        """The findings of this tick; while the host cannot be read nothing is seen to change."""
        if reading is not None and reading.error is None:
            self._note(snapshot, now)
        return tuple(
            self._finding(name, server, now) for name, server in self._servers.items() if server.found_at is not None
        )

    def _note(self, snapshot: Snapshot, now: float) -> None:
        running: dict[str, set[tuple[Labels, float]]] = {}
        for point in snapshot.points("llm_process_start_time_seconds"):
            running.setdefault(_value(point, "server"), set()).add((point.labels, point.value))
        cgroups = {_value(point, "server"): point.value for point in snapshot.points("llm_cgroup_oom_kills_total")}
        host = next((point.value for point in snapshot.points("host_oom_kills_total")), None)
        of_host = _risen(self._host_kills, host)
        self._host_kills = host if host is not None else self._host_kills
        for name in running.keys() | cgroups.keys() | self._servers.keys():
            server = self._servers.setdefault(name, _Server())
            _note_kills(server, cgroups.get(name), of_host, now)
            _note_gone(server, frozenset(running.get(name, ())), now)
            together = (
                server.killed_at is not None
                and server.gone_at is not None
                and abs(server.killed_at - server.gone_at) <= TOGETHER_SECONDS
            )
            if together:
                server.found_at, server.killed_at, server.gone_at = now, None, None

    def _finding(self, name: str, server: _Server, now: float) -> Finding:
        since = server.found_at or now
        summary = f"{server.kill}, and {server.gone} of {name} is gone"
        return Finding("host_oom_kill", name, now - since < HOLDS_SECONDS, since, summary, labels(killed=server.gone))


def _note_kills(server: _Server, kills: float | None, of_host: float, now: float) -> None:
    risen = of_host if kills is None else _risen(server.kills, kills)
    if risen > 0:
        where = "the whole host" if kills is None else "vLLM's cgroup"
        server.killed_at, server.kill = now, f"OOM kills in {where} rose by {risen:.0f}"
    server.kills = kills if kills is not None else server.kills


def _note_gone(server: _Server, running: frozenset[tuple[Labels, float]], now: float) -> None:
    gone = sorted(server.processes - running)
    if gone:
        server.gone_at, server.gone = now, ", ".join(_role(each) for each, _ in gone[:4])
    server.processes = running


def _risen(before: float | None, now: float | None) -> float:
    """By how much a counter has risen; a lower one has begun anew, the first says nothing."""
    if before is None or now is None:
        return 0.0
    return now - before if now >= before else now


def _role(of: Labels) -> str:
    known = dict(of)
    return " ".join(known[name] for name in ("role", "rank") if name in known)


def _value(point: Point, name: str) -> str:
    return next((value for key, value in point.labels if key == name), "")
