"""An allocation on a GPU that failed -> its cause and line. Pure; what a GPU holds stands in `triage`."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from vllm_vigil.incidents.said import Allocation, allocation
from vllm_vigil.incidents.shortage import (
    FOREIGN_LEAST,
    GIB,
    HEADROOM_RATIO,
    LEAST_HEADROOM,
    LEAST_POOL,
    LOWEST_UTILIZATION,
    MIB,
    UTILIZATION,
    Surroundings,
    Triage,
    end_of,
    gib,
)

GRAPHS_RATIO, LEAST_GRAPHS = 0.03, 1.5 * GIB
"""For a capture that failed: the graphs that were still to come need room too."""
UNCOUNTED = 2.5 * GIB
"""What a process of vLLM's may hold beside PyTorch: context, NCCL, graphs, libraries."""
LARGE_GPU = 70 * GIB
"""From here on vLLM batches 8192 tokens and 1024 sequences at most by default, below 2048 and 256."""


def cuda_oom(fields: Mapping[str, str], text: str, around: Surroundings) -> Triage:
    """What PyTorch, or the driver, says of it."""
    said = allocation(text)
    phase = fields.get("phase", "")
    foreign = _foreign(said, around, phase)
    if foreign:
        return foreign
    if requests := fields.get("requests", ""):  # "... warming up sampler with 1024 dummy requests"
        return _warm_up(int(requests), around)
    if phase == "load":
        return _load(said, text, around)
    if said.reserved and said.asked and said.reserved >= said.asked and phase == "runtime":
        return Triage(
            "fragmentation",
            "Start vLLM with PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True in its environment (no sleep mode then): "
            f"{gib(said.reserved)} are held in pieces, and none is as large as the {gib(said.asked)} asked for.",
        )
    extra = (GRAPHS_RATIO, LEAST_GRAPHS) if phase == "graph_capture" else (HEADROOM_RATIO, LEAST_HEADROOM)
    return Triage(phase, _lower(said, around, *extra) if phase else "")


def _lower(said: Allocation, around: Surroundings, ratio: float, least: float) -> str:
    """Take what is missing, and some room, from the pool of the KV cache."""
    total = said.total or around.total
    if said.asked is None or said.free is None or not total:
        missing, why = None, "the driver does not say how much was missing"
    else:
        missing = max(0.0, said.asked - said.free) + max(ratio * total, least)
        why = f"{gib(said.asked)} were asked for and {gib(said.free)} were free"
    if pool := around.settings.get("kv_cache_memory_bytes"):  # then vLLM does not look at the utilization
        smaller = math.floor((pool - (missing or 0.05 * pool)) / MIB) * int(MIB)
        return f"Start vLLM with --kv-cache-memory-bytes {smaller} (now {pool:.0f}): {why}." if smaller > 0 else ""
    by = 0.05 if missing is None or not total else missing / total
    flag = _utilization(around, by)
    return f"Start vLLM with {flag}: {why}." if flag else ""


def _utilization(around: Surroundings, by: float) -> str:
    """The flag, lower by at least so much; "" where that would leave hardly anything."""
    now = around.settings.get("gpu_memory_utilization")
    new = math.floor(round(((now or UTILIZATION) - by) * 100, 6)) / 100
    if new < LOWEST_UTILIZATION:
        return ""
    if now:
        return f"--gpu-memory-utilization {new:.2f} (now {now:.2f})"
    return f"--gpu-memory-utilization {new:.2f}, or {UTILIZATION - new:.2f} below what it has if you have set it"


def _warm_up(requests: int, around: Surroundings) -> Triage:
    """The sampler is tried with every sequence at once; what it needs grows with them. A quarter is sure to be less."""
    fewer = max(1, requests // 4)
    now = around.settings.get("max_num_seqs", requests)
    return Triage(
        "warm_up",
        f"Start vLLM with --max-num-seqs {fewer} (now {now:.0f}): its sampler ran out of memory at {requests}.",
    )


def _load(said: Allocation, text: str, around: Surroundings) -> Triage:
    """Before there is a pool: the weights are too large, or the trial run with the largest batch is."""
    total = said.total or around.total
    if not total or said.asked is None or said.free is None or said.allocated is None:
        return Triage("load")
    if re.search(r"\bload_model\b|\bload_weights\b", text) and not re.search(r"profile_run|available_memory", text):
        ranks = _ranks(around, text)
        return Triage(
            "weights",
            f"Start vLLM on more GPUs, --tensor-parallel-size {2 * ranks} (now {ranks}), or with a quantized model: "
            f"{gib(said.allocated)} of weights were loaded and {gib(said.asked)} more did not fit in {gib(total)}.",
        )
    budget = around.settings.get("gpu_memory_utilization", UTILIZATION) * total
    lacking = said.allocated + said.asked + LEAST_POOL - budget
    if said.allocated > budget - LEAST_POOL:  # the weights leave no room for any batch
        return Triage(
            "weights",
            f"Start vLLM with --cpu-offload-gb {math.ceil(lacking / GIB)} (slow; better on more GPUs, or quantized): "
            f"{gib(said.allocated)} of {gib(total)} were in use and {gib(said.asked)} more were asked for.",
        )
    return _batch(said, total, around)


def _batch(said: Allocation, total: float, around: Surroundings) -> Triage:
    """Activations grow with the batch: cut to what would have fitted, even if all the rest stayed as it is."""
    large = total >= LARGE_GPU
    tokens = around.settings.get("max_num_batched_tokens", 8192 if large else 2048)
    seqs = around.settings.get("max_num_seqs", 1024 if large else 256)
    share = ((said.free or 0.0) - LEAST_HEADROOM / 2) / (said.asked or 1.0)
    fewer, narrower = math.floor(tokens * share / 256) * 256, 2 ** math.floor(math.log2(max(1.0, seqs * share)))
    if fewer < 256 or fewer < narrower:
        return Triage("load")
    return Triage(
        "batch",
        f"Start vLLM with --max-num-batched-tokens {fewer} --max-num-seqs {narrower} ({share:.0%} of what they are): "
        f"its trial run asked for {gib(said.asked or 0)} and {gib(said.free or 0)} were free.",
    )


def _ranks(around: Surroundings, text: str) -> int:
    seen = [int(rank) for rank in re.findall(r"Worker_(?:\w+_)?TP(\d{1,3})\b", text)]
    return max([1, int(around.settings.get("tensor_parallel_size", 1)), *(rank + 1 for rank in seen)])


def _foreign(said: Allocation, around: Surroundings, phase: str) -> Triage | None:
    """Somebody else, if what he holds would have been enough, and the server kept within its own share."""
    total = said.total or around.total
    held, holder = around.held, around.holder
    if held is None and total and said.free is not None:
        own = said.own
        if own is None and said.allocated is not None:  # a container does not know its own number: see UNCOUNTED
            own = said.allocated + (said.reserved or 0.0) + UNCOUNTED
        held = total - said.free - own if own is not None else None
    if held is None or not total or held < max(FOREIGN_LEAST, (said.asked or 0.0) - (said.free or 0.0)):
        return None
    utilization = around.settings.get("gpu_memory_utilization", UTILIZATION)
    own = said.own if said.own is not None else total - (said.free or 0.0) - held
    if phase != "load" and own > utilization * total + LEAST_HEADROOM:
        return None
    return Triage("foreign_process", end_of(holder, held, total, utilization if phase != "load" else 0.0))
