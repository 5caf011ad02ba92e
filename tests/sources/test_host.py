"""The host as a source."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from loguru import logger

from standins.nvml import library_of_this_process
from standins.proc_tree import ProcTree
from standins.program import until
from standins.vllm_processes import VllmProcesses
from vllm_vigil.clock import CrankedClock
from vllm_vigil.model import Reading
from vllm_vigil.series.host import HOST_SPECS
from vllm_vigil.sources.gpu_processes import GpuProcesses
from vllm_vigil.sources.host import Host
from vllm_vigil.sources.nvml import Nvml
from vllm_vigil.sources.processes import Processes, Table
from vllm_vigil.sources.settings import GpuSettings, HostSettings
from vllm_vigil.units import Seconds

BOOT = 1_700_000_000


@pytest.fixture
def said() -> Iterator[list[str]]:
    """What is logged, from INFO up."""
    lines: list[str] = []
    sink = logger.add(lambda message: lines.append(message.record["message"]), level="INFO")
    yield lines
    logger.remove(sink)


def serving(root: Path) -> ProcTree:
    """One server, llama, on port 8000, with an engine core, in a cgroup of version 2; and what a host has."""
    tree = ProcTree(root / "proc")
    point = root / "sys" / "vllm"
    point.mkdir(parents=True)
    (tree.root / "self" / "mountinfo").write_text(f"31 23 0:28 / {root / 'sys'} rw - cgroup2 cgroup2 rw\n")
    (tree.root / "self" / "cgroup").write_text("0::/vllm\n")
    (tree.root / "meminfo").write_text("MemTotal: 16 kB\nMemFree: 1 kB\nMemAvailable: 8 kB\n")
    (tree.root / "vmstat").write_text("nr_free_pages 5\noom_kill 3\n")
    (point / "memory.events").write_text("oom_kill 2\n")
    (point / "memory.current").write_text("1000\n")
    (point / "memory.max").write_text("2000\n")
    tree.add(50, ["vllm", "serve"], ticks=1000, inodes=(7,), cgroup="0::/vllm")
    tree.add(52, ["VLLM::EngineCore"], parent=50, ticks=2000, resident_bytes=8192, cgroup="0::/vllm")
    tree.listen("self", (8000, 7, 1000))
    return tree


def host(tree: ProcTree, clock: CrankedClock, *gpus: GpuProcesses, timeout: float = 5.0) -> Host:
    """The source of that host."""
    settings = HostSettings(proc=tree.root, timeout=Seconds(timeout))

    def listed() -> Sequence[GpuProcesses]:
        return gpus

    return Host(settings, {"llama": "http://127.0.0.1:8000"}, clock, listed)


def values(reading: Reading) -> dict[str, float]:
    """The samples by name and label values."""
    assert reading.error is None
    return {" ".join((each.name, *(value for _, value in each.labels))): each.value for each in reading.samples}


def test_a_reading_tells_of_the_host_the_server_s_processes_and_its_cgroup(tmp_path: Path, clock: CrankedClock) -> None:
    """Everything at once, each number from its file."""
    gpu = GpuProcesses("0", "GPU-a", ((52, 4096),))
    reading = asyncio.run(host(serving(tmp_path), clock, gpu).read())
    hertz = os.sysconf("SC_CLK_TCK")
    assert values(reading) == {
        "host_memory_total_bytes": 16 * 1024.0,
        "host_memory_available_bytes": 8 * 1024.0,
        "host_oom_kills_total": 3.0,
        "llm_process_resident_memory_bytes api_server llama": 4096.0,
        "llm_process_start_time_seconds api_server llama": BOOT + 1000 / hertz,
        "llm_process_restarts_total api_server llama": 0.0,
        "llm_process_resident_memory_bytes 0 engine_core llama": 8192.0,
        "llm_process_start_time_seconds 0 engine_core llama": BOOT + 2000 / hertz,
        "llm_process_restarts_total 0 engine_core llama": 0.0,
        "vigil_cgroup_oom_kills_total": 2.0,
        "llm_cgroup_oom_kills_total llama": 2.0,
        "llm_cgroup_memory_used_bytes llama": 1000.0,
        "llm_cgroup_memory_limit_bytes llama": 2000.0,
        "llm_server_connections llama": 0.0,
        "gpu_process_attribution_available 0 GPU-a": 1.0,
        "gpu_process_memory_bytes 0 0 engine_core llama GPU-a": 4096.0,
        "gpu_processes 0 0 engine_core llama GPU-a": 1.0,
    }
    assert {each.name for each in reading.samples} == {spec.name for spec in HOST_SPECS}
    assert dict(reading.facts) == {"servers": "llama 2 processes"}


def test_every_label_of_a_sample_is_declared(tmp_path: Path, clock: CrankedClock) -> None:
    """And the process' number is none of them."""
    gpu = GpuProcesses("0", "GPU-a", ((52, 1), (1, 1)))
    declared = {spec.name: set(spec.labels) for spec in HOST_SPECS}
    for sample in asyncio.run(host(serving(tmp_path), clock, gpu).read()).samples:
        assert {name for name, _ in sample.labels} <= declared[sample.name]


