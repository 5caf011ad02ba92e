"""Memory that ran out has one cause and one line, whose value is right by the numbers and errs on the side that starts."""

# ruff: noqa: E501, PLR0917, FLY002  # a line of advice is one line, and a message has many numbers

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from standins.log_replay import events_of, incidents_of, records_of
from vllm_vigil.incidents.rules import RULES, RuleSettings, merge
from vllm_vigil.incidents.shortage import GIB, Surroundings, Triage
from vllm_vigil.incidents.sign import of_event
from vllm_vigil.incidents.triage import triage


def oom(
    asked: float = 2.32,
    free: float = 1.21,
    total: float = 79.15,
    own: float | None = None,
    allocated: float | None = None,
    reserved: float = 0.2,
    trace: str = "",
) -> str:
    """A message of PyTorch's, in GiB."""
    mine = f" this process has {own:.2f} GiB memory in use." if own is not None else ""
    torch = (
        f" Of the allocated memory {allocated:.2f} GiB is allocated by PyTorch, and {reserved:.2f} GiB is reserved by PyTorch but unallocated."
        if allocated is not None
        else ""
    )
    return f"EngineCore: x\n{trace}\ntorch.OutOfMemoryError: CUDA out of memory. Tried to allocate {asked:.2f} GiB. GPU 0 has a total capacity of {total:.2f} GiB of which {free:.2f} GiB is free.{mine}{torch}"


NOTHING_KNOWN = Surroundings()
RUNTIME, CAPTURE, LOAD = {"phase": "runtime"}, {"phase": "graph_capture"}, {"phase": "load"}
PROFILE = 'File "gpu_worker.py", line 298, in determine_available_memory\n  self.model_runner.profile_run()'
WEIGHTS = 'File "gpu_worker.py", line 100, in load_model\n  self.model_runner.load_model()'


def known(**numbers: float) -> Surroundings:
    """Settings of the server."""
    return Surroundings(settings=numbers)


