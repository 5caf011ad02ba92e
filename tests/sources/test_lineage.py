"""What each process is to a server."""

from __future__ import annotations

from pathlib import Path

import pytest

from standins.proc_tree import ProcTree
from vllm_vigil.sources.cgroup import Cgroups
from vllm_vigil.sources.lineage import Lineage, Part, titled
from vllm_vigil.sources.processes import Processes

SERVE = ["python3", "/usr/bin/vllm", "serve", "a-model"]
SPAWNED = ["python3", "-c", "from multiprocessing.spawn import spawn_main; spawn_main(pipe_handle=9)"]
TRACKER = ["python3", "-c", "from multiprocessing.resource_tracker import main;main(31)"]


def parts(tree: ProcTree, **listeners: int) -> dict[int, Part]:
    """Every process of vLLM's, where these processes listen for these servers."""
    table = Processes(tree.root).look()
    behind = {server: table[pid] for server, pid in listeners.items()}
    return Lineage(table, behind, Cgroups(tree.root).name).members()


def test_a_tree_as_vllm_0_32_has_it_is_told_apart(tmp_path: Path) -> None:
    """As seen on a real one: server, tracker, engine core, workers; a compiler below a worker is another process."""
    tree = ProcTree(tmp_path)
    tree.add(50, SERVE)
    tree.add(51, TRACKER, parent=50)
    tree.add(52, ["VLLM::EngineCore"], parent=50)
    tree.add(53, ["VLLM::Worker_TP0"], parent=52)
    tree.add(54, ["VLLM::Worker_TP1"], parent=52)
    tree.add(55, ["ptxas"], parent=54)
    tree.add(60, ["sleep"])
    assert parts(tree, llama=50) == {
        50: Part("llama", "api_server"),
        51: Part("llama", "other"),
        52: Part("llama", "engine_core"),
        53: Part("llama", "worker", "TP0"),
        54: Part("llama", "worker", "TP1"),
        55: Part("llama", "other"),
    }


def test_with_several_api_servers_the_tree_begins_at_what_started_them(tmp_path: Path) -> None:
    """The one that listens is itself a child."""
    tree = ProcTree(tmp_path)
    tree.add(50, SERVE)
    tree.add(51, ["VLLM::ApiServer_1"], parent=50)
    tree.add(52, ["VLLM::EngineCore_DP1"], parent=50)
    tree.add(53, ["VLLM::DPCoordinator"], parent=50)
    for listener in (50, 51):  # both hold the socket
        assert parts(tree, llama=listener) == {
            50: Part("llama", "launcher"),
            51: Part("llama", "api_server", "1"),
            52: Part("llama", "engine_core", "DP1"),
            53: Part("llama", "coordinator"),
        }


def test_a_program_with_vllm_s_engine_in_it_is_the_api_server(tmp_path: Path) -> None:
    """Its engine core has a title, so that its other children are something else."""
    tree = ProcTree(tmp_path)
    tree.add(50, ["python3", "my_server.py"])
    tree.add(51, ["VLLM::EngineCore"], parent=50)
    tree.add(52, SPAWNED, parent=50)
    assert parts(tree, llama=50) == {
        50: Part("llama", "api_server"),
        51: Part("llama", "engine_core"),
        52: Part("llama", "other"),
    }


@pytest.mark.parametrize("child", [SPAWNED, SERVE], ids=["spawned", "forked"])
def test_before_0_10_1_depth_tells_engine_from_worker(tmp_path: Path, child: list[str]) -> None:
    """There are no titles; a resource tracker is neither."""
    tree = ProcTree(tmp_path)
    tree.add(50, SERVE)
    tree.add(51, TRACKER, parent=50)
    tree.add(52, child, parent=50)
    tree.add(53, child, parent=52)
    assert parts(tree, llama=50) == {
        50: Part("llama", "api_server"),
        51: Part("llama", "other"),
        52: Part("llama", "engine_core"),
        53: Part("llama", "worker"),
    }


def test_a_vllm_that_nobody_configured_has_parts_but_no_server(tmp_path: Path) -> None:
    """Also an engine core whose server has died and left it to init."""
    tree = ProcTree(tmp_path)
    tree.add(50, SERVE)
    tree.add(60, SERVE)
    tree.add(61, ["VLLM::EngineCore"], parent=60)
    tree.add(70, ["VLLM::Worker_TP3"])
    assert parts(tree, llama=50) == {
        50: Part("llama", "api_server"),
        60: Part("", "api_server"),
        61: Part("", "engine_core"),
        70: Part("", "worker", "TP3"),
    }


def test_a_worker_under_ray_belongs_to_the_server_of_its_cgroup_if_there_is_one_only(tmp_path: Path) -> None:
    """Ray's daemon stands in between; in the cgroup of everything nothing can be told."""
    tree = ProcTree(tmp_path)
    worker = ["ray::RayWorkerWrapper.execute_method"]
    tree.add(50, SERVE, cgroup="0::/docker/a")
    tree.add(60, worker, cgroup="0::/docker/a")
    tree.add(61, worker, cgroup="0::/docker/b")
    assert parts(tree, llama=50) == {
        50: Part("llama", "api_server"),
        60: Part("llama", "worker"),
        61: Part("", "worker"),
    }
    tree.add(51, SERVE, cgroup="0::/docker/a")
    assert parts(tree, llama=50, qwen=51)[60] == Part("", "worker")
    tree.add(50, SERVE)
    tree.add(60, worker)
    assert parts(tree, llama=50)[60] == Part("", "worker")


@pytest.mark.parametrize(
    ("title", "role", "rank", "engine"),
    [
        ("VLLM::APIServer", "api_server", "", ""),
        ("VLLM::ApiServer_1", "api_server", "1", ""),
        ("VLLM::EngineCore", "engine_core", "", "0"),
        ("VLLM::EngineCore_0", "engine_core", "DP0", "0"),
        ("VLLM::EngineCore_DP3", "engine_core", "DP3", "3"),
        ("VLLM::Worker", "worker", "", "0"),
        ("VLLM::VllmWorker TP0", "worker", "TP0", "0"),
        ("VLLM::Worker_DP2_PP0_TP1_EP1", "worker", "DP2_PP0_TP1_EP1", "2"),
        ("VLLM::Worker_PP1_PCP0_TP0_DCP1", "worker", "PP1_PCP0_TP0_DCP1", "0"),
        ("VLLM::DPCoordinator", "coordinator", "", ""),
        ("VLLM::MainProcess", "launcher", "", ""),
        ("VLLM::EngineCore" + " " * 200, "engine_core", "", "0"),
        ("VLLM::SomethingNew", "other", "", ""),
        ("VLLM::Worker_<script>", "other", "", ""),
    ],
)
def test_titles_give_role_rank_and_engine(title: str, role: str, rank: str, engine: str) -> None:
    """Every title of the versions from 0.10.1 on; the kernel pads them with what was there before."""
    part = Part("llama", *titled(title))
    assert (part.role, part.rank, part.engine) == (role, rank, engine)
