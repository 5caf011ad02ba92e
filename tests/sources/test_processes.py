"""The table of processes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from standins.proc_tree import ProcTree
from standins.program import until
from vllm_vigil.sources.processes import ROUNDS, YOUNG_PASSES, Process, Processes, ancestry, parse_stat, read_bytes

SERVE = ["/opt/vllm/bin/python3.12", "/opt/vllm/bin/vllm", "serve", "a-model", "--api-key", "s3cret"]


def test_a_process_is_read_with_parent_start_size_and_command_line(tmp_path: Path) -> None:
    """As proc_pid_stat(5) says."""
    tree = ProcTree(tmp_path)
    tree.add(50, SERVE, parent=1, ticks=777, resident_bytes=8192)
    assert Processes(tmp_path).look()[50] == Process(50, 1, 777, 8192, "python3.12", tuple(SERVE))


def test_a_real_process_with_a_title_of_its_own_is_seen_below_its_parent() -> None:
    """On the /proc of this machine."""
    child = subprocess.Popen(
        ["VLLM::Worker_TP1", "-c", "input()"], executable=sys.executable, stdin=subprocess.PIPE, stderr=subprocess.PIPE
    )
    with child:
        processes = Processes(Path("/proc"))
        found = until(60, "the child has its title", lambda: _titled(processes, child.pid))
        mine = processes.look()[found.parent]
        assert (found.title, found.is_vllm, mine.pid in processes.look()) == ("VLLM::Worker_TP1", True, True)
        assert found.resident_bytes > 0
        child.kill()


def _titled(processes: Processes, pid: int) -> Process | None:
    found = processes.look().get(pid)
    return found if found and found.is_vllm else None


def test_a_name_with_brackets_and_blanks_does_not_shift_the_fields() -> None:
    """What stands between the first bracket and the last is the name."""
    found = parse_stat(7, b"7 (a) R 9 (b) S 3 " + b"0 " * 17 + b"55 0 2 0")
    assert found is not None
    assert (found.comm, found.parent, found.started_ticks) == ("a) R 9 (b", 3, 55)


def test_what_has_ended_is_gone_also_while_nobody_has_waited_for_it(tmp_path: Path) -> None:
    """A zombie runs no more."""
    tree = ProcTree(tmp_path)
    tree.add(50, SERVE)
    tree.add(51, SERVE)
    processes = Processes(tmp_path)
    assert {50, 51} <= processes.look().keys()
    tree.end(50)
    tree.add(51, [], comm="vllm", state="Z")
    assert {50, 51} & processes.look().keys() == set()


def test_a_child_that_gives_itself_a_title_later_is_known_by_it(tmp_path: Path) -> None:
    """It is read again while it is young."""
    tree = ProcTree(tmp_path)
    tree.add(50, ["python3", "-c", "from multiprocessing.spawn import spawn_main"])
    processes = Processes(tmp_path)
    assert processes.look()[50].title == "python3"
    tree.add(50, ["VLLM::EngineCore"])
    assert processes.look()[50].title == "VLLM::EngineCore"


def test_a_number_that_another_process_has_now_is_noticed(tmp_path: Path) -> None:
    """At once if it is watched, else after a round of passes."""
    tree = ProcTree(tmp_path)
    tree.add(50, SERVE)
    tree.add(51, SERVE)
    processes = Processes(tmp_path)
    for _ in range(YOUNG_PASSES + ROUNDS):
        processes.look()
    for pid in (50, 51):
        tree.add(pid, ["sleep"], ticks=2000)
    assert processes.look({50})[50] == Process(50, 1, 2000, 4096, "sleep")
    for _ in range(ROUNDS):
        processes.look()
    assert processes.look()[51].comm == "sleep"


def test_a_process_that_is_of_no_interest_is_not_read_at_every_pass(tmp_path: Path) -> None:
    """Else thousands of them would cost more than all the rest."""
    tree = ProcTree(tmp_path)
    pids = range(100, 100 + 4 * ROUNDS)
    for pid in pids:
        tree.add(pid, ["sleep"], ticks=1)
    processes = Processes(tmp_path)
    for _ in range(YOUNG_PASSES + ROUNDS):
        processes.look()
    for pid in pids:
        tree.add(pid, ["sleep"], ticks=2)
    table = processes.look()
    assert sum(table[pid].started_ticks == 2 for pid in pids) == 4


def test_command_lines_of_others_are_not_kept(tmp_path: Path) -> None:
    """They may hold secrets, and nobody asks for them."""
    tree = ProcTree(tmp_path)
    tree.add(50, ["mysqld", "--password=x"])
    assert Processes(tmp_path).look()[50].argv == ()


@pytest.mark.parametrize(
    ("argv", "program", "is_vllm"),
    [
        (SERVE, "vllm", True),
        (["/usr/bin/vllm", "serve"], "vllm", True),
        (["python3", "-u", "-m", "vllm.entrypoints.openai.api_server"], "vllm.entrypoints.openai.api_server", True),
        (["VLLM::EngineCore_DP0"], "VLLM::EngineCore_DP0", True),
        (["ray::RayWorkerWrapper.execute_method"], "ray::RayWorkerWrapper.execute_method", True),
        (["ray::IDLE"], "ray::IDLE", False),
        (["sh", "-c", "vllm serve a-model"], "sh", False),
        (["python3", "-m", "vllm_vigil", "run"], "vllm_vigil", False),
        (["python3", "-c", "import vllm"], "", False),
        (["docker", "run", "vllm/vllm-openai"], "docker", False),
        ([], "", False),
    ],
)
def test_vllm_is_known_by_its_title_command_or_module(argv: list[str], program: str, is_vllm: bool) -> None:  # noqa: FBT001  # a column of the table
    """And a shell or container tool that was only told to start it is not taken for it."""
    process = Process(1, 0, 0, 0, "x", tuple(argv))
    assert (process.program, process.is_vllm) == (program, is_vllm)


def test_ancestry_ends_where_it_is_not_visible_or_goes_in_a_ring() -> None:
    """Numbers that are reused can make a ring for a moment."""
    table = {1: Process(1, 2, 0, 0, "a"), 2: Process(2, 1, 0, 0, "b"), 3: Process(3, 99, 0, 0, "c")}
    assert [each.pid for each in ancestry(table, 1)] == [1, 2]
    assert [each.pid for each in ancestry(table, 3)] == [3]
    assert ancestry(table, 4) == []


def test_a_long_file_is_read_to_its_end_and_a_missing_one_is_empty(tmp_path: Path) -> None:
    """The kernel hands out large files in parts."""
    (tmp_path / "long").write_bytes(b"x" * 10_000)
    assert (len(read_bytes(str(tmp_path / "long"), 1 << 20)), read_bytes(str(tmp_path / "none"))) == (10_000, b"")
    assert b"MemTotal" in read_bytes("/proc/meminfo", 1 << 20)