CASES: list[tuple[str, dict[str, str], str, Surroundings, str, str]] = [
    # rule, fields, text, surroundings -> cause, what the line says
    (
        "cuda_oom",
        RUNTIME,
        oom(own=77.92, allocated=74.6),
        NOTHING_KNOWN,
        "runtime",
        "--gpu-memory-utilization 0.87, or 0.03 below what it has if you have set it: 2.32 GiB were asked for and 1.21 GiB were free.",
    ),
    (
        "cuda_oom",
        RUNTIME,
        oom(own=77.92),
        known(gpu_memory_utilization=0.95),
        "runtime",
        "--gpu-memory-utilization 0.92 (now 0.95)",
    ),
    (
        "cuda_oom",
        RUNTIME,
        oom(own=77.92),
        known(kv_cache_memory_bytes=10 * GIB),
        "runtime",
        "--kv-cache-memory-bytes 8694792192 (now 10737418240)",
    ),
    ("cuda_oom", RUNTIME, oom(own=77.92), known(gpu_memory_utilization=0.31), "runtime", ""),
    (
        "cuda_oom",
        RUNTIME,
        oom(own=77.0, allocated=70.0, reserved=4.2),
        NOTHING_KNOWN,
        "fragmentation",
        "PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True",
    ),
    (
        "cuda_oom",
        CAPTURE,
        oom(asked=0.02, free=0.01, own=78.9),
        known(gpu_memory_utilization=0.95),
        "graph_capture",
        "--gpu-memory-utilization 0.91 (now 0.95)",
    ),
    ("cuda_oom", CAPTURE, "CUDA error: out of memory", NOTHING_KNOWN, "graph_capture", "--gpu-memory-utilization 0.85"),
    (
        "cuda_oom",
        LOAD | {"requests": "1024"},
        "warming up sampler",
        NOTHING_KNOWN,
        "warm_up",
        "--max-num-seqs 256 (now 1024)",
    ),
    (
        "cuda_oom",
        LOAD,
        oom(0.22, 0.05, 79.15, allocated=78.5, trace=WEIGHTS),
        NOTHING_KNOWN,
        "weights",
        "--tensor-parallel-size 2 (now 1)",
    ),
    (
        "cuda_oom",
        LOAD,
        "Worker_TP3: " + oom(0.22, 0.05, 79.15, allocated=78.5, trace=WEIGHTS),
        NOTHING_KNOWN,
        "weights",
        "--tensor-parallel-size 8 (now 4)",
    ),
    (
        "cuda_oom",
        LOAD,
        oom(1.96, 0.7935, 23.64, allocated=21.37, trace=PROFILE),
        NOTHING_KNOWN,
        "weights",
        "--cpu-offload-gb 4 (slow",
    ),
    (
        "cuda_oom",
        LOAD,
        oom(10.0, 5.0, 79.15, allocated=60.0, reserved=12.0, trace=PROFILE),
        NOTHING_KNOWN,
        "batch",
        "--max-num-batched-tokens 3840 --max-num-seqs 256",
    ),
    (
        "cuda_oom",
        LOAD,
        oom(10.0, 5.0, 79.15, allocated=60.0, reserved=12.0, trace=PROFILE),
        known(max_num_batched_tokens=2048, max_num_seqs=64),
        "batch",
        "--max-num-batched-tokens 768 --max-num-seqs 16",
    ),
    (
        "cuda_oom",
        LOAD,
        oom(20.0, 3.0, 79.15, allocated=30.0),
        NOTHING_KNOWN,
        "foreign_process",
        "End the other process (see nvidia-smi), which holds 43.5 GiB of the GPU's 79.2 GiB.",
    ),
    (
        "cuda_oom",
        RUNTIME,
        oom(own=68.0),
        NOTHING_KNOWN,
        "foreign_process",
        "End the other process (see nvidia-smi), which holds 9.94 GiB of the GPU's 79.2 GiB, or start vLLM with --gpu-memory-utilization 0.86.",
    ),
    (
        "cuda_oom",
        RUNTIME,
        oom(own=None),
        Surroundings(held=12 * GIB, holder="python3"),
        "foreign_process",
        "End python3 (see nvidia-smi), which holds 12.0 GiB",
    ),
    (
        "cuda_oom",
        RUNTIME,
        oom(own=77.5),
        Surroundings(held=0.4 * GIB, holder="Xorg"),
        "runtime",
        "--gpu-memory-utilization 0.87",
    ),
    ("cuda_oom", {}, "no numbers", NOTHING_KNOWN, "", ""),
    (
        "kv_cache_too_small",
        {"max_seq_len": "262144", "asked": "24.00 GiB", "free": "8.04 GiB"},
        "the estimated maximum model length is 87840. Try",
        NOTHING_KNOWN,
        "context_too_long",
        "--max-model-len 86016 (now 262144)",
    ),
    (
        "kv_cache_too_small",
        {"max_seq_len": "131072", "asked": "16.00 GiB", "free": "9.97 GiB"},
        "",
        NOTHING_KNOWN,
        "context_too_long",
        "--max-model-len 72704 (now 131072)",
    ),
    (
        "kv_cache_too_small",
        {"needed_tokens": "32768", "available_tokens": "14208"},
        "",
        NOTHING_KNOWN,
        "context_too_long",
        "--max-model-len 13312 (now 32768)",
    ),
    (
        "kv_cache_too_small",
        {},
        "No available memory for the cache blocks",
        NOTHING_KNOWN,
        "no_room",
        "--gpu-memory-utilization 0.95 (now 0.90)",
    ),
    (
        "kv_cache_too_small",
        {},
        "",
        Surroundings({"short_bytes": 2.0 * GIB}, total=80 * GIB),
        "no_room",
        "--gpu-memory-utilization 0.94 (now 0.90): 2.00 GiB are missing",
    ),
    (
        "kv_cache_too_small",
        {},
        "",
        Surroundings({"short_bytes": 23.0 * GIB}, total=80 * GIB),
        "no_room",
        "--gpu-memory-utilization 0.95 --cpu-offload-gb 20 (slow",
    ),
    ("kv_cache_too_small", {}, "", known(short_bytes=23.0 * GIB), "no_room", ""),
    ("kv_cache_too_small", {}, "", known(gpu_memory_utilization=0.97), "no_room", ""),
    (
        "kv_cache_too_small",
        {},
        "",
        known(kv_cache_memory_bytes=100000),
        "no_room",
        "Start vLLM without --kv-cache-memory-bytes (now 100000",
    ),
    (
        "kv_cache_too_small",
        {"cause": "memory_in_use"},
        "Free memory on device cuda:0 (1.92/79.15 GiB) on startup is less than desired GPU memory utilization (0.9, 71.24 GiB).",
        NOTHING_KNOWN,
        "foreign_process",
        "End the other process (see nvidia-smi), which holds 77.2 GiB of the GPU's 79.2 GiB.",
    ),
    (
        "kv_cache_too_small",
        {"cause": "memory_in_use"},
        "Free memory on device cuda:0 (60.0/79.15 GiB) on startup is less than desired GPU memory utilization (0.9, 71.24 GiB).",
        Surroundings(held=18.5 * GIB, holder="the vLLM server b"),
        "foreign_process",
        "End the vLLM server b (see nvidia-smi), which holds 18.5 GiB of the GPU's 79.2 GiB, or start vLLM with --gpu-memory-utilization 0.75.",
    ),
    (
        "kv_cache_too_small",
        {"cause": "memory_in_use"},
        "Free memory on device cuda:0 (78.2/79.15 GiB) on startup is less than desired GPU memory utilization (0.99, 78.4 GiB).",
        NOTHING_KNOWN,
        "memory_in_use",
        "--gpu-memory-utilization 0.98: 78.2 GiB of 79.2 GiB are free.",
    ),
    (
        "kv_cache_too_small",
        {"cause": "memory_in_use"},
        "Available memory on node 0 (3.1/15.6 GiB) on startup is less than desired CPU memory utilization (0.9, 14.0 GiB).",
        NOTHING_KNOWN,
        "memory_in_use",
        "--gpu-memory-utilization 0.19",
    ),
    (
        "kv_cache_too_small",
        {"cause": "swap_space"},
        "",
        NOTHING_KNOWN,
        "swap_space",
        "--swap-space 8 (GiB per GPU; now 4)",
    ),
    (
        "host_oom_kill",
        {"killed": "VLLM::EngineCor"},
        "Memory cgroup out of memory: Killed process 1 (x) anon-rss:33120412kB, file-rss:412300kB, shmem-rss:10485760kB",
        NOTHING_KNOWN,
        "memory_limit",
        "Raise its memory limit to 52 GiB (MemoryMax=52G in the unit, --memory 52g for a container): the killed process held 41.6 GiB.",
    ),
    (
        "host_oom_kill",
        {},
        "OOM kills in vLLM's cgroup rose by 1",
        Surroundings(limit=64 * GIB),
        "memory_limit",
        "Raise its memory limit to 80 GiB",
    ),
    (
        "host_oom_kill",
        {},
        "Out of memory: Killed process 1 (vllm) anon-rss:29811004kB",
        NOTHING_KNOWN,
        "host_memory",
        "Give the host more memory",
    ),
    (
        "host_oom_kill",
        {},
        "Out of memory: Killed process 1 (vllm) anon-rss:29811004kB",
        known(cpu_offload_gb=40),
        "host_memory",
        "--cpu-offload-gb 30 (now 40)",
    ),
    ("host_oom_kill", {"unit": "vllm.service"}, "vllm.service: Failed with result 'oom-kill'", NOTHING_KNOWN, "", ""),
    ("worker_died", {}, oom(), NOTHING_KNOWN, "", ""),
]


