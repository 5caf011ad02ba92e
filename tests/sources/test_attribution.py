"""Who holds the memory of the GPUs."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from standins.proc_tree import ProcTree
from vllm_vigil.sources.attribution import (
    COMMANDS_LIMIT,
    FIRST_NAMESPACE,
    HIDDEN_BY_PROC,
    NAMESPACE,
    NOT_LISTED,
    Attribution,
    attribute,
    sees_whole_host,
)
from vllm_vigil.sources.gpu_processes import GpuProcesses
from vllm_vigil.sources.lineage import Lineage
from vllm_vigil.sources.processes import Processes

GIB = 1 << 30


def vllm(tmp_path: Path) -> ProcTree:
    """One server with two workers, a foreign program, and another vLLM's engine."""
    tree = ProcTree(tmp_path)
    tree.add(50, ["vllm", "serve"])
    tree.add(52, ["VLLM::EngineCore"], parent=50)
    tree.add(53, ["VLLM::Worker_TP0"], parent=52)
    tree.add(54, ["VLLM::Worker_TP1"], parent=52)
    tree.add(60, ["/usr/bin/blender"])
    tree.add(61, ["VLLM::EngineCore"])
    return tree


def given(
    tree: ProcTree,
    *gpus: tuple[tuple[int, int | None], ...] | None,
    whole_host: bool = True,
    unseen_before: Collection[int] = (),
) -> Attribution:
    """What comes of these lists, one for each GPU."""
    table = Processes(tree.root).look()
    lists = [GpuProcesses(str(index), f"GPU-{index}", processes) for index, processes in enumerate(gpus)]
    lineage = Lineage(table, {"llama": table[50]} if 50 in table else {}, lambda _: "")
    return attribute(lists, table, lineage, whole_host=whole_host, unseen_before=unseen_before)


def values(found: Attribution, name: str = "gpu_process_memory_bytes") -> dict[str, float]:
    """The values of a series by the labels that say who, and the GPU."""
    names = ("gpu", "server", "engine", "role", "rank", "command")
    return {
        " ".join(dict(each.labels).get(label, "-") for label in names): each.value
        for each in found.samples
        if each.name == name
    }


def test_memory_is_given_to_server_engine_and_rank_and_to_others(tmp_path: Path) -> None:
    """Two GPUs, one worker on each; a foreign program and another vLLM beside them."""
    found = given(vllm(tmp_path), ((53, 60 * GIB), (60, 2 * GIB)), ((54, 61 * GIB), (61, 5 * GIB)))
    assert values(found) == {
        "0 llama 0 worker TP0 -": 60.0 * GIB,
        "0 - - foreign - blender": 2.0 * GIB,
        "1 llama 0 worker TP1 -": 61.0 * GIB,
        "1 - 0 engine_core - -": 5.0 * GIB,
    }
    assert values(found, "gpu_process_attribution_available") == {"0 - - - - -": 1.0, "1 - - - - -": 1.0}
    assert found.troubles == ()


def test_a_driver_that_does_not_tell_the_memory_still_tells_who(tmp_path: Path) -> None:
    """Counted, and no 0 bytes."""
    found = given(vllm(tmp_path), ((53, None), (54, None)))
    assert values(found) == {}
    assert values(found, "gpu_processes") == {"0 llama 0 worker TP0 -": 1.0, "0 llama 0 worker TP1 -": 1.0}


def test_another_pid_namespace_makes_it_unavailable(tmp_path: Path) -> None:
    """What is vLLM is believed; a number that is not here, or is something else here, is hidden."""
    tree = vllm(tmp_path)
    found = given(tree, ((53, 60), (60, 2), (4711, 3)), whole_host=False)
    assert values(found) == {"0 llama 0 worker TP0 -": 60.0, "0 - - hidden - -": 5.0}
    assert values(found, "gpu_process_attribution_available") == {"0 - - - - -": 0.0}
    assert found.troubles == (f"GPU 0: {NAMESPACE}",)


def test_in_a_namespace_an_empty_list_is_not_believed_and_a_full_one_of_vllm_s_is(tmp_path: Path) -> None:
    """Drivers show nothing of other namespaces, or everything."""
    tree = vllm(tmp_path)
    assert given(tree, (), whole_host=False).troubles == (f"GPU 0: {NAMESPACE}",)
    assert given(tree, ((53, 60), (54, 60)), whole_host=False).troubles == ()
    assert given(tree, (), whole_host=True).troubles == ()


def test_a_process_that_has_just_ended_is_not_hidden_and_one_that_stays_unseen_is(tmp_path: Path) -> None:
    """/proc may hide what other users run (hidepid)."""
    tree = vllm(tmp_path)
    first = given(tree, ((99, 7),))
    assert (values(first), first.troubles, first.unseen) == ({}, (), frozenset({99}))
    second = given(tree, ((99, 7),), unseen_before=first.unseen)
    assert (values(second), second.troubles) == ({"0 - - hidden - -": 7.0}, (f"GPU 0: {HIDDEN_BY_PROC}",))


def test_a_gpu_whose_driver_lists_nothing_at_all_says_so(tmp_path: Path) -> None:
    """And the others go on."""
    found = given(vllm(tmp_path), None, ((53, 60),))
    assert values(found, "gpu_process_attribution_available") == {"0 - - - - -": 0.0, "1 - - - - -": 1.0}
    assert found.troubles == (f"GPU 0: {NOT_LISTED}",)


def test_names_of_foreign_programs_are_few_and_harmless(tmp_path: Path) -> None:
    """The largest keep theirs, and a name with other characters than a program's has none."""
    tree = ProcTree(tmp_path)
    count = COMMANDS_LIMIT + 3
    for number in range(count):
        tree.add(100 + number, [f"program{number}"])
    tree.add(99, ["x"], comm='evil"\\u202e')
    found = given(tree, ((99, 1000), *((100 + number, number + 1) for number in range(count))))
    named = {who.split()[-1]: value for who, value in values(found).items()}
    assert named == {"-": 1000.0 + 1 + 2 + 3} | {f"program{number}": number + 1.0 for number in range(3, count)}


def test_the_host_s_own_namespace_is_known_by_kthreadd_or_by_its_inode(tmp_path: Path) -> None:
    """Number 2 of a container is something else."""
    host = ProcTree(tmp_path / "host")
    assert sees_whole_host(host.root)
    (host.root / "self" / "status").write_text("Name:\tvigil\nNSpid:\t4711\t17\n")  # seen from within a container
    assert not sees_whole_host(host.root)
    inside = ProcTree(tmp_path / "container", whole_host=False)
    inside.add(2, ["bash"])
    assert not sees_whole_host(inside.root)
    (inside.root / "self" / "ns").mkdir()
    (inside.root / "self" / "ns" / "pid").symlink_to(FIRST_NAMESPACE)
    assert sees_whole_host(inside.root)