def test_a_restart_is_counted_and_stays_counted_while_the_process_is_away(tmp_path: Path, clock: CrankedClock) -> None:
    """Its other series are gone meanwhile."""
    tree = serving(tmp_path)
    source = host(tree, clock)
    asyncio.run(source.read())
    for pid in (50, 52):
        tree.end(pid)
    tree.add(60, ["vllm", "serve"], ticks=5000, inodes=(7,))
    restarted = "llm_process_restarts_total api_server llama"
    engine = "llm_process_restarts_total 0 engine_core llama"
    after = values(asyncio.run(source.read()))
    assert (after[restarted], engine in after) == (1.0, False)
    tree.add(62, ["VLLM::EngineCore"], parent=60, ticks=6000)
    assert values(asyncio.run(source.read()))[engine] == 1.0
    for pid in (60, 62):
        tree.end(pid)
    gone = values(asyncio.run(source.read()))
    assert (gone[restarted], gone[engine]) == (1.0, 1.0)
    assert "llm_process_start_time_seconds api_server llama" not in gone


def test_a_start_time_stands_still_when_the_clock_is_set(tmp_path: Path, clock: CrankedClock) -> None:
    """The kernel's boot time moves with the clock, and would look like a restart."""
    tree = serving(tmp_path)
    source = host(tree, clock)
    before = values(asyncio.run(source.read()))
    (tree.root / "stat").write_text(f"btime {BOOT + 3600}\n")
    assert values(asyncio.run(source.read())) == before


def test_the_cgroup_is_read_on_after_the_server_has_died(tmp_path: Path, clock: CrankedClock) -> None:
    """The kill is only counted when the process is gone."""
    tree = serving(tmp_path)
    source = host(tree, clock)
    asyncio.run(source.read())
    for pid in (50, 52):
        tree.end(pid)
    (tmp_path / "sys" / "vllm" / "memory.events").write_text("oom_kill 3\n")
    assert values(asyncio.run(source.read()))["llm_cgroup_oom_kills_total llama"] == 3.0


def test_real_processes_are_found_by_their_socket_and_their_restart_is_seen(
    tmp_path: Path, clock: CrankedClock
) -> None:
    """On the /proc of this machine."""
    with VllmProcesses(tmp_path) as vllm:
        source = Host(HostSettings(), {"tiny": f"http://localhost:{vllm.port}"}, clock)
        engine = "llm_process_restarts_total 0 engine_core tiny"
        until(60, "the engine core is seen", lambda: values(asyncio.run(source.read())).get(engine) == 0.0)
        vllm.restart_engine()
        until(60, "its restart is seen", lambda: values(asyncio.run(source.read())).get(engine) == 1.0)


