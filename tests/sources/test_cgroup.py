"""Memory of cgroups."""

from __future__ import annotations

from pathlib import Path

import pytest

from standins.proc_tree import ProcTree
from vllm_vigil.sources.cgroup import Cgroup, Cgroups


def host(tmp_path: Path, cgroup: str, kind: str, root: str = "/") -> tuple[Cgroups, Path]:
    """A host with one cgroup file system, and process 50 in that cgroup; also the directory of the file system."""
    tree = ProcTree(tmp_path / "proc")
    tree.add(50, ["vllm"], cgroup=cgroup)
    point = tmp_path / "sys"
    point.mkdir()
    mount = f"31 23 0:28 {root} {point} rw,nosuid shared:9 - {kind}\n"
    (tree.root / "self" / "mountinfo").write_text(f"22 1 8:1 / / rw - ext4 /dev/sda1 rw\n{mount}")
    return Cgroups(tree.root), point


def write(directory: Path, **files: str) -> None:
    """Files of a cgroup; `__` in a name stands for its dot."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (directory / name.replace("__", ".")).write_text(text)


def figures(found: Cgroup | None) -> tuple[int | None, ...]:
    """Kills, used, limit."""
    assert found is not None
    return found.oom_kills(), found.used_bytes(), found.limit_bytes()


def test_version_2_tells_kills_use_and_the_lowest_limit_on_the_way_up(tmp_path: Path) -> None:
    """A slice may be tighter than the unit in it."""
    cgroups, point = host(tmp_path, "0::/llm.slice/vllm.service", "cgroup2 cgroup2 rw")
    events = "low 0\nhigh 0\nmax 7\noom 3\noom_kill 2\noom_group_kill 0\n"
    write(point / "llm.slice", memory__max="3000\n")
    write(point / "llm.slice/vllm.service", memory__events=events, memory__current="1234\n", memory__max="max\n")
    assert figures(cgroups.of(50)) == (2, 1234, 3000)
    assert cgroups.name(50) == "/llm.slice/vllm.service"


def test_version_1_tells_the_same_from_its_own_files(tmp_path: Path) -> None:
    """Its largest number means no limit."""
    cgroups, point = host(tmp_path, "4:cpu,memory:/docker/abc\n0::/", "cgroup cgroup rw,memory")
    control = "oom_kill_disable 0\nunder_oom 0\noom_kill 5\n"
    write(
        point / "docker/abc",
        memory__oom_control=control,
        memory__usage_in_bytes="99\n",
        memory__limit_in_bytes="9223372036854771712\n",
    )
    assert figures(cgroups.of(50)) == (5, 99, None)


def test_a_part_of_the_hierarchy_that_is_mounted_alone_is_found_in(tmp_path: Path) -> None:
    """As in a container without a cgroup namespace."""
    cgroups, point = host(tmp_path, "4:memory:/docker/abc", "cgroup cgroup rw,memory", root="/docker/abc")
    write(point, memory__oom_control="oom_kill 1\n")
    assert figures(cgroups.of(50)) == (1, None, None)


@pytest.mark.parametrize("path", ["/../other", "/gone", ""])
def test_a_cgroup_that_cannot_be_seen_gives_nothing(tmp_path: Path, path: str) -> None:
    """Of another container, or ended."""
    cgroups, _ = host(tmp_path, f"0::{path}", "cgroup2 cgroup2 rw")
    assert cgroups.of(50) is None
    assert cgroups.of(51) is None


def test_what_was_found_can_be_read_after_its_process_has_gone(tmp_path: Path) -> None:
    """Which is when it matters; once the cgroup is gone there is nothing."""
    cgroups, point = host(tmp_path, "0::/vllm", "cgroup2 cgroup2 rw")
    write(point / "vllm", memory__events="oom_kill 0\n")
    found = cgroups.of(50)
    write(point / "vllm", memory__events="oom_kill 1\n")
    assert figures(found) == (1, None, None)
    (point / "vllm" / "memory.events").unlink()
    assert figures(found) == (None, None, None)


def test_this_machine_s_own_cgroup_is_no_error() -> None:
    """Whatever it has: a number of kills, or nothing to be seen."""
    found = Cgroups(Path("/proc")).of("self")
    assert found is None or (found.oom_kills() or 0) >= 0
