"""One look at the host -> samples and facts, with what is remembered from look to look. For the worker's thread only.

Who listens on a server's port is asked again when the processes that are vLLM have changed, when the one that was
found is gone, and every `LISTENERS_AGAIN` looks; in between it stands.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from loguru import logger

from vllm_vigil.model import Labels, Sample, labels
from vllm_vigil.sources.attribution import attribute, sees_whole_host
from vllm_vigil.sources.cgroup import Cgroup, Cgroups
from vllm_vigil.sources.connections import Connections
from vllm_vigil.sources.gpu_processes import GpuProcesses
from vllm_vigil.sources.lineage import OTHER, Lineage, Part
from vllm_vigil.sources.listeners import Address, Listeners
from vllm_vigil.sources.processes import HERTZ, Process, Processes, Table, read_bytes

LISTENERS_AGAIN = 12
KIBIBYTE = 1024
OF_HOST = (
    ("host_memory_available_bytes", "meminfo", "MemAvailable:", KIBIBYTE),
    ("host_memory_total_bytes", "meminfo", "MemTotal:", KIBIBYTE),
    ("host_oom_kills_total", "vmstat", "oom_kill", 1),
)
"""Samples of the host: their file in /proc, what their line begins with, and their unit."""

PARTS_LIMIT = 1024
"""Parts of servers whose restarts are counted; a server of 512 GPUs has as many workers."""


@dataclass(frozen=True, slots=True)
class Look:
    """What one look came to."""

    samples: tuple[Sample, ...] = ()
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class _Starts:
    """Starts of one part: the newest process' ticks and time (epoch seconds), and how often a newer one has come."""

    ticks: int
    at: float
    restarts: int = 0


