"""The host, seen through the real program: processes on /metrics, an OOM kill as an incident."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from standins.proc_tree import ProcTree
from standins.program import Program, until
from standins.vllm_processes import VllmProcesses


@contextlib.contextmanager
def watching(directory: Path, port: int, host: str = "") -> Iterator[Program]:
    """The sidecar of a server called tiny on that port, with these settings for the host."""
    config = f"vllm: [{{name: tiny, url: 'http://127.0.0.1:{port}'}}]\ngpu: {{enabled: false}}\n"
    program = Program(directory, f"{config}host: {{interval: 200ms{host}}}\n")
    try:
        yield program.start()
    finally:
        program.close()


def test_the_restart_of_a_real_engine_core_is_counted_on_the_page(tmp_path: Path) -> None:
    """Found by the port of the configured server alone."""
    with VllmProcesses(tmp_path) as vllm, watching(tmp_path, vllm.port) as program:
        labels = {"server": "tiny", "engine": "0", "role": "engine_core"}
        until(60, "it is there", lambda: program.value("llm_process_restarts_total", **labels) == 0.0)
        resident = program.value("llm_process_resident_memory_bytes", **labels)
        assert resident is not None
        assert resident > 1e6
        vllm.restart_engine()
        until(60, "its restart is counted", lambda: program.value("llm_process_restarts_total", **labels) == 1.0)
        assert program.value("vigil_source_up", source="host") == 1.0
        (source,) = [each for each in program.status()["sources"] if each["source"] == "host"]
        assert source["facts"] == {"servers": "tiny 2 processes"}


def test_an_oom_kill_in_vllm_s_cgroup_opens_an_incident_of_its_server(tmp_path: Path) -> None:
    """One incident, which names what was killed, and that it was by the limit of its cgroup."""
    tree = ProcTree(tmp_path / "proc")
    cgroup = tmp_path / "sys" / "vllm"
    cgroup.mkdir(parents=True)
    (tree.root / "self" / "mountinfo").write_text(f"31 23 0:28 / {tmp_path / 'sys'} rw - cgroup2 cgroup2 rw\n")
    (cgroup / "memory.events").write_text("oom_kill 0\n")
    tree.add(50, ["vllm", "serve"], inodes=(7,), cgroup="0::/vllm")
    tree.add(52, ["VLLM::EngineCore"], parent=50, cgroup="0::/vllm")
    tree.listen("self", (8000, 7, 1000))
    with watching(tmp_path, 8000, f", proc: {tree.root}") as program:
        until(60, "the cgroup is read", lambda: program.value("llm_cgroup_oom_kills_total", server="tiny") == 0.0)
        tree.end(52)
        (cgroup / "memory.events").write_text("oom_kill 1\n")
        (incident,) = until(60, "an incident is open", lambda: program.status()["incidents"]["open"])
    assert (incident["rule"], incident["server"], incident["labels"]) == (
        "host_oom_kill",
        "tiny",
        {"cause": "memory_limit", "killed": "engine_core"},
    )