@pytest.mark.parametrize(
    ("rule", "fields", "text", "around", "cause", "line"), CASES, ids=[f"{n}-{case[4]}" for n, case in enumerate(CASES)]
)
def test_each_case_has_its_cause_and_its_line(
    rule: str, fields: dict[str, str], text: str, around: Surroundings, cause: str, line: str
) -> None:
    """The value is checked by hand; where the numbers carry none there is no line."""
    found = triage(rule, fields, text, around)
    assert cause == found.cause
    assert line in found.fix
    assert bool(line) == bool(found.fix)


SIZES = st.floats(0.01, 200.0).map(lambda value: round(value, 2))


@given(
    asked=SIZES,
    free=SIZES,
    total=st.floats(8.0, 200.0),
    utilization=st.floats(0.05, 0.99),
    phase=st.sampled_from(["runtime", "graph_capture"]),
)
def test_a_lower_utilization_always_makes_the_room_that_was_missing(
    asked: float, free: float, total: float, utilization: float, phase: str
) -> None:
    """The pool shrinks by at least what was missing, and never below what serves."""
    text, around = oom(asked, free, total), known(gpu_memory_utilization=utilization)
    found = re.search(r"utilization ([\d.]+)", triage("cuda_oom", {"phase": phase}, text, around).fix)
    if found:
        assert (utilization - float(found[1])) * total >= asked - free
        assert 0.3 <= float(found[1]) < utilization


