"""A sign of memory that ran out -> its one cause, and the one line that says which flag to set to what. Pure.

Every value is reckoned from numbers that vLLM, PyTorch, the kernel or our own series gave, is rounded to the side that
starts, and names what it was reckoned from. Where the numbers do not carry a value there is no line, and the remedy of
the rule stands. The arithmetic, which docs/incidents.md repeats for people:

- A GPU holds weights, activations (their peak is measured at start), the pool of the KV cache, which is given what is
  left of `utilization x memory`, and CUDA graphs, which come on top of it. So at run time and at graph capture a lower
  utilization takes from the pool what is missing, and while the pool is not there yet (load, trial run) it cannot help.
- Missing is what was asked for less what was free; `HEADROOM` is added, since the next batch is a little larger.
- A "full" KV cache is no OOM: requests are preempted and wait. Nothing here, and no rule, opens on it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from vllm_vigil.incidents.said import Allocation, allocation, size

GIB, MIB = 2.0**30, 2.0**20
UTILIZATION = 0.90
"""vLLM's default through 0.31; later ones have 0.92. The lower of both gives the lower value, which starts."""
HIGHEST_UTILIZATION = 0.95
LOWEST_UTILIZATION = 0.30
"""Below this a lower utilization is no fix: hardly anything would be left for the KV cache."""
HEADROOM_RATIO, LEAST_HEADROOM = 0.01, 0.5 * GIB
GRAPHS_RATIO, LEAST_GRAPHS = 0.03, 1.5 * GIB
"""For a capture that failed: the graphs that were still to come need room too."""
LEAST_POOL = 1.0 * GIB
FOREIGN_LEAST = 1.0 * GIB
UNCOUNTED = 2.5 * GIB
"""What a process of vLLM's may hold beside PyTorch: context, NCCL, graphs, libraries."""
LARGE_GPU = 70 * GIB
"""From here on vLLM batches 8192 tokens and 1024 sequences at most by default, below 2048 and 256."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What is known beside the record: the server's settings, and the host at that time. None and "" if not known.

    `held` is what others than this server hold of the GPU, and `holder` who holds most of it; `limit` is that of the
    server's cgroup, all in bytes.
    """

    settings: Mapping[str, float] = field(default_factory=dict)
    total: float | None = None
    held: float | None = None
    holder: str = ""
    limit: float | None = None


@dataclass(frozen=True, slots=True)
class Triage:
    """The cause as a label, and the line; both "" where nothing can be said for sure."""

    cause: str = ""
    fix: str = ""


NOTHING = Triage()
Look = Callable[[str, Mapping[str, str]], Surroundings]
"""Gives the surroundings of a server at this moment, for a sign with these fields (`gpu`, `process`)."""


def triage(rule: str, fields: Mapping[str, str], text: str, around: Surroundings) -> Triage:
    """What a record of that rule says, with the fields that its pattern captured; `text` is all of it."""
    judge = _JUDGES.get(rule)
    return judge(fields, text, around) if judge else NOTHING


def around(
    look: Look, rule: str, server: str, fields: Mapping[str, str], settings: Mapping[str, float]
) -> Surroundings:
    """What is known beside a sign, the log's `settings` before those of the series; looked up only if it is of use."""
    if rule not in _JUDGES:
        return Surroundings()
    found = look(server, fields)
    return replace(found, settings={**found.settings, **settings})


# --- the GPU


