"""What a played server's processes and connections look like -> a /proc tree in a directory, for `host.proc`.

Two servers that are no processes of this machine get processes, memory and clients all the same: written as the
kernel shows them, as far as `sources/host.py` reads them.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from vllm_vigil.demo.vllm import Vllm

HERTZ, PAGE = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")
BOOTED = 1_700_000_000
TOTAL_KIBIBYTES, FREE_KIBIBYTES = 1_056_000_000, 820_000_000
API_BYTES, CORE_BYTES = 1_800_000_000, 9_500_000_000
MOST_CONNECTIONS = 2_000
HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
REST = "00000000:00000000 00:00000000 00000000"


@dataclass(frozen=True, slots=True)
class Process:
    """One process; `inode` is that of its listening socket."""

    pid: int
    argv: tuple[str, ...]
    parent: int
    begun: float
    resident_bytes: int
    inode: int = 0


@dataclass(slots=True)
class ProcTree:
    """The tree. `ports` says where each server listens."""

    root: Path
    ports: dict[str, int]
    oom_kills: int = 0
    _shown: dict[str, tuple[Process, ...]] = field(default_factory=dict)

    def begin(self) -> None:
        """Make the tree of a host without vLLM."""
        net = self.root / "self" / "net"
        net.mkdir(parents=True, exist_ok=True)
        (self.root / "stat").write_text(f"cpu  1 2 3\nbtime {BOOTED}\n", encoding="utf-8")
        (self.root / "self" / "status").write_text("Name:\tvigil\nNSpid:\t900\n", encoding="utf-8")
        (net / "fib_trie").write_text("Main:\n     |-- 127.0.0.1\n        /32 host LOCAL\n", encoding="utf-8")
        for pid, name in ((1, "init"), (2, "kthreadd")):
            self._write(Process(pid, (), 0, BOOTED + 1.0, PAGE), name)

    def show(self, servers: Iterable[Vllm], now: float) -> None:
        """Bring the tree to what the servers are now."""
        servers = list(servers)
        for server in servers:
            wanted = tuple(_processes(server, self.ports[server.name], now))
            before = self._shown.get(server.name, ())
            for gone in {each.pid for each in before} - {each.pid for each in wanted}:
                shutil.rmtree(self.root / str(gone))
            for process in wanted:
                if process not in before:
                    self._write(process, Path(process.argv[0]).name[:15])
            self._shown[server.name] = wanted
        held = sum(each.resident_bytes for shown in self._shown.values() for each in shown)
        free = max(0, FREE_KIBIBYTES - held // 1024)
        memory = f"MemTotal: {TOTAL_KIBIBYTES} kB\nMemAvailable: {free} kB\n"
        (self.root / "meminfo").write_text(memory, encoding="utf-8")
        (self.root / "vmstat").write_text(f"oom_kill {self.oom_kills}\n", encoding="utf-8")
        (self.root / "self" / "net" / "tcp").write_text("".join(self._sockets(servers)), encoding="utf-8")

    def _write(self, process: Process, name: str) -> None:
        home = self.root / str(process.pid)
        ticks = int((process.begun - BOOTED) * HERTZ)
        rest = f"S {process.parent} " + "0 " * 17 + f"{ticks} 0 {process.resident_bytes // PAGE}"
        if not home.exists():
            (home / "fd").mkdir(parents=True)
            (home / "comm").write_text(f"{name}\n", encoding="utf-8")
            (home / "cmdline").write_bytes("\0".join((*process.argv, "")).encode() if process.argv else b"")
            (home / "status").write_text(f"Name:\t{name}\nUid:\t1000\t1000\t1000\t1000\n", encoding="utf-8")
            (home / "cgroup").write_text("0::/\n", encoding="utf-8")
            (home / "net").symlink_to(self.root / "self" / "net")
            if process.inode:
                (home / "fd" / "7").symlink_to(f"socket:[{process.inode}]")
        (home / "stat").write_text(f"{process.pid} ({name}) {rest} 0 0\n", encoding="utf-8")

    def _sockets(self, servers: Iterable[Vllm]) -> Iterator[str]:
        yield HEAD
        servers = [server for server in servers if server.is_open]
        for server in servers:
            port = self.ports[server.name]
            yield f"0: 0100007F:{port:04X} 00000000:0000 0A {REST} 1000 0 {server.log.pid} 1 0 100 0 0 10 0\n"
        for server in servers:
            local = f"0100007F:{self.ports[server.name]:04X}"
            for number in range(min(server.connections, MOST_CONNECTIONS)):
                yield f"1: {local} 0100007F:{20_000 + number:04X} 01 {REST} 1000 0 0 1 0 100 0 0 10 0\n"


def _processes(server: Vllm, port: int, now: float) -> Iterator[Process]:
    """API server, engine cores, and a worker for each GPU where an engine has several."""
    if not server.has_processes:
        return
    api = server.log.pid
    begun = server.started or now
    argv = ("/usr/bin/python3", "/usr/local/bin/vllm", "serve", server.model_name, "--port", str(port))
    yield Process(api, argv, 1, begun, API_BYTES + server.grown_bytes, inode=api)
    pid = api
    for engine, gpus in enumerate(server.gpus):
        pid += 1
        core = pid
        title = f"VLLM::EngineCore_DP{engine}" if len(server.gpus) > 1 else "VLLM::EngineCore"
        yield Process(core, (title,), api, begun + 1, CORE_BYTES)
        for rank, gpu in enumerate(gpus if len(gpus) > 1 else ()):
            pid += 1
            yield Process(pid, (f"VLLM::Worker_TP{rank}",), core, begun + 2, CORE_BYTES)
            gpu.pid = pid
        if len(gpus) == 1:
            gpus[0].pid = core