def test_memory_goes_from_the_driver_s_list_to_the_server_and_role(tmp_path: Path, clock: CrankedClock) -> None:
    """Through NVML's C interface and the real /proc, on a GPU that does not tell its own memory (GB10)."""
    with VllmProcesses(tmp_path) as vllm:
        processes = Processes(Path("/proc"))
        engine = until(60, "the engine core is seen", lambda: _engine_below(processes.look(), vllm.pid))
        library_of_this_process().set(f"gpu0 ComputeRunningProcesses {engine} 4096", machine="gb10")
        nvml = Nvml(GpuSettings(), clock)
        source = Host(HostSettings(), {"tiny": f"http://localhost:{vllm.port}"}, clock, lambda: nvml.processes)

        async def read_both() -> tuple[Reading, Reading]:
            gpus = await nvml.read()
            found = await source.read()
            await nvml.close()
            return gpus, found

        gpus, found = asyncio.run(read_both())
    held = {each.value for each in found.samples if each.name == "gpu_process_memory_bytes"}
    who = {name for each in found.samples if each.name == "gpu_process_memory_bytes" for name in each.labels}
    assert held == {4096.0}
    assert {("server", "tiny"), ("role", "engine_core"), ("engine", "0"), ("gpu", "0")} <= who
    assert "gpu_memory_total_bytes" not in {each.name for each in gpus.samples}


def _engine_below(table: Table, pid: int) -> int | None:
    found = [each.pid for each in table.values() if each.parent == pid and each.title == "VLLM::EngineCore"]
    return found[0] if found else None


def test_why_memory_cannot_be_attributed_is_said_once_and_its_end_too(
    tmp_path: Path, clock: CrankedClock, said: list[str]
) -> None:
    """And stands among the facts meanwhile."""
    tree = serving(tmp_path)
    (tree.root / "2" / "comm").write_text("bash\n")
    source = host(tree, clock, GpuProcesses("0", "GPU-a", ((4711, 1),)))
    asyncio.run(source.read())
    reading = asyncio.run(source.read())
    assert reading.facts["attribution"].startswith("GPU 0: the processes that use the GPU are of another PID namespace")
    assert [line[:40] for line in said] == ["who holds the memory of the GPUs cannot "]
    (tree.root / "2" / "comm").write_text("kthreadd\n")
    tree.add(4711, ["blender"])
    asyncio.run(source.read())
    assert said[1:] == ["who holds the memory of the GPUs can be told again"]


def test_a_read_of_proc_that_hangs_costs_the_reading_and_nothing_else(tmp_path: Path, clock: CrankedClock) -> None:
    """The kernel may make a reader wait for a process that is stuck; a pipe without a writer does the same here."""
    tree = serving(tmp_path)
    (tree.root / "52" / "cmdline").unlink()
    os.mkfifo(tree.root / "52" / "cmdline")
    source = host(tree, clock, timeout=0.05)

    async def read_twice() -> list[str | None]:
        return [(await source.read()).error for _ in range(2)]

    errors = asyncio.run(read_twice())
    (tree.root / "52" / "cmdline").write_bytes(b"VLLM::EngineCore\0")  # lets the thread go
    where = tree.root
    assert errors == [
        f"reading {where} did not end within 0.05s",
        f"still waiting for a read of {where} that has not returned",
    ]


def test_without_a_proc_the_source_is_down_and_says_so(tmp_path: Path, clock: CrankedClock) -> None:
    """As on another operating system."""
    source = Host(HostSettings(proc=tmp_path / "none"), {}, clock)
    assert asyncio.run(source.read()).error == f"{tmp_path / 'none'} cannot be read: No such file or directory"


def test_a_server_elsewhere_has_no_processes_here_and_that_is_no_error(tmp_path: Path, clock: CrankedClock) -> None:
    """By address, or by a name that nobody knows."""
    urls = {"far": "https://192.168.9.9", "unknown": "http://no.such.name.invalid:8000", "six": "http://[::1]:9"}
    reading = asyncio.run(Host(HostSettings(proc=serving(tmp_path).root), urls, clock).read())
    assert reading.error is None
    assert reading.facts["servers"] == "far 0 processes, unknown 0 processes, six 0 processes"


def test_settings_that_cannot_work_are_named() -> None:
    """As for every source."""
    wrong = HostSettings(interval=Seconds(0.0), stale_after=Seconds(-1.0))
    assert [field for field, _ in wrong.problems()] == ["interval", "stale_after", "stale_after"]
    assert list(HostSettings().problems()) == []