def _cuda_oom(fields: Mapping[str, str], text: str, around: Surroundings) -> Triage:
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
            f"{_gib(said.reserved)} are held in pieces, and none is as large as the {_gib(said.asked)} asked for.",
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
        why = f"{_gib(said.asked)} were asked for and {_gib(said.free)} were free"
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
            f"{_gib(said.allocated)} of weights were loaded and {_gib(said.asked)} more did not fit in {_gib(total)}.",
        )
    budget = around.settings.get("gpu_memory_utilization", UTILIZATION) * total
    lacking = said.allocated + said.asked + LEAST_POOL - budget
    if said.allocated > budget - LEAST_POOL:  # the weights leave no room for any batch
        return Triage(
            "weights",
            f"Start vLLM with --cpu-offload-gb {math.ceil(lacking / GIB)} (slow; better on more GPUs, or quantized): "
            f"{_gib(said.allocated)} of {_gib(total)} were in use and {_gib(said.asked)} more were asked for.",
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
        f"its trial run asked for {_gib(said.asked or 0)} and {_gib(said.free or 0)} were free.",
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
    return Triage("foreign_process", _end(holder, held, total, utilization if phase != "load" else 0.0))


def _end(holder: str, held: float, total: float, utilization: float) -> str:
    """End it, or share the GPU with it: what it leaves, less room for what vLLM takes beyond its share.

    While the model is loaded a smaller share is no way out: weights are as large as they are (`utilization` 0).
    """
    who = holder or "the other process"
    fits = math.floor((total - held - max(HEADROOM_RATIO * total, LEAST_HEADROOM)) / total * 100) / 100
    share = (
        f", or start vLLM with --gpu-memory-utilization {fits:.2f}" if LOWEST_UTILIZATION <= fits < utilization else ""
    )
    return f"End {who} (see nvidia-smi), which holds {_gib(held)} of the GPU's {_gib(total)}{share}."


# --- the pool of the KV cache

_ESTIMATED = re.compile(r"estimated maximum model length is (\d{1,9})")
_FREE_OF = re.compile(r"\(([\d.]+)/([\d.]+) GiB\)[^\n]{0,60}is less than desired[^\n(]{0,40}\(([\d.]+), [\d.]+ GiB\)")


def _kv_cache(fields: Mapping[str, str], text: str, around: Surroundings) -> Triage:
    cause = fields.get("cause", "")
    if cause == "memory_in_use":
        return _memory_in_use(text, around)
    if cause == "swap_space":
        now = around.settings.get("swap_space", 4.0)
        return Triage(
            cause, f"Start vLLM with --swap-space {math.ceil(2 * now)} (GiB per GPU; now {now:g}): it was used up."
        )
    length = _length(fields, text)
    if length:
        longest = fields.get("max_seq_len") or fields.get("needed_tokens", "")
        flag = f"--max-model-len {length} (now {longest})"
        return Triage(
            "context_too_long",
            f"Start vLLM with {flag}: that much fits into what is left for the KV cache.",
        )
    return Triage("no_room", _no_room(around))


def _length(fields: Mapping[str, str], text: str) -> int:
    """The longest context that fits, 0 if that is not told.

    vLLM's estimate is exact for the memory of this start, which differs by a little from start to start: 2 % less.
    Before 0.9.1 there is none: memory is then taken to grow with the length, which it does at most, so 10 % less.
    """
    if found := _ESTIMATED.search(text):
        return _round_length(int(found[1]) * 0.98)
    if fields.get("available_tokens", "").isdecimal():
        return _round_length(int(fields["available_tokens"]))
    asked, free = size(fields.get("asked", "")), size(fields.get("free", ""))
    if asked and free and fields.get("max_seq_len", "").isdecimal():
        return _round_length(int(fields["max_seq_len"]) * min(1.0, free / asked) * 0.90)
    return 0


def _round_length(tokens: float) -> int:
    step = 1024 if tokens >= 8192 else 256 if tokens >= 1024 else 16
    return int(tokens // step) * step


def _memory_in_use(text: str, around: Surroundings) -> Triage:
    """vLLM wants its share to be free when it starts."""
    found = _FREE_OF.search(text)
    if not found:
        return NOTHING
    free, total, utilization = float(found[1]) * GIB, float(found[2]) * GIB, float(found[3])
    held = around.held if around.held is not None else total - free
    on_cpu = "CPU memory utilization" in text
    if not on_cpu and held >= max(FOREIGN_LEAST, 0.02 * total):
        return Triage("foreign_process", _end(around.holder, held, total, utilization))
    fits = math.floor(free / total * 100 - 0.5) / 100  # half a percent, because others take a little at any time
    if fits < (0.05 if on_cpu else LOWEST_UTILIZATION):
        return Triage("memory_in_use")
    return Triage(
        "memory_in_use",
        f"Start vLLM with --gpu-memory-utilization {fits:.2f}: {_gib(free)} of {_gib(total)} are free.",
    )


def _no_room(around: Surroundings) -> str:
    """Weights and the trial run leave nothing; `short` is by how much, where vLLM has said so."""
    if pool := around.settings.get("kv_cache_memory_bytes"):
        flag = f"--kv-cache-memory-bytes (now {pool:.0f}, not enough for one block)"
        return f"Start vLLM without {flag}: it then takes what is left."
    now = around.settings.get("gpu_memory_utilization", UTILIZATION)
    short = around.settings.get("short_bytes")
    if short is None:  # 0.95 is as far as a start goes without running out while it serves
        more = f"--gpu-memory-utilization {HIGHEST_UTILIZATION:.2f} (now {now:.2f}), or on more GPUs"
        return (
            f"Start vLLM with {more}: its weights leave nothing for the KV cache." if now < HIGHEST_UTILIZATION else ""
        )
    if not around.total:
        return ""
    needed = math.ceil((now + (short + LEAST_POOL) / around.total) * 100) / 100
    why = f"{_gib(short)} are missing before the first block of the KV cache"
    if needed <= HIGHEST_UTILIZATION:
        return f"Start vLLM with --gpu-memory-utilization {needed:.2f} (now {now:.2f}): {why}."
    lacking = short + LEAST_POOL - max(0.0, HIGHEST_UTILIZATION - now) * around.total
    offload = math.ceil(round(lacking / GIB, 6))
    most = max(now, HIGHEST_UTILIZATION)
    flags = f"--gpu-memory-utilization {most:.2f} --cpu-offload-gb {offload}"
    return f"Start vLLM with {flags} (slow; better on more GPUs, or quantized): {why}."


# --- the host

_KILLED = re.compile(r"anon-rss:(\d{1,15}kB)(?:.*?shmem-rss:(\d{1,15}kB))?")


def _host_oom(_fields: Mapping[str, str], text: str, around: Surroundings) -> Triage:
    found = _KILLED.search(text)
    held = sum(size(each) or 0.0 for each in found.groups() if each) if found else 0.0
    if "cgroup" in text:
        return Triage("memory_limit", _limit(held, around))
    if not held:
        return NOTHING
    offload = around.settings.get("cpu_offload_gb", 0.0)
    less = (
        f"Start vLLM with --cpu-offload-gb {math.floor(offload * 0.75)} (now {offload:g}), or give"
        if offload >= 1
        else "Give"
    )
    return Triage(
        "host_memory",
        f"{less} the host more memory, or end what else uses it: the killed process held {_gib(held)} of RAM.",
    )


def _limit(held: float, around: Surroundings) -> str:
    """A quarter more than it had, or than the killed process alone held."""
    most = max(held, around.limit or 0.0)
    if not most:
        return ""
    size_gib = math.ceil(most * 1.25 / GIB)
    had = f"the limit was {_gib(around.limit)}" if around.limit else f"the killed process held {_gib(held)}"
    where = f"MemoryMax={size_gib}G in the unit, --memory {size_gib}g for a container"
    return f"Raise its memory limit to {size_gib} GiB ({where}): {had}."


def _gib(value: float) -> str:
    return f"{value / GIB:.2f} GiB" if value < 10 * GIB else f"{value / GIB:.1f} GiB"


_JUDGES: Mapping[str, Callable[[Mapping[str, str], str, Surroundings], Triage]] = {
    "cuda_oom": _cuda_oom,
    "kv_cache_too_small": _kv_cache,
    "host_oom_kill": _host_oom,
}