class HostWatch:
    """The host through one /proc."""

    def __init__(self, proc: Path) -> None:
        self._proc = proc
        self._processes = Processes(proc)
        self._listeners = Listeners(proc)
        self._connections = Connections(proc)
        self._cgroups = Cgroups(proc)
        self._watched: set[int] = set()
        self._vllm: frozenset[tuple[int, int]] = frozenset()
        self._found: dict[str, Process] = {}
        self._looks = 0
        self._starts: dict[Labels, _Starts] = {}
        self._last_cgroup: dict[str, Cgroup] = {}
        self._unseen: frozenset[int] = frozenset()
        self._troubles = ""
        self._told_denied = False

    def look(self, servers: Mapping[str, Address], gpus: Sequence[GpuProcesses]) -> Look:
        """Read everything once. Raises OSError if there is no /proc."""
        listed = {pid for each in gpus for pid, _ in each.processes or ()}
        table = self._processes.look(self._watched | listed)
        self._find_listeners(servers, table)
        lineage = Lineage(table, self._found, self._cgroups.name)
        members = lineage.members()
        self._watched = set(members)
        given = attribute(gpus, table, lineage, whole_host=sees_whole_host(self._proc), unseen_before=self._unseen)
        self._unseen = given.unseen
        self._tell("; ".join(given.troubles))
        of_servers = (*self._of_parts(table, members), *self._of_cgroups(), *self._of_ports(servers, table))
        return Look((*self._of_host(), *of_servers, *given.samples), self._facts(servers, members, given.troubles))

    def _find_listeners(self, servers: Mapping[str, Address], table: Table) -> None:
        vllm = frozenset((each.pid, each.started_ticks) for each in table.values() if each.argv and each.is_vllm)
        self._found = {server: table[each.pid] for server, each in self._found.items() if _lives(each, table)}
        again = self._looks % LISTENERS_AGAIN == 0 or vllm != self._vllm
        self._looks += 1
        self._vllm = vllm
        for server, address in servers.items():
            if again or server not in self._found:
                found = self._listeners.find(address, table)
                if found is not None:
                    self._found[server] = found
        if self._listeners.denied and not self._told_denied:
            self._told_denied = True
            logger.info("open files of other users are closed to us: vLLM's processes are told by user and port")

    def _of_host(self) -> Iterator[Sample]:
        for name, file, line, times in OF_HOST:
            number = _number(f"{self._proc}/{file}", line)
            if number is not None:
                yield Sample(name, (), float(number * times))

    def _of_parts(self, table: Table, members: Mapping[int, Part]) -> Iterator[Sample]:
        """Size and start of every part of the configured servers; a part may be several processes."""
        groups: dict[Labels, list[Process]] = {}
        for pid, part in members.items():
            if part.server:
                who = labels(server=part.server, engine=part.engine, role=part.role, rank=part.rank)
                groups.setdefault(who, []).append(table[pid])
        for who, processes in groups.items():
            size = sum(process.resident_bytes for process in processes)
            yield Sample("llm_process_resident_memory_bytes", who, float(size))
            if dict(who)["role"] != OTHER:
                newest = max(process.started_ticks for process in processes)
                yield Sample("llm_process_start_time_seconds", who, self._started(who, newest))
        for who, starts in self._starts.items():
            if who in groups or starts.restarts:  # a child that has no title yet is soon under another name
                yield Sample("llm_process_restarts_total", who, float(starts.restarts))

    def _started(self, who: Labels, ticks: int) -> float:
        """When the newest process of a part began, worked out once so that it stands still while the clock is set."""
        starts = self._starts.get(who)
        if starts is not None and starts.ticks == ticks:
            return starts.at
        at = self._boot_time() + ticks / HERTZ
        if starts is None and len(self._starts) < PARTS_LIMIT:
            self._starts[who] = _Starts(ticks, at)
        elif starts is not None:
            starts.restarts += ticks > starts.ticks
            starts.ticks, starts.at = ticks, at
        return at

    def _boot_time(self) -> float:
        return float(_number(f"{self._proc}/stat", "btime") or 0)

    def _of_cgroups(self) -> Iterator[Sample]:
        ours = self._cgroups.of("self")
        if ours is not None and (kills := ours.oom_kills()) is not None:
            yield Sample("vigil_cgroup_oom_kills_total", (), float(kills))
        for server, process in self._found.items():
            cgroup = self._cgroups.of(process.pid)
            if cgroup is not None:
                self._last_cgroup[server] = cgroup
        for server, cgroup in self._last_cgroup.items():
            who = labels(server=server)
            for name, value in (
                ("oom_kills_total", cgroup.oom_kills()),
                ("memory_used_bytes", cgroup.used_bytes()),
                ("memory_limit_bytes", cgroup.limit_bytes()),
            ):
                if value is not None:
                    yield Sample(f"llm_cgroup_{name}", who, float(value))

    def _of_ports(self, servers: Mapping[str, Address], table: Table) -> Iterator[Sample]:
        for server, address in servers.items():
            held = self._connections.count(address, self._found.get(server), table)
            if held is not None:
                yield Sample("llm_server_connections", labels(server=server), float(held))

    def _facts(
        self, servers: Mapping[str, Address], members: Mapping[int, Part], troubles: Sequence[str]
    ) -> dict[str, str]:
        counts = {server: sum(part.server == server for part in members.values()) for server in servers}
        facts = {"servers": ", ".join(f"{server} {count} processes" for server, count in counts.items())}
        return facts | ({"attribution": "; ".join(troubles)} if troubles else {})

    def _tell(self, troubles: str) -> None:
        if troubles and troubles != self._troubles:
            logger.warning("who holds the memory of the GPUs cannot be told: {}", troubles)
        elif self._troubles and not troubles:
            logger.info("who holds the memory of the GPUs can be told again")
        self._troubles = troubles


def _lives(process: Process, table: Table) -> bool:
    now = table.get(process.pid)
    return now is not None and now.started_ticks == process.started_ticks


def _number(path: str, name: str) -> int | None:
    """The first number behind a name at the beginning of a line of a file such as `meminfo` or `vmstat`."""
    found = re.search(rb"^%s\s+(\d+)" % name.encode(), read_bytes(path, 1 << 20), re.MULTILINE)
    return int(found[1]) if found else None
