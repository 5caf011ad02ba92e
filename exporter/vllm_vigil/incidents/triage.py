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
from dataclasses import replace

from vllm_vigil.incidents.gpu_oom import cuda_oom
from vllm_vigil.incidents.said import size
from vllm_vigil.incidents.shortage import (
    FOREIGN_LEAST,
    GIB,
    HIGHEST_UTILIZATION,
    LEAST_POOL,
    LOWEST_UTILIZATION,
    NOTHING,
    UTILIZATION,
    Look,
    Surroundings,
    Triage,
    end_of,
    gib,
)


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
    step = 1024 if tokens >= 8192 else 256 if tokens >= 2048 else 16
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
        return Triage("foreign_process", end_of(around.holder, held, total, utilization))
    fits = math.floor(free / total * 100 - 0.5) / 100  # half a percent, because others take a little at any time
    if fits < (0.05 if on_cpu else LOWEST_UTILIZATION):
        return Triage("memory_in_use")
    return Triage(
        "memory_in_use",
        f"Start vLLM with --gpu-memory-utilization {fits:.2f}: {gib(free)} of {gib(total)} are free.",
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
    why = f"{gib(short)} are missing before the first block of the KV cache"
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
        f"{less} the host more memory, or end what else uses it: the killed process held {gib(held)} of RAM.",
    )


def _limit(held: float, around: Surroundings) -> str:
    """A quarter more than it had, or than the killed process alone held."""
    most = max(held, around.limit or 0.0)
    if not most:
        return ""
    size_gib = math.ceil(most * 1.25 / GIB)
    had = f"the limit was {gib(around.limit)}" if around.limit else f"the killed process held {gib(held)}"
    where = f"MemoryMax={size_gib}G in the unit, --memory {size_gib}g for a container"
    return f"Raise its memory limit to {size_gib} GiB ({where}): {had}."


_JUDGES: Mapping[str, Callable[[Mapping[str, str], str, Surroundings], Triage]] = {
    "cuda_oom": cuda_oom,
    "kv_cache_too_small": _kv_cache,
    "host_oom_kill": _host_oom,
}