@given(estimate=st.integers(1, 10_000_000))
def test_a_context_is_never_longer_than_vllm_s_own_estimate(estimate: int) -> None:
    """And not much shorter, unless it is tiny."""
    found = triage(
        "kv_cache_too_small",
        {"max_seq_len": "131072"},
        f"the estimated maximum model length is {estimate}.",
        NOTHING_KNOWN,
    )
    if length := re.search(r"--max-model-len (\d+)", found.fix):
        assert estimate * 0.85 - 16 <= int(length[1]) <= estimate


@given(needed=st.floats(0.1, 100.0), free=st.floats(0.05, 100.0), longest=st.integers(64, 1_000_000))
def test_a_context_reckoned_by_us_fits_the_memory(needed: float, free: float, longest: int) -> None:
    """Its share of the cache is less than its share of the memory."""
    fields = {"max_seq_len": str(longest), "asked": f"{needed:.2f} GiB", "free": f"{free:.2f} GiB"}
    if length := re.search(r"--max-model-len (\d+)", triage("kv_cache_too_small", fields, "", NOTHING_KNOWN).fix):
        assert int(length[1]) / longest <= round(free, 2) / round(needed, 2) + 1e-9


@given(
    st.sampled_from(["cuda_oom", "kv_cache_too_small", "host_oom_kill"]),
    st.dictionaries(
        st.sampled_from(["phase", "cause", "asked", "free", "max_seq_len", "available_tokens"]), st.text(max_size=20)
    ),
    st.text(),
)
def test_no_text_breaks_it(rule: str, fields: dict[str, str], text: str) -> None:
    """Logs are hostile: whatever stands there, it is one short line or none."""
    found = triage(rule, fields, text, NOTHING_KNOWN)
    assert isinstance(found, Triage)
    assert "\n" not in found.fix


def test_the_arguments_of_the_last_start_are_what_a_value_is_reckoned_from() -> None:
    """The log says them once, and an incident later knows them."""
    log = "\n".join(
        (
            "(APIServer pid=1) INFO 03-14 09:00:00 [api_utils.py:286] non-default args: {'gpu_memory_utilization': 0.8}",
            "(EngineCore pid=214) ERROR 03-14 09:26:53 [core.py:1110] EngineCore encountered a fatal error.",
            "(EngineCore pid=214) ERROR 03-14 09:26:53 [core.py:1110] Traceback (most recent call last):",
            "(EngineCore pid=214) ERROR 03-14 09:26:53 [core.py:1110] torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.32 GiB. GPU 0 has a total capacity of 79.15 GiB of which 1.21 GiB is free.",
        )
    )
    (incident,) = incidents_of(events_of(records_of(log.encode())))
    assert "--gpu-memory-utilization 0.77 (now 0.80)" in incident.fix


def test_a_full_kv_cache_is_no_oom() -> None:
    """Preempted and cut requests are what a full cache does; nothing opens on them."""
    lines = [
        "WARNING 01-20 14:00:02 scheduler.py:1555] Sequence group cmpl-1 is preempted by PreemptionMode.RECOMPUTE mode because there is not enough KV cache space. total_num_cumulative_preemption=51",
        "WARNING 01-09 21:40:07 scheduler.py:1] Failing the request cmpl-1 because there's not enough kv cache blocks to run the entire sequence.",
        "INFO 01-09 21:40:03 metrics.py:467] Avg prompt throughput: 1.0 tokens/s, GPU KV cache usage: 100.0%, Preemptions: 40",
    ]
    assert incidents_of(events_of(records_of("\n".join(lines * 40).encode()))) == []


def test_whoever_wrote_a_remedy_of_his_own_gets_that_one() -> None:
    """The cause is still named."""
    log = b"ERROR 03-14 09:26:53 [core.py:1] x\nERROR 03-14 09:26:53 [core.py:1] Traceback (most recent call last):\nERROR 03-14 09:26:53 [core.py:1] torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB. execute_model"
    (event,) = [each for each in events_of(records_of(log)) if each.rule == "cuda_oom"]
    own = merge({"cuda_oom": RuleSettings(remedy="Call Kim.")})["cuda_oom"]
    assert of_event(event, RULES["cuda_oom"]).fix
    assert of_event(event, own).fix == ""
