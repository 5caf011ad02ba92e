"""Numbers are read as PyTorch, the kernel and vLLM write them, in every version, and nothing else is taken for one."""

# ruff: noqa: E501  # messages stand as they are written

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vllm_vigil.incidents.said import Allocation, allocation, known_settings, settings, size

GIB, MIB = 2.0**30, 2.0**20

NEW = (
    "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.32 GiB. GPU 0 has a total capacity of 79.15 GiB of "
    "which 1.21 GiB is free. Including non-PyTorch memory, this process has 77.92 GiB memory in use. Of the allocated "
    "memory 74.60 GiB is allocated by PyTorch, with 512.00 MiB allocated in private pools (e.g., CUDA Graphs), and 1.04 "
    "GiB is reserved by PyTorch but unallocated."
)
OLD = (
    "torch.cuda.OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 MiB (GPU 0; 23.69 GiB total capacity; "
    "22.01 GiB already allocated; 11.94 MiB free; 22.54 GiB reserved in total by PyTorch)"
)
CONTAINER = (
    "GPU 1 has a total capacity of 23.64 GiB of which 812.50 MiB is free. Process 48213 has 22.83 GiB memory in use. Of "
    "the allocated memory 21.37 GiB is allocated by PyTorch, and 664.19 MiB is reserved by PyTorch but unallocated."
)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (NEW, Allocation(2.32 * GIB, 79.15 * GIB, 1.21 * GIB, 77.92 * GIB, 74.60 * GIB, 1.04 * GIB)),
        (OLD, Allocation(20 * MIB, 23.69 * GIB, 11.94 * MIB, None, 22.01 * GIB, None)),
        (CONTAINER, Allocation(None, 23.64 * GIB, 812.5 * MIB, None, 21.37 * GIB, 664.19 * MIB)),
        ("torch.AcceleratorError: CUDA error: out of memory", Allocation()),
        ("Tried to allocate 1.2.3 GiB", Allocation()),
    ],
)
def test_an_allocation_that_failed(text: str, said: Allocation) -> None:
    """What is not said is None; the number of a process is no number of ours."""
    assert said == allocation(text)


@pytest.mark.parametrize(
    ("message", "numbers"),
    [
        (
            "non-default args: {'model': '/m', 'max_model_len': 2048, 'gpu_memory_utilization': 0.85, 'max_num_seqs': 4}",
            {"max_model_len": 2048, "gpu_memory_utilization": 0.85, "max_num_seqs": 4},
        ),
        (
            "args: Namespace(host=None, max_model_len=None, gpu_memory_utilization=0.9, swap_space=4.0, port=8000)",
            {"gpu_memory_utilization": 0.9, "swap_space": 4.0},
        ),
        ("non-default args: {'api_key': ['max_secret']}", {}),
    ],
)
def test_the_arguments_of_a_start(message: str, numbers: dict[str, float]) -> None:
    """Only the numbers that memory depends on are taken, whatever else stands there."""
    assert numbers == settings(message)


def test_settings_out_of_labels() -> None:
    """As the cache configuration has them; None is no number."""
    labels = {"gpu_memory_utilization": "0.92", "kv_cache_memory_bytes": "None", "block_size": "16"}
    assert known_settings(labels) == {"gpu_memory_utilization": 0.92}


@given(st.text())
def test_no_text_breaks_it(text: str) -> None:
    """Logs are hostile."""
    allocation(text)
    settings(text)
    size(text)
