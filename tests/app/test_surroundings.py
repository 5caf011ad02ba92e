"""What stands around an OOM is taken from the GPU that is meant, or from none."""

from __future__ import annotations

from vllm_vigil.app.surroundings import surroundings
from vllm_vigil.incidents.shortage import Surroundings
from vllm_vigil.model import Point, Series, Snapshot, labels

GIB = 2.0**30


def snapshot(*held: tuple[str, float, dict[str, str]], gpus: int = 2, available: float = 1.0) -> Snapshot:
    """GPUs of 80 GiB, and who holds how much: GPU, GiB, labels."""
    each = [labels(gpu=str(index), uuid=f"GPU-{index}") for index in range(gpus)]
    known = {
        "gpu_memory_total_bytes": [Point(which, 80 * GIB) for which in each],
        "gpu_process_attribution_available": [Point(which, available) for which in each],
        "gpu_process_memory_bytes": [
            Point(labels(**dict(each[int(gpu)]), **who), size * GIB) for gpu, size, who in held
        ],
        "llm_cache_config_info": [Point(labels(server="llama", engine="0", gpu_memory_utilization="0.85"), 1.0)],
        "llm_cgroup_memory_limit_bytes": [Point(labels(server="llama"), 64 * GIB)],
    }
    return Snapshot({name: Series(name, tuple(points)) for name, points in known.items()})


def worker(rank: str) -> dict[str, str]:
    """A worker of the server."""
    return {"server": "llama", "engine": "0", "role": "worker", "rank": rank}


FOREIGN = {"role": "foreign", "command": "python3"}
SETTINGS = {"gpu_memory_utilization": 0.85}


def test_the_gpu_is_that_of_the_worker_s_rank() -> None:
    """PyTorch's GPU 0 may be any of the host's."""
    shown = snapshot(
        ("0", 60, worker("TP0")), ("1", 60, worker("TP1")), ("1", 12, FOREIGN), ("1", 3, {"role": "foreign"})
    )
    found = surroundings(shown, "llama", {"process": "Worker_TP1", "gpu": "0"})
    assert found == Surroundings(SETTINGS, 80 * GIB, 15 * GIB, "python3", 64 * GIB)
    assert surroundings(shown, "llama", {"process": "Worker_TP0"}).held == 0


def test_without_a_rank_it_is_the_only_one_or_none() -> None:
    """Two GPUs of one server leave it open."""
    one = snapshot(("1", 60, worker("TP0")), ("1", 12, FOREIGN))
    two = snapshot(("0", 60, worker("TP0")), ("1", 60, worker("TP1")), ("1", 12, FOREIGN))
    assert surroundings(one, "llama", {}).held == 12 * GIB
    assert surroundings(two, "llama", {}) == Surroundings(SETTINGS, limit=64 * GIB)
    assert surroundings(snapshot(("0", 70, FOREIGN), gpus=1), "llama", {}).held == 70 * GIB


def test_another_vllm_is_named_for_what_it_is() -> None:
    """A configured server by its name, one that is left over as that."""
    other = snapshot(("0", 60, {**worker("TP0"), "server": "b"}), gpus=1)
    left = snapshot(("0", 60, {"role": "worker", "rank": "TP0"}), gpus=1)
    assert surroundings(other, "llama", {}).holder == "the vLLM server b"
    assert surroundings(left, "llama", {}).holder == "another vLLM, maybe one left over from the last run,"


def test_where_processes_are_hidden_nobody_is_blamed() -> None:
    """What is not known is None, not 0."""
    assert surroundings(snapshot(("0", 12, FOREIGN), gpus=1, available=0.0), "llama", {}).held is None
    assert surroundings(Snapshot(), "llama", {}) == Surroundings()
