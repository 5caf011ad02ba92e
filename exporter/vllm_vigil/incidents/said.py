"""What a record says about memory, and a start about its settings -> numbers. Pure.

PyTorch's message on an allocation that failed is the same through CUDA and ROCm, and through vLLM's versions; every
number of it may be missing, because vLLM cuts what it repeats. vLLM prints its arguments once, at its start.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

_SIZES = {"B": 1.0, "KB": 1e3, "MB": 1e6, "GB": 1e9, "KiB": 2.0**10, "MiB": 2.0**20, "GiB": 2.0**30, "TiB": 2.0**40}
_SIZE = r"([\d.]{1,12} ?[KMGT]?i?B)\b"

_ASKED = re.compile(rf"Tried to allocate {_SIZE}")
_TOTAL = re.compile(rf"total capacity of {_SIZE}|; {_SIZE} total capacity")
_FREE = re.compile(rf"of which {_SIZE}(?: is)? free|; {_SIZE} free")
_OWN = re.compile(rf"this process has {_SIZE} memory in use")
_ALLOCATED = re.compile(rf"Of the allocated memory {_SIZE} is allocated|; {_SIZE} already allocated")
_RESERVED = re.compile(rf"and {_SIZE} is reserved by PyTorch but unallocated")

NUMBERS = (
    "gpu_memory_utilization",
    "kv_cache_memory_bytes",
    "max_model_len",
    "max_num_batched_tokens",
    "max_num_seqs",
    "tensor_parallel_size",
    "cpu_offload_gb",
    "swap_space",
)
_SETTING = re.compile(rf"\b({'|'.join(NUMBERS)})['\"]?[:=] ?(\d[\d.]*(?:e[+-]?\d+)?)")


@dataclass(frozen=True, slots=True)
class Allocation:
    """An allocation on a GPU that failed, in bytes; None for what is not said.

    `own` is what the process holds with everything, `allocated` what PyTorch has handed out, `reserved` what PyTorch
    holds and cannot use for this, because it is in pieces.
    """

    asked: float | None = None
    total: float | None = None
    free: float | None = None
    own: float | None = None
    allocated: float | None = None
    reserved: float | None = None


def allocation(text: str) -> Allocation:
    """What PyTorch says of it."""
    return Allocation(*(_first(each, text) for each in (_ASKED, _TOTAL, _FREE, _OWN, _ALLOCATED, _RESERVED)))


def settings(message: str) -> dict[str, float]:
    """The numbers among the arguments of a start: `non-default args: {...}`, `args: Namespace(...)`."""
    return dict(_settings(message))


def size(text: str) -> float | None:
    """Bytes of `2.32 GiB` or `33120412kB` as the kernel writes it; None for what is no size."""
    found = re.fullmatch(r"([\d.]+) ?([KMGT]?i?B)", text.replace("kB", "KiB"))
    try:
        return float(found[1]) * _SIZES[found[2]] if found else None
    except (ValueError, KeyError):  # 1.2.3 GiB
        return None


def known_settings(pairs: Mapping[str, str]) -> dict[str, float]:
    """The same numbers out of labels, as `llm_cache_config_info` has some of them."""
    return dict(_settings(" ".join(f"{name}={value}" for name, value in pairs.items())))


def _settings(text: str) -> Iterator[tuple[str, float]]:
    for name, number in _SETTING.findall(text[:8192]):
        try:
            yield name, float(number)
        except ValueError:  # 1.2.3
            continue


def _first(regex: re.Pattern[str], text: str) -> float | None:
    found = regex.search(text)
    return size(next(group for group in found.groups() if group)) if found else None
