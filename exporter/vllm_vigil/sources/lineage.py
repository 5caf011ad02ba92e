"""The table of processes and who listens where -> what each process is to a configured server: its part in it.

vLLM names its processes from 0.10.1 on (`VLLM::EngineCore_DP0`, `VLLM::Worker_DP0_PP0_TP1_EP1`; the table in the
middle). Before that they show as `python -c "from multiprocessing.spawn ..."` below the API server, and how deep they
stand tells what they are: V1's engine core below the API server, its workers below that. Their rank is not known then.

A process belongs to the server whose listener it is, or in whose tree it stands. The tree begins at the topmost
process that is vLLM, because with several API servers the one that listens is itself a child. Workers under Ray stand
below Ray's own daemon: they belong to the one server that shares their cgroup, if only one does.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from vllm_vigil.sources.processes import Process, Table, ancestry

API_SERVER, ENGINE_CORE, WORKER, COORDINATOR, LAUNCHER = (
    "api_server",
    "engine_core",
    "worker",
    "coordinator",
    "launcher",
)
OTHER, FOREIGN, HIDDEN = "other", "foreign", "hidden"

TITLES = (
    (re.compile(r"API_?Server(?:_(?P<rank>\d+))?", re.IGNORECASE), API_SERVER),
    (re.compile(r"EngineCore(?:_(?P<rank>(?:DP)?\d+))?"), ENGINE_CORE),
    (re.compile(r"(?:Vllm)?Worker(?:[ _](?P<rank>[A-Z]{2,4}\d+(?:_[A-Z]{2,4}\d+)*))?"), WORKER),
    (re.compile(r"DP_?Coordinator"), COORDINATOR),
    (re.compile(r"MainProcess|DPSupervisor"), LAUNCHER),
)
"""What stands after `VLLM::`, and the role that it gives. Titles are cut by nobody: only `comm` is."""

_DATA_PARALLEL = re.compile(r"(?:^|_)DP(\d+)")
MAX_RANK_CHARACTERS = 40


@dataclass(frozen=True, slots=True)
class Part:
    """What a process is: of which server ("" if of none that is configured), which engine, which role, which rank."""

    server: str
    role: str
    rank: str = ""

    @property
    def engine(self) -> str:
        """The index that vLLM's metrics call `engine`: the data-parallel rank, "" where no engine is meant."""
        if self.role not in (ENGINE_CORE, WORKER):
            return ""
        found = _DATA_PARALLEL.search(self.rank)
        return found[1] if found else "0"


class Lineage:
    """Answers for one look at the processes. `listeners` are the processes behind the configured servers."""

    def __init__(self, table: Table, listeners: Mapping[str, Process], cgroup: Callable[[int], str]) -> None:
        self._table = table
        self._listening = {process.pid for process in listeners.values()}
        self._cgroup = cgroup
        self._roots = {self._root(process): server for server, process in listeners.items()}
        vllm = [process for process in table.values() if process.argv and process.is_vllm]
        self._around = set(self._roots) | {self._root(process) for process in vllm}
        titles = [(self._top(process), process.title) for process in vllm if process.title.startswith("VLLM::")]
        self._titled = {top for top, _ in titles}
        self._fronted = {top for top, title in titles if titled(title)[0] == API_SERVER}
        self._servers_of_cgroups = self._cgroups()

    def part(self, process: Process) -> Part:
        """What this process is; foreign if it has nothing to do with any vLLM."""
        top = self._top(process)
        if top is None:
            return Part("", FOREIGN)
        server = self._roots.get(top) or self._by_cgroup(process)
        role, rank = self._role(process, top)
        return Part(server, role, rank)

    def members(self) -> dict[int, Part]:
        """Every process of every vLLM, by pid."""
        children: dict[int, list[int]] = {}
        for process in self._table.values():
            children.setdefault(process.parent, []).append(process.pid)
        parts: dict[int, Part] = {}
        waiting = [pid for pid in self._around if pid in self._table]
        while waiting:
            pid = waiting.pop()
            if pid not in parts:
                parts[pid] = self.part(self._table[pid])
                waiting += children.get(pid, ())
        return parts

    def _root(self, process: Process) -> int:
        """Where the tree of a process begins: the topmost ancestor that is vLLM, or the process itself."""
        return next((each.pid for each in reversed(ancestry(self._table, process.pid)) if each.is_vllm), process.pid)

    def _top(self, process: Process) -> int | None:
        """The root of the tree in which a process stands, None if it stands in none."""
        above = reversed(ancestry(self._table, process.pid))
        return next((each.pid for each in above if each.pid in self._around), None)

    def _role(self, process: Process, top: int) -> tuple[str, str]:
        if process.title.startswith("VLLM::"):
            return titled(process.title)
        if process.title.startswith("ray::"):
            return (WORKER, "") if process.is_vllm else (OTHER, "")
        if process.pid == top or process.pid in self._listening:
            return (LAUNCHER if top in self._fronted else API_SERVER), ""
        if top in self._titled or not _is_child_of_python(process, self._table):
            return OTHER, ""
        above = ancestry(self._table, process.pid)
        depth = sum(_is_child_of_python(each, self._table) for each in above if each.pid != top)
        return (ENGINE_CORE if depth == 1 else WORKER), ""

    def _cgroups(self) -> dict[str, str]:
        servers: dict[str, list[str]] = {}
        for root, server in self._roots.items():
            servers.setdefault(self._cgroup(root), []).append(server)
        return {name: found[0] for name, found in servers.items() if name and len(found) == 1}

    def _by_cgroup(self, process: Process) -> str:
        if not process.title.startswith("ray::"):
            return ""
        return self._servers_of_cgroups.get(self._cgroup(process.pid), "")


def titled(title: str) -> tuple[str, str]:
    """Role and rank that a title of vLLM's gives; a title that is not known is of some other part."""
    name = title.removeprefix("VLLM::").strip()
    for pattern, role in TITLES:
        if match := pattern.fullmatch(name):
            rank = match.groupdict().get("rank") or ""
            if role == ENGINE_CORE and rank.isdecimal():
                rank = f"DP{rank}"
            return role, rank[:MAX_RANK_CHARACTERS]
    return OTHER, ""


def _is_child_of_python(process: Process, table: Table) -> bool:
    """Whether multiprocessing has made it, by spawning or by forking; its resource tracker does not count."""
    parent = table.get(process.parent)
    forked = parent is not None and parent.argv != () and parent.argv == process.argv
    return forked or any(
        "multiprocessing.spawn" in word or "multiprocessing.forkserver" in word for word in process.argv
    )
