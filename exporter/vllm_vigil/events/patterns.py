"""The table of patterns: what vLLM, PyTorch, NCCL and the kernel write when something is wrong. First match wins.

Causes stand before consequences, so that a record which holds both names its cause. Most literals are those of the
project's catalogue of vLLM logs, which was checked against vLLM's source; a few (uvicorn's bind error, requests that
time out, some Xid classes) are not in it. Examples are lines of the samples, or lines put together from such a literal.
A record at ERROR that no row claims falls to `error`, the last one.
"""

# ruff: noqa: E501  # log lines stand as they are written

from __future__ import annotations

import re
from collections.abc import Mapping

from vllm_vigil.events.pattern import ANY, ERRORS, TROUBLE, UNMARKED, Pattern, PatternSettings, Where

__all__ = ["FALLBACK", "PATTERNS", "PatternSettings", "user_rows"]

FALLBACK = "error"  # the id of events that no row claims; their rule is error_burst

_RX = re.compile
_M = re.MULTILINE
_RAISED = r"^(?:[\w.]+\.)?"  # the module of an exception, at the start of a line of `said`
_WORKER_FAILED = r"^RuntimeError: Worker failed with error ['\"]"
_E = Where.EXCEPTION

_PHASES = (
    ("phase", "graph_capture", _RX(r"capture_model|graph_capture|capture_cudagraph|cuda_?graph", re.IGNORECASE)),
    (
        "phase",
        "load",
        _RX(
            r"determine_available_memory|profile_run|load_model|init_device|_initialize_kv_caches|initialize_from_config"
            r"|failed to start|warming up|determine_num_available_blocks"
        ),
    ),
    ("phase", "runtime", _RX(r"execute_model|run_busy_loop|engine_step|run_engine_loop|sample_tokens|fatal error")),
)


def _core(message: str, *said: str, process: str = "(EngineCore pid=214)") -> str:
    """An ERROR record of the engine core as 0.31 writes it, without the CR that only a file shows."""
    prefix = f"{process} ERROR 03-14 09:26:53 [core.py:1110]"
    return "\n".join(f"{prefix} {line}" for line in (message, *said))


def _raw(*said: str) -> str:
    """An uncaught exception."""
    return "\n".join(
        ("Traceback (most recent call last):", '  File "/opt/vllm/bin/vllm", line 8, in <module>', "    main()", *said)
    )


_TRACE = "Traceback (most recent call last):"
_DEAD = (
    "vllm.v1.engine.exceptions.EngineDeadError: EngineCore encountered an issue. See stack trace (above) for the root "
    "cause."
)
_OOM = (
    "CUDA out of memory. Tried to allocate 2.32 GiB. GPU 0 has a total capacity of 79.15 GiB of which 1.21 GiB is free."
)
_PROMPT = (
    "INFO 01-09 21:40:06 logger.py:37] Received request cmpl-1: prompt: 'torch.OutOfMemoryError: {}', params: "
    "SamplingParams(n=1)"
)
_PROMPT_OOM = _PROMPT.format(_OOM)
_KERNEL = "Nov 21 03:05:30 gpu-node kernel: "
_SYSTEMD = "Nov 21 03:05:31 gpu-node systemd[1]: "
_INFO = "(APIServer pid=1) INFO 11-21 03:33:34 [launcher.py:254] "

CLIENT = (
    Pattern(
        id="request_rejected",
        rule="",
        literals=("caught. Request id", "Error in preprocessing", "Error in applying chat template"),
        regex=_RX(
            r"^(?:(?:RequestValidationError|HTTPException|Exception) caught\. Request id: (?P<request_id>\S+)"
            r"|Error in preprocessing prompt inputs|Error in applying chat template from request)"
        ),
        levels=ERRORS | {"WARNING"},
        examples=(
            "(APIServer pid=26003) ERROR 11-21 03:33:30 [exception.py:16] Exception caught. Request id: cmpl-b918e115",
            # a client's own text inside the rejection
            (
                "(APIServer pid=26003) ERROR 11-21 03:33:30 [validation.py:151] RequestValidationError caught. Request id: "
                "None\n(APIServer pid=26003) ERROR 11-21 03:33:30 [validation.py:151] Traceback (most recent call last):\n"
                "(APIServer pid=26003) ERROR 11-21 03:33:30 [validation.py:151] torch.OutOfMemoryError: CUDA out of memory. "
                "Tried to allocate 1 GiB."
            ),
            "ERROR 01-09 21:40:06 serving_chat.py:190] Error in preprocessing prompt inputs",
        ),
        near_misses=("(APIServer pid=1) ERROR 11-21 03:33:30 [x.py:1] Engine Exception caught. Request id: cmpl-1",),
    ),
    Pattern(
        id="batch_dumped",
        rule="",
        literals=("Dumping ",),
        regex=_RX(r"^Dumping (?:input data|scheduler output for model execution|scheduler stats)"),
        levels=ERRORS,
        examples=(_core("Dumping scheduler stats: SchedulerStats(num_running_reqs=46, num_waiting_reqs=12)"),),
        near_misses=(_core("EngineCore encountered a fatal error."),),
    ),
)

MEMORY = (
    Pattern(
        id="cuda_oom",
        rule="cuda_oom",
        literals=("out of memory",),
        where=_E,
        regex=_RX(
            _RAISED + r"OutOfMemoryError(?:: |\(['\"])(?:CUDA|HIP|XPU) out of memory\."
            r"(?:.{0,80}?Tried to allocate (?P<asked>[\d.]+ [KMGT]?i?B))?(?:.{0,80}?GPU (?P<gpu>\d+))?"
            r"(?:.{0,160}?(?:of which |; )(?P<free>[\d.]+ [KMGT]?i?B)(?: is)? free)?",
            _M,
        ),
        tells=_PHASES,
        examples=(
            _core("EngineCore encountered a fatal error.", _TRACE, f"torch.OutOfMemoryError: {_OOM}"),
            _raw(
                "torch.cuda.OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 MiB (GPU 0; 23.69 GiB total "
                "capacity; 22.01 GiB already allocated; 11.94 MiB free; 22.54 GiB reserved in total by PyTorch)"
            ),
            (
                "ERROR 01-09 21:40:07 engine.py:135] OutOfMemoryError('CUDA out of memory. Tried to allocate 896.00 MiB. GPU "
                "0 has a total capacity of 44.34 GiB of which 610.94 MiB is free.')"
            ),
            _core(
                "WorkerProc hit an exception.",
                _TRACE,
                "torch.OutOfMemoryError: HIP out of memory. Tried to allocate 2 GiB",
            ),
        ),
        near_misses=(_PROMPT_OOM, _core("EngineCore encountered a fatal error.", _TRACE, "ValueError: out of memory")),
    ),
    Pattern(
        id="cuda_oom_reraised",
        rule="cuda_oom",
        literals=("out of memory",),
        where=_E,
        regex=_RX(
            _WORKER_FAILED
            + r"(?:CUDA|HIP) (?:error: )?out of memory(?:.{0,80}?Tried to allocate (?P<asked>[\d.]+ [KMGT]?i?B))?"
            r"(?:.{0,80}?GPU (?P<gpu>\d+))?",
            _M,
        ),
        tells=_PHASES,
        examples=(
            _core(
                "EngineCore failed to start.",
                _TRACE,
                f"RuntimeError: Worker failed with error '{_OOM} [...]', please check the stack trace above",
            ),
        ),
        near_misses=(
            _core(
                "EngineCore failed to start.",
                _TRACE,
                "RuntimeError: Worker failed with error 'CUDA error: unknown error'",
            ),
        ),
    ),
    Pattern(
        id="cuda_oom_driver",
        rule="cuda_oom",
        literals=("error: out of memory",),
        where=_E,
        regex=_RX(
            r"(?:^(?:[\w.]+\.)?(?:RuntimeError|AcceleratorError|CudaError)|watchdog thread terminated with exception): "
            r"(?:CUDA|HIP) error: out of memory",
            _M,
        ),
        tells=_PHASES,
        examples=(
            _core("EngineCore failed to start.", _TRACE, "torch.AcceleratorError: CUDA error: out of memory"),
            _raw("RuntimeError: CUDA error: out of memory", "CUDA kernel errors might be asynchronously reported"),
        ),
        near_misses=(_core("EngineCore failed to start.", _TRACE, "RuntimeError: CUDA error: unknown error"),),
    ),
    Pattern(
        id="cuda_oom_warmup",
        rule="cuda_oom",
        literals=("out of memory occurred when warming up",),
        where=_E,
        regex=_RX(
            _RAISED
            + r"RuntimeError: CUDA out of memory occurred when warming up \w+[^\n]{0,20}? with (?P<requests>\d+)",
            _M,
        ),
        labels={"phase": "load"},
        examples=(
            _core(
                "EngineCore failed to start.",
                _TRACE,
                "RuntimeError: CUDA out of memory occurred when warming up sampler with 1024 dummy requests. Please try "
                "lowering `max_num_seqs` or `gpu_memory_utilization` when initializing the engine.",
            ),
        ),
        near_misses=(_core("warming up sampler with 1024 dummy requests"),),
    ),
    Pattern(
        id="kv_cache_too_small",
        rule="kv_cache_too_small",
        literals=("No available memory for the cache blocks", "max seq len", "auto-fit max_model_len"),
        where=_E,
        regex=_RX(
            r"^ValueError: (?:No available memory for the cache blocks"
            r"|The model's max seq len \((?P<needed_tokens>\d+)\) is larger than the maximum number of tokens that can be "
            r"stored in KV cache \((?P<available_tokens>\d+)\)"
            r"|To serve at least one request with the models?'s max seq len \((?P<max_seq_len>\d+)\)"
            r"[^\n]{0,40}?\(?(?P<asked>[\d.]+ Gi?B) KV cache is needed[^\n]{0,80}?memory \((?P<free>[\d.]+ Gi?B)\)"
            r"|Cannot auto-fit max_model_len: not enough GPU memory)",
            _M,
        ),
        examples=(
            _core(
                "EngineCore failed to start.",
                _TRACE,
                "ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization`",
            ),
            _core(
                "EngineCore failed to start.",
                _TRACE,
                "ValueError: To serve at least one request with the models's max seq len (131072), (16.00 GiB KV cache is "
                "needed, which is larger than the available KV cache memory (9.97 GiB).",
            ),
            _raw(
                "ValueError: The model's max seq len (32768) is larger than the maximum number of tokens that can be "
                "stored in KV cache (14208). Try increasing `gpu_memory_utilization`"
            ),
            _raw(
                "ValueError: Cannot auto-fit max_model_len: not enough GPU memory available to serve even a single token."
            ),
        ),
        near_misses=(
            "(Worker pid=17301) INFO 11-21 03:09:30 [cpu_worker.py:260] Explicitly set (0.0/10.71) GiB for KV cache on node 0.",
            (
                "WARNING 01-20 14:00:02 scheduler.py:1555] Sequence group chatcmpl-1 is preempted by PreemptionMode.RECOMPUTE "
                "mode because there is not enough KV cache space."
            ),
        ),
    ),
    Pattern(
        id="memory_taken",
        rule="kv_cache_too_small",
        literals=("is less than desired",),
        where=_E,
        regex=_RX(
            r"^ValueError: (?:Free|Available) memory on (?:device|node) ?(?P<gpu>(?:[\w:]{1,12})?)[^\n]{0,80}?"
            r"\((?P<free>[\d.]+/[\d.]+ GiB)\)[^\n]{0,40}is less than desired"
            r"(?:[^\n]{0,60}\([\d.]+, (?P<asked>[\d.]+ GiB)\))?",
            _M,
        ),
        labels={"cause": "memory_in_use"},
        examples=(
            _core(
                "EngineCore failed to start.",
                _TRACE,
                "ValueError: Free memory on device cuda:0 (1.92/79.15 GiB) on startup is less than desired GPU memory "
                "utilization (0.9, 71.24 GiB). Decrease GPU memory utilization or reduce GPU memory used by other processes.",
            ),
            _core(
                "EngineCore failed to start.",
                _TRACE,
                "ValueError: Available memory on node 0 (3.1/15.6 GiB) on startup is less than desired CPU memory "
                "utilization (0.9, 14.0 GiB).",
            ),
        ),
        near_misses=(_core("EngineCore failed to start.", _TRACE, "ValueError: is less than desired"),),
    ),
    Pattern(
        id="swap_space_full",
        rule="kv_cache_too_small",
        literals=("lack of CPU swap space",),
        where=_E,
        regex=_RX(r"^RuntimeError: Aborted due to the lack of CPU swap space", _M),
        labels={"cause": "swap_space"},
        examples=(
            (
                "ERROR 01-09 21:40:07 async_llm_engine.py:66] Engine background task failed\n"
                "ERROR 01-09 21:40:07 async_llm_engine.py:66] RuntimeError: Aborted due to the lack of CPU swap space. Please "
                "increase the swap space to avoid this error."
            ),
        ),
        near_misses=("INFO 01-09 21:40:07 x.py:1] CPU swap space: 4 GiB",),
    ),
    Pattern(
        id="host_oom_kill",
        rule="host_oom_kill",
        literals=("out of memory: Killed process", "Out of memory: Killed process"),
        levels=UNMARKED,
        regex=_RX(
            r"^(?P<scope>Memory cgroup o|O)ut of memory: Killed process (?P<victim>\d+) "
            r"\((?P<killed>VLLM::[^)]*|vllm[^)]*|python[\d.]*|pt_main_thread|ray::[^)]*)\)(?:.*?anon-rss:(?P<rss>\d+kB))?"
        ),
        examples=(
            _KERNEL + "Memory cgroup out of memory: Killed process 15877 (VLLM::EngineCor) total-vm:68211840kB, "
            "anon-rss:33120412kB, file-rss:412300kB",
            _KERNEL + "Out of memory: Killed process 20311 (vllm) total-vm:41200340kB, anon-rss:29811004kB",
        ),
        near_misses=(
            _KERNEL + "Out of memory: Killed process 811 (postgres) total-vm:200340kB, anon-rss:100kB",
            _KERNEL + "VLLM::Worker invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0",
        ),
    ),
    Pattern(
        id="unit_oom_killed",
        rule="host_oom_kill",
        literals=("killed by the OOM killer", "'oom-kill'"),
        levels=UNMARKED,
        regex=_RX(
            r"^(?P<unit>\S*(?:vllm|llm)\S*): (?:A process of this unit has been killed by the OOM killer"
            r"|Failed with result 'oom-kill')",
            re.IGNORECASE,
        ),
        examples=(
            _SYSTEMD + "vllm.service: A process of this unit has been killed by the OOM killer.",
            _SYSTEMD + "vllm.service: Failed with result 'oom-kill'.",
        ),
        near_misses=(_SYSTEMD + "postgresql.service: A process of this unit has been killed by the OOM killer.",),
    ),
)

GPU = (
    Pattern(
        id="gpu_lost",
        rule="gpu_lost",
        literals=("fallen off the bus",),
        levels=UNMARKED,
        regex=_RX(
            r"^(?:NVRM: Xid \(PCI:(?P<pci>[\w:.]+)\): (?P<xid>\d+),.*|NVRM: GPU \S+ )?GPU has fallen off the bus"
        ),
        examples=(
            _KERNEL + "NVRM: Xid (PCI:0000:44:00): 79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus.",
            _KERNEL + "NVRM: GPU 0000:44:00.0: GPU has fallen off the bus.",
        ),
        near_misses=(
            _KERNEL + "NVRM: GPU at PCI:0000:44:00: GPU-00000000-0000-0000-0000-000000000000",
            _PROMPT.format("NVRM: GPU 0000:44:00.0: GPU has fallen off the bus."),
        ),
    ),
    # the classes of XIDs, and why, stand in verdict/xid.py
    Pattern(
        id="gpu_fault",
        rule="cuda_error",
        literals=("NVRM: Xid",),
        levels=UNMARKED,
        # 48 double bit error, 95 uncontained ECC error
        regex=_RX(r"^NVRM: Xid \(PCI:(?P<pci>[\w:.]+)\): (?P<xid>48|95),"),
        examples=(
            _KERNEL
            + "NVRM: Xid (PCI:0000:65:00): 95, pid=25440, name=VLLM::Worker_TP, Uncontained: LTC TAG (0x2,0x0).",
        ),
        near_misses=(_KERNEL + "NVRM: Xid (PCI:0000:65:00): 43, pid=24110, name=python3, Ch 00000010",),
    ),
    Pattern(
        id="gpu_fault_program",
        rule="cuda_error",
        literals=("NVRM: Xid",),
        levels=UNMARKED,
        # 13 kernel exception, 31 MMU fault, 94 contained ECC error
        regex=_RX(r"^NVRM: Xid \(PCI:(?P<pci>[\w:.]+)\): (?P<xid>13|31|94),"),
        labels={"severity": "warning"},
        examples=(
            _KERNEL + "NVRM: Xid (PCI:0000:65:00): 31, pid=24110, name=VLLM::Worker_TP, channel 0x0000001a, MMU Fault",
            _KERNEL + "NVRM: Xid (PCI:0000:65:00): 94, pid=25440, name=VLLM::Worker_TP, Contained: SM (0x1).",
        ),
        near_misses=(_KERNEL + "NVRM: Xid (PCI:0000:65:00): 43, pid=24110, name=python3, Ch 00000010",),
    ),
    Pattern(
        id="gpu_xid",
        rule="gpu_xid",
        literals=("NVRM: Xid",),
        levels=UNMARKED,
        # 61 and 62 microcontroller, 64 and 140 memory that cannot be repaired, 74 NVLink, 109 context switch, 119 and 120 GSP
        regex=_RX(r"^NVRM: Xid \(PCI:(?P<pci>[\w:.]+)\): (?P<xid>61|62|64|74|109|119|120|140)\b"),
        examples=(
            _KERNEL + "NVRM: Xid (PCI:0000:65:00): 119, pid=24110, name=python3, Timeout after 6s of waiting for RPC",
            _KERNEL + "NVRM: Xid (PCI:0000:65:00): 74, pid='<unknown>', name=<unknown>, NVLink: fatal error detected",
        ),
        near_misses=(_KERNEL + "NVRM: loading NVIDIA UNIX x86_64 Kernel Module  550.54.15",),
    ),
    Pattern(
        id="gpu_xid_minor",
        rule="gpu_xid",
        literals=("NVRM: Xid",),
        levels=UNMARKED,
        # 43 and 45 follow a fault of the program, 63 and 92 are errors that were corrected; and what nobody has classed
        regex=_RX(r"^NVRM: Xid \(PCI:(?P<pci>[\w:.]+)\): (?P<xid>\d+)\b"),
        labels={"severity": "warning"},
        examples=(_KERNEL + "NVRM: Xid (PCI:0000:65:00): 43, pid=24110, name=python3, Ch 00000010",),
        near_misses=(_KERNEL + "NVRM: loading NVIDIA UNIX x86_64 Kernel Module  550.54.15",),
    ),
    Pattern(
        id="cuda_error",
        rule="cuda_error",
        literals=("CUDA error: ", "HIP error: "),
        where=_E,
        regex=_RX(
            r"(?:^(?:[\w.]+\.)?(?:RuntimeError|AcceleratorError|CudaError): (?:Worker failed with error ['\"])?"
            r"|(?:Rank (?P<rank>\d+)\] )?Process group watchdog thread terminated with exception: )"
            r"(?:CUDA|HIP) error: (?P<error>CUBLAS_STATUS_\w+|[^\n':.(]{1,80})",
            _M,
        ),
        examples=(
            _core(
                "WorkerProc hit an exception.",
                _TRACE,
                "torch.AcceleratorError: CUDA error: an illegal memory access was encountered",
                "CUDA kernel errors might be asynchronously reported at some other API call",
            ),
            _core(
                "EngineCore encountered a fatal error.",
                _TRACE,
                "RuntimeError: Worker failed with error 'CUDA error: device-side assert triggered",
            ),
            _raw("RuntimeError: CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`"),
            _raw("RuntimeError: CUDA error: uncorrectable ECC error encountered"),
            (
                "[rank1]:[E1103 23:14:03.342459398 ProcessGroupNCCL.cpp:2068] [PG ID 4 PG GUID 19 Rank 1] Process group "
                "watchdog thread terminated with exception: CUDA error: an illegal memory access was encountered"
            ),
        ),
        near_misses=(
            _core("EngineCore failed to start.", _TRACE, "torch.AcceleratorError: CUDA error: out of memory"),
            _PROMPT.format("RuntimeError: CUDA error: device-side assert triggered"),
        ),
    ),
    Pattern(
        id="gpu_gone",
        rule="cuda_error",
        literals=("GPU is lost", "Unable to determine the device handle"),
        where=_E,
        regex=_RX(
            _RAISED + r"\w+: [^\n]{0,80}(?P<error>GPU is lost|Unable to determine the device handle for GPU)", _M
        ),
        examples=(
            _core("EngineCore encountered a fatal error.", _TRACE, "pynvml.NVMLError_GpuIsLost: GPU is lost"),
            _raw("RuntimeError: Unable to determine the device handle for GPU 0000:44:00.0: Unknown Error"),
        ),
        near_misses=(_PROMPT.format("GPU is lost"),),
    ),
    Pattern(
        id="nccl_error",
        rule="nccl_failure",
        literals=("NCCL error", "Failed to load NCCL library"),
        where=_E,
        regex=_RX(
            r"(?:"
            + _RAISED
            + r"(?:RuntimeError: NCCL error: (?P<error>[^\n(:]{1,80})|DistBackendError: NCCL error in: )"
            r"|^Failed to load NCCL library from)",
            _M,
        ),
        examples=(
            _core(
                "Error executing method 'init_device'. This might cause deadlock in distributed execution.",
                _TRACE,
                "RuntimeError: NCCL error: unhandled system error (run with NCCL_DEBUG=INFO for details)",
            ),
            _raw(
                "torch.distributed.DistBackendError: NCCL error in: /pytorch/torch/csrc/NCCLUtils.hpp:317, unhandled "
                "system error, NCCL version 2.21.5",
                "ncclSystemError: System call (e.g. socket, malloc) or external library call failed or device error.",
            ),
            "ERROR 04-16 01:01:44 [pynccl_wrapper.py:270] Failed to load NCCL library from libnccl.so.2. It is expected",
        ),
        near_misses=("INFO 04-16 01:01:44 [pynccl.py:69] vLLM is using nccl==2.21.5",),
    ),
    Pattern(
        id="nccl_timeout",
        rule="nccl_failure",
        literals=("Watchdog caught collective operation timeout",),
        regex=_RX(
            r"^(?:\[[^\]]*[Rr]ank (?P<rank>\d+)\] *)?(?:Process group watchdog thread terminated with exception: "
            r"(?:\[Rank \d+\] *)?)?Watchdog caught collective operation timeout: WorkNCCL\("
            r"(?:.{0,80}?OpType=(?P<op>\w+))?(?:.{0,200}?Timeout\(ms\)=(?P<timeout_ms>\d+))?"
        ),
        labels={"error": "watchdog timeout"},
        examples=(
            (
                "[rank1]:[E918 06:41:27.512047193 ProcessGroupNCCL.cpp:685] [Rank 1] Watchdog caught collective operation "
                "timeout: WorkNCCL(SeqNum=8123, OpType=ALLREDUCE, NumelIn=33554432, NumelOut=33554432, Timeout(ms)=600000) ran "
                "for 600041 milliseconds before timing out."
            ),
            (
                "[rank1]:[E918 06:41:27.540199482 ProcessGroupNCCL.cpp:2068] [PG ID 2 PG GUID 3 Rank 1] Process group watchdog "
                "thread terminated with exception: [Rank 1] Watchdog caught collective operation timeout: WorkNCCL(SeqNum=8123, "
                "OpType=ALLREDUCE, Timeout(ms)=600000) ran for 600041 milliseconds before timing out.\n"
                "Exception raised from checkTimeout at ProcessGroupNCCL.cpp:688 (most recent call first):\n"
                "terminate called after throwing an instance of 'c10::DistBackendError'"
            ),
        ),
        near_misses=(
            (
                "[rank1]:[E918 06:41:27.513014522 ProcessGroupNCCL.cpp:746] [Rank 1] Some NCCL operations have failed or timed "
                "out."
            ),
        ),
    ),
    Pattern(
        id="nccl_shared_memory",
        rule="nccl_failure",
        literals=("Error while creating shared memory segment",),
        levels=TROUBLE,
        regex=_RX(r"^NCCL Error while creating shared memory segment \S+(?: \(size (?P<asked>\d+)\))?"),
        labels={"cause": "shared_memory"},
        examples=(
            "host:214:890 [0] NCCL WARN Error while creating shared memory segment /dev/shm/nccl-abc (size 9637888)",
        ),
        near_misses=("host:214:890 [0] NCCL INFO Bootstrap : Using eth0:10.0.0.1<0>",),
    ),
    Pattern(
        id="nccl_aftermath",
        rule="",
        literals=(
            "failure detected by watchdog",
            "failed collective",
            "NCCL operations have failed",
            "data inconsistency",
        ),
        regex=_RX(
            r"^(?:\[[^\]]*\] *)*(?:failure detected by watchdog|Stack trace of the failed collective"
            r"|Some NCCL operations have failed|To avoid data inconsistency)"
        ),
        levels=ERRORS,
        examples=(
            (
                "[rank1]:[E918 06:41:27.513027310 ProcessGroupNCCL.cpp:760] [Rank 1] To avoid data inconsistency, we are taking "
                "the entire process down."
            ),
            (
                "[rank1]:[E918 06:41:27.512530871 ProcessGroupNCCL.cpp:2252] [PG ID 2 PG GUID 3 Rank 1]  failure detected by "
                "watchdog at work sequence id: 8123"
            ),
        ),
        near_misses=("[W918 06:41:27.5130 ProcessGroupNCCL.cpp:760] Warning: destroy_process_group() was not called",),
    ),
)


def _start(
    id_: str, cause: str, literals: tuple[str, ...], regex: str, examples: tuple[str, ...], near_misses: tuple[str, ...]
) -> Pattern:
    """A reason for which a server cannot start, seen in what an exception says."""
    return Pattern(
        id=id_,
        rule="startup_failed",
        literals=literals,
        where=_E,
        regex=_RX(regex, _M),
        labels={"cause": cause} if cause else {},
        examples=examples,
        near_misses=near_misses,
    )


STARTUP = (
    _start(
        "architecture_unsupported",
        "architecture",
        ("Model architectures", "has no vLLM implementation", "does not recognize this architecture"),
        r"^(?: +Value error, |(?:[\w.]+\.)?ValueError: )(?:Model architectures \['?(?P<architecture>\w{1,80})[^\n]{0,80}"
        r"are not supported for now|[^\n]{0,80}has no vLLM implementation"
        r"|The checkpoint you are trying to load has model type `(?P<model_type>\w{1,80})`)",
        (
            _raw(
                "pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig",
                "  Value error, Model architectures ['NoSuchModelForCausalLM'] are not supported for now. Supported "
                "architectures: dict_keys(['AfmoeForCausalLM'])",
                "    For further information visit https://errors.pydantic.dev/2.14/v/value_error",
            ),
            _raw("ValueError: Model architectures ['Foo'] are not supported for now. Supported architectures: []"),
            _raw(
                "ValueError: The checkpoint you are trying to load has model type `foo` but Transformers does not "
                "recognize this architecture."
            ),
            _raw(
                "ValueError: FooModel has no vLLM implementation and the Transformers implementation is not compatible "
                "with vLLM."
            ),
        ),
        ("(APIServer pid=1) INFO 11-21 02:35:43 [model.py:733] Resolved architecture: LlamaForCausalLM",),
    ),
    _start(
        "weights_missing",
        "weights",
        ("Cannot find any model weights", "were not initialized from checkpoint"),
        _RAISED + r"(?:RuntimeError: Cannot find any model weights with `(?P<path>[^`\n]{1,200})`"
        r"|ValueError: Following weights were not initialized from checkpoint)",
        (
            _core(
                "WorkerProc failed to start.", _TRACE, "RuntimeError: Cannot find any model weights with `/models/tiny`"
            ),
            _core(
                "EngineCore failed to start.",
                _TRACE,
                "ValueError: Following weights were not initialized from checkpoint: {'a'}",
            ),
        ),
        ("(Worker pid=1) INFO 11-21 02:36:01 [cpu_model_runner.py:68] Starting to load model /models/tiny...",),
    ),
    _start(
        "model_access_denied",
        "model_access",
        ("gated repo", "GatedRepoError"),
        _RAISED + r"(?:OSError: You are trying to access a gated repo|GatedRepoError: 40[13] Client Error)",
        (
            _raw("OSError: You are trying to access a gated repo.", "Make sure to have access to it at https://x"),
            _raw("huggingface_hub.errors.GatedRepoError: 401 Client Error. (Request ID: Root=1)"),
        ),
        (_raw("OSError: [Errno 5] Input/output error"),),
    ),
    _start(
        "model_path_missing",
        "model_path",
        ("Could not detect config format", "Repo id must be", "RepositoryNotFoundError", "is not a local folder"),
        _RAISED + r"(?:ValueError: Could not detect config format for no config file found"
        r"|HFValidationError: Repo id must be[^\n]{0,80}: '(?P<path>[^'\n]{1,200})'"
        r"|RepositoryNotFoundError: 40[14] Client Error|OSError: [^\n]{1,200}is not a local folder and is not a valid model)",
        (
            _raw(
                "huggingface_hub.errors.HFValidationError: Repo id must be in the form 'repo_name' or "
                "'namespace/repo_name': '/models/does-not-exist'. Use `repo_type` argument if needed."
            ),
            _raw("ValueError: Could not detect config format for no config file found. With config_format 'auto'"),
            _raw("huggingface_hub.errors.RepositoryNotFoundError: 404 Client Error. (Request ID: Root=1)"),
            _raw(
                "OSError: foo/bar is not a local folder and is not a valid model identifier listed on 'https://hf.co'"
            ),
        ),
        ("(APIServer pid=1) INFO 11-21 02:36:07 [x.py:1] RepositoryNotFoundError: 404 Client Error",),
    ),
    _start(
        "model_download_failed",
        "model_download",
        ("We couldn't connect to", "LocalEntryNotFoundError"),
        _RAISED + r"(?:OSError: We couldn't connect to|LocalEntryNotFoundError: )",
        (
            _raw("OSError: We couldn't connect to 'https://huggingface.co' to load the files"),
            _raw("huggingface_hub.errors.LocalEntryNotFoundError: Cannot find an appropriate cached snapshot folder"),
        ),
        (_raw("OSError: [Errno 5] Input/output error"),),
    ),
    _start(
        "disk_full",
        "disk_full",
        ("No space left on device",),
        r"^OSError: \[Errno 28\] No space left on device",
        (_raw("OSError: [Errno 28] No space left on device: '/var/cache/huggingface'"),),
        ("(APIServer pid=1) INFO 11-21 02:36:07 [x.py:1] OSError: [Errno 28] No space left on device",),
    ),
    _start(
        "port_in_use",
        "port",
        ("ddress already in use",),
        r"^(?:OSError: )?\[Errno 98\] (?:Address already in use|error while attempting to bind on address)",
        (
            _raw("    sock.bind(addr)", "OSError: [Errno 98] Address already in use"),
            "ERROR:    [Errno 98] error while attempting to bind on address ('0.0.0.0', 8000): address already in use",
        ),
        (
            "INFO 11-21 02:36:07 [network_utils.py:1] Port 5600 is already in use, trying port 5601",
            "(APIServer pid=1) WARNING 11-21 02:36:07 [utils.py:1] Address already in use. Retrying with a new port.",
        ),
    ),
    _start(
        "arguments_wrong",
        "arguments",
        (": error: ", "max_model_len", "appears to be a URI", "max_num_batched_tokens"),
        r"^(?:\S*(?:vllm|api_server\.py)(?: serve)?: error: (?P<error>[^\n]{1,120})"
        r"|(?: +Value error, |ValueError: )(?:User-specified max_model_len \(\d+\) is greater than the derived"
        r"|max_num_batched_tokens \(\d+\) is smaller than max_model_len"
        r"|VLLM_PORT '[^'\n]{0,200}' appears to be a URI))",
        (
            "vllm: error: unrecognized arguments: --foo",
            "api_server.py: error: unrecognized arguments: --foo",
            _raw("ValueError: User-specified max_model_len (9000) is greater than the derived max_model_len (n=4096)"),
            _raw(
                "pydantic_core._pydantic_core.ValidationError: 1 validation error for SchedulerConfig",
                "  Value error, max_num_batched_tokens (2048) is smaller than max_model_len (4096).",
            ),
            _raw("ValueError: VLLM_PORT 'tcp://10.0.0.1:8000' appears to be a URI. This may be caused by a Kubernetes"),
        ),
        ("usage: vllm serve [-h] [--max-model-len MAX_MODEL_LEN]",),
    ),
    _start(
        "gpu_missing",
        "no_gpu",
        ("Failed to infer device type", "No CUDA GPUs are available"),
        r"^RuntimeError: (?:Failed to infer device type|No CUDA GPUs are available)",
        (
            _raw("RuntimeError: Failed to infer device type, please set the environment variable"),
            _core("EngineCore failed to start.", _TRACE, "RuntimeError: No CUDA GPUs are available"),
        ),
        ("INFO 11-21 02:36:07 [__init__.py:1] Automatically detected platform cuda.",),
    ),
    _start(
        "host_memory_refused",
        "host_memory",
        ("DefaultCPUAllocator",),
        r"DefaultCPUAllocator: can't allocate memory: you tried to allocate (?P<asked>\d+) bytes",
        (
            _raw(
                "RuntimeError: [enforce fail at alloc_cpu.cpp:119] err == 0. DefaultCPUAllocator: can't allocate memory: "
                "you tried to allocate 8589934592 bytes. Error code 12 (Cannot allocate memory)"
            ),
        ),
        ("(APIServer pid=1) INFO 11-21 02:36:07 [x.py:1] DefaultCPUAllocator: can't allocate memory: you tried",),
    ),
    _start(
        "start_timed_out",
        "timeout",
        ("Timed out waiting for engine core", "Did not receive response from front-end", "Server didn't reply"),
        _RAISED
        + r"\w+: (?:Timed out waiting for engine core processes to start[^\n]{0,120}?(?:Waited (?P<timeout>\d+)s)?$"
        r"|Did not receive response from front-end process|(?:RPC)?Server didn't reply within (?P<timeout_ms>\d+))",
        (
            _raw(
                "TimeoutError: Timed out waiting for engine core processes to start. This is often caused by slow weight "
                "loading for large models. Waited 600s"
            ),
            _core(
                "EngineCore failed to start.",
                _TRACE,
                "RuntimeError: Did not receive response from front-end process within 5 minutes",
            ),
            _raw("TimeoutError: RPCServer didn't reply within 10000 ms"),
            _raw("TimeoutError: Server didn't reply within 5000 ms"),
        ),
        (_core("EngineCore encountered a fatal error.", _TRACE, "TimeoutError: RPC call to sample_tokens timed out."),),
    ),
    _start(
        "engine_start_failed",
        "",
        ("failed to start", "initialization failed", "WorkerProc failed."),
        r"^(?:EngineCore failed to start\.|WorkerProc failed(?: to start)?\.$"
        r"|RuntimeError: Engine core initialization failed|RuntimeError: Engine process failed to start"
        r"|Exception: WorkerProc initialization failed due to an exception)",
        (
            _core(
                "EngineCore failed to start.",
                _TRACE,
                "AttributeError: '_OpNamespace' '_C_utils' object has no attribute 'x'",
            ),
            _raw(
                "RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {'EngineCore': 1}"
            ),
            _core("WorkerProc failed to start.", _TRACE, "KeyError: 'layers.0'"),
            _raw("RuntimeError: Engine process failed to start. See stack trace for the root cause."),
        ),
        ("(APIServer pid=1) INFO 11-21 02:36:07 [x.py:1] EngineCore failed to start.",),
    ),
)

DEATH = (
    Pattern(
        id="worker_died",
        rule="worker_died",
        literals=("died unexpectedly", "died, exit code", "died with exit code"),
        where=_E,
        regex=_RX(
            r"^(?:Worker proc (?P<worker>[\w-]+) died unexpectedly(?: \(exit code: (?P<exit_code>-?\d+|None)\))?"
            r"|RayWorkerProc rank=(?P<rank>\d+) died unexpectedly"
            r"|Worker (?P<name>\S+) pid \d+ died, exit code: (?P<code>-?\d+)"
            r"|RuntimeError: Process (?P<child>(?!Engine|VLLM::Engine)\S+) \(PID: \d+\) died with exit code (?P<ended>-?\d+))",
            _M,
        ),
        examples=(
            _core("Worker proc VllmWorker-0 died unexpectedly (exit code: -9), shutting down executor."),
            _core("Worker proc VllmWorker-1 died unexpectedly, shutting down executor."),
            "ERROR 01-09 21:40:07 multiproc_worker_utils.py:120] Worker VllmWorkerProcess pid 355 died, exit code: -15",
            _core("RayWorkerProc rank=3 died unexpectedly, shutting down executor."),
            _raw("RuntimeError: Process ApiServer_0 (PID: 16767) died with exit code 1"),
        ),
        near_misses=(
            "ERROR 09-18 06:41:28 [core_client.py:1] Engine core proc EngineCore_DP0 died unexpectedly, shutting down client.",
            (
                "(Worker pid=16256) INFO 11-21 03:05:31 [multiproc_executor.py:843] Parent process exited, terminating worker "
                "queues"
            ),
        ),
    ),
    Pattern(
        id="worker_failed",
        rule="worker_died",
        literals=(
            "WorkerProc hit an exception",
            "Error executing method",
            "Exception in worker",
            "fatal signal from worker",
        ),
        regex=_RX(
            r"^(?:WorkerProc hit an exception|Error executing method '?(?P<method>\w+)'?\. This might cause deadlock"
            r"|Exception in worker \S+ while processing method (?P<processing>\w+)"
            r"|(?:Mu\w+Executor g|G)ot fatal signal from worker processes)"
        ),
        levels=ERRORS,
        examples=(
            _core("WorkerProc hit an exception.", _TRACE, "AttributeError: 'NoneType' object has no attribute 'shape'"),
            _core("Error executing method 'init_device'. This might cause deadlock in distributed execution."),
            (
                "(VllmWorkerProcess pid=9) ERROR 01-09 21:40:07 multiproc_worker_utils.py:231] Exception in worker "
                "VllmWorkerProcess while processing method load_model."
            ),
            (
                "CRITICAL 03-09 21:40:07 [multiproc_executor.py:48] MulitprocExecutor got fatal signal from worker processes, "
                "shutting down. See stack trace above for root cause issue."
            ),
        ),
        near_misses=(
            _core("WorkerProc hit an exception.", _TRACE, f"torch.OutOfMemoryError: {_OOM}"),
            "(Worker pid=1) INFO 11-21 03:05:31 [multiproc_executor.py:843] WorkerProc shutting down.",
        ),
    ),
    Pattern(
        id="server_killed",
        rule="worker_died",
        literals=("Main process exited, code=", "Bus error"),
        levels=UNMARKED,
        regex=_RX(
            r"^(?:(?P<unit>\S*(?:vllm|llm)\S*): Main process exited, code=(?:killed|dumped), "
            r"status=(?P<signal>\d+/(?:KILL|ABRT|SEGV|BUS|FPE|ILL))|(?P<error>Bus error) \(core dumped\))",
            re.IGNORECASE,
        ),
        examples=(
            _SYSTEMD + "vllm.service: Main process exited, code=killed, status=9/KILL",
            _SYSTEMD + "vllm.service: Main process exited, code=dumped, status=11/SEGV",
            "Bus error (core dumped)",
        ),
        near_misses=(
            _SYSTEMD + "vllm.service: Main process exited, code=killed, status=15/TERM",
            _SYSTEMD + "nginx.service: Main process exited, code=killed, status=9/KILL",
        ),
    ),
    Pattern(
        id="engine_exited",
        rule="engine_dead",
        literals=("exited unexpectedly", "died unexpectedly", "Engine process", "died with exit code"),
        where=_E,
        regex=_RX(
            r"^(?:\[shutdown\] MPClient: engine core exited unexpectedly"
            r"|Engine core proc(?:ess)? (?P<engine_process>\S+) died unexpectedly"
            r"|RuntimeError(?:: |\(['\"])Engine process \(pid (?P<engine_pid>\d+)\) died"
            r"|RuntimeError: Process (?P<child>(?:VLLM::)?Engine\S*) \(PID: \d+\) died with exit code (?P<exit_code>-?\d+)"
            r"|RuntimeError: Engine core process (?P<gone>\S+) died unexpectedly)",
            _M,
        ),
        examples=(
            (
                "(APIServer pid=15845) WARNING 11-21 03:05:31 [core_client.py:817] [shutdown] MPClient: engine core exited "
                "unexpectedly; starting cleanup"
            ),
            (
                "(APIServer pid=1) ERROR 09-18 06:41:28 [core_client.py:1] Engine core proc EngineCore_DP0 died unexpectedly, "
                "shutting down client."
            ),
            "ERROR 01-09 21:40:07 client.py:300] RuntimeError('Engine process (pid 27) died.')",
            _raw("RuntimeError: Process EngineCore_DP0 (PID: 311) died with exit code -9"),
        ),
        near_misses=(
            "(APIServer pid=1) INFO 11-21 03:05:31 [core_client.py:770] [shutdown] MPClient: start timeout=default",
            _core("Worker proc VllmWorker-1 died unexpectedly, shutting down executor."),
        ),
    ),
    Pattern(
        id="fault_not_recovered",
        rule="engine_dead",
        literals=("[FT] No recovery",),
        regex=_RX(r"^\[FT\] No recovery within (?P<timeout>[\d.]+)s timeout"),
        levels=ERRORS | {"WARNING"},
        examples=(_core("[FT] No recovery within 60s timeout."),),
        near_misses=(_core("[FT] Busy loop raised KeyError('x'). Waiting for recovery."),),
    ),
    Pattern(
        id="fault_held",  # with fault tolerance on; what it ends in is told by its own record
        rule="",
        literals=("[FT] Busy loop raised",),
        regex=_RX(r"^\[FT\] Busy loop raised (?P<error>[^\n]{1,80}?)\. Waiting for recovery"),
        levels=ERRORS | {"WARNING"},
        examples=(_core("[FT] Busy loop raised KeyError('x'). Waiting for recovery."),),
        near_misses=(_core("[FT] No recovery within 60s timeout."),),
    ),
    Pattern(
        id="engine_failed",
        rule="engine_dead",
        literals=(
            "EngineCore encountered a fatal error",
            "EngineCore hit an exception",
            "Engine background task failed",
            "Engine iteration timed out",
            "terminating server process",
        ),
        regex=_RX(
            r"^(?:EngineCore encountered a fatal error|EngineCore hit an exception|Engine background task failed"
            r"|Engine iteration timed out|(?:AsyncLLMEngine|MQLLMEngine) (?:has failed|is already dead), terminating)"
        ),
        levels=ERRORS,
        tells=(
            ("cause", "timeout", _RX(r"^TimeoutError: RPC call to \w+ timed out|^Engine iteration timed out", _M)),
            ("cause", "timeout", _RX(r"^asyncio\.exceptions\.TimeoutError", _M)),
        ),
        examples=(
            _core(
                "EngineCore encountered a fatal error.", _TRACE, "TimeoutError: RPC call to sample_tokens timed out."
            ),
            "ERROR 10-30 11:46:32 async_llm_engine.py:867] Engine iteration timed out. This should never happen!",
            "ERROR 10-30 11:46:32 async_llm_engine.py:66] Engine background task failed",
            "CRITICAL 10-30 11:46:32 launcher.py:72] AsyncLLMEngine has failed, terminating server process",
            "CRITICAL 01-09 21:40:07 launcher.py:99] MQLLMEngine is already dead, terminating server process",
            "ERROR 03-09 21:40:07 [core.py:291] EngineCore hit an exception: Traceback (most recent call last):",
        ),
        near_misses=(
            _core("EngineCore encountered a fatal error.", _TRACE, f"torch.OutOfMemoryError: {_OOM}"),
            _PROMPT.format("EngineCore encountered a fatal error."),
        ),
    ),
    Pattern(
        id="engine_dead",
        rule="engine_dead",
        literals=("EngineDeadError", "output_handler failed", "RuntimeError: cancelled", "Executor failed."),
        where=_E,
        regex=_RX(
            _RAISED
            + r"(?:EngineDeadError(?:: |\(['\"])|AsyncEngineDeadError(?:: |\(['\"])|RuntimeError: Executor failed\.)"
            r"|^AsyncLLM output_handler failed|^RuntimeError: cancelled$",
            _M,
        ),
        examples=(
            (
                "(APIServer pid=1) ERROR 03-14 09:26:53 [async_llm.py:707] AsyncLLM output_handler failed.\n"
                "(APIServer pid=1) ERROR 03-14 09:26:53 [async_llm.py:707] Traceback (most recent call last):\n"
                f"(APIServer pid=1) ERROR 03-14 09:26:53 [async_llm.py:707] {_DEAD}"
            ),
            (
                "(APIServer pid=1) ERROR 03-14 09:26:53 [serving.py:1261] Error in chat completion stream generator.\n"
                "(APIServer pid=1) ERROR 03-14 09:26:53 [serving.py:1261] Traceback (most recent call last):\n"
                f"(APIServer pid=1) ERROR 03-14 09:26:53 [serving.py:1261] {_DEAD}"
            ),
            (
                'ERROR:    Exception in ASGI application\nTraceback (most recent call last):\n  File "x.py", line 1, in f\n'
                "vllm.engine.async_llm_engine.AsyncEngineDeadError: Background loop has errored already."
            ),
        ),
        near_misses=(
            _PROMPT.format(_DEAD),
            (
                'ERROR:    Exception in ASGI application\nTraceback (most recent call last):\n  File "x.py", line 1, in f\n'
                "    raise EngineDeadError('no')\nKeyError: 'x'"
            ),
        ),
    ),
    Pattern(
        id="engine_stalled",
        rule="engine_stalled",
        literals=("No available shared memory broadcast block",),
        levels=ANY,
        regex=_RX(r"^No available shared memory broadcast block found in (?P<timeout>\d+) second"),
        examples=(
            (
                "(EngineCore_DP0 pid=902) INFO 04-02 03:11:20 [shm_broadcast.py:548] No available shared memory broadcast block "
                "found in 60 seconds. This typically happens when some processes are hanging"
            ),
            "DEBUG 04-02 03:11:20 [shm_broadcast.py:548] No available shared memory broadcast block found in 60 second.",
        ),
        near_misses=(_PROMPT.format("No available shared memory broadcast block found in 60 seconds."),),
    ),
    Pattern(
        id="stack_dumped",
        rule="engine_stalled",
        literals=("[Watchdog]Dumped stack",),
        levels=ERRORS | {"WARNING"},
        regex=_RX(r"^\[Watchdog\]Dumped stack to (?P<path>\S{1,200}) due to (?P<error>[^\n]{1,80})"),
        examples=(
            "(EngineCore pid=214) WARNING 03-14 09:26:53 [watchdog.py:1] [Watchdog]Dumped stack to /tmp/x due to no progress",
        ),
        near_misses=("(EngineCore pid=214) WARNING 03-14 09:26:53 [watchdog.py:1] Watchdog is on",),
    ),
)

REQUESTS = (
    Pattern(
        id="request_timeout",
        rule="request_timeout",
        literals=("timed out", "TimeoutError", "didn't reply within", "No heartbeat received"),
        where=_E,
        regex=_RX(
            r"^(?:TimeoutError(?:: |\(['\"])(?:MQLLMEngine didn't reply within (?P<timeout_ms>\d+)"
            r"|Chat template rendering timed out after (?P<timeout>[\d.]+)s|No heartbeat received)"
            r"|Chat template render timed out|(?:Timeout: )?[Rr]equest (?P<request_id>\S+)[^\n]{0,40} timed out"
            r"|(?:asyncio\.exceptions\.)?TimeoutError$)",
            _M,
        ),
        levels=ERRORS | {"WARNING"},
        examples=(
            'ERROR 09-26 04:48:10 client.py:244] TimeoutError("MQLLMEngine didn\'t reply within 10000ms")',
            (
                "(APIServer pid=1) ERROR 11-21 03:33:30 [serving.py:1] Error in rendering.\n"
                "(APIServer pid=1) ERROR 11-21 03:33:30 [serving.py:1] TimeoutError: Chat template rendering timed out after 5s."
            ),
            "(APIServer pid=1) WARNING 11-21 03:33:30 [hf.py:1] Chat template render timed out after 5s",
            "ERROR 11-21 03:33:30 [x.py:1] Request cmpl-12 timed out after 30 s",
        ),
        near_misses=(
            _PROMPT.format("TimeoutError: Chat template rendering timed out after 5s."),
            _core(
                "EngineCore encountered a fatal error.", _TRACE, "TimeoutError: RPC call to sample_tokens timed out."
            ),
        ),
    ),
    Pattern(
        id="http_5xx",
        rule="http_5xx",
        literals=('" 5',),
        levels=frozenset({"INFO"}),
        regex=_RX(r"^\S+ - \"(?P<method>[A-Z]+) (?P<handler>[^\s?]{1,120})\S* HTTP/[\d.]+\" (?P<status>5\d\d)\b"),
        examples=(
            '(APIServer pid=1) INFO:     10.0.0.22:40122 - "POST /v1/chat/completions HTTP/1.1" 500 Internal Server Error',
            'INFO:     127.0.0.1:51776 - "POST /v1/completions HTTP/1.1" 503 Service Unavailable',
            (
                '{"asctime": "2026-11-21 03:10:23,861", "levelname": "INFO", "name": "uvicorn.access", "process": 17418, '
                '"message": "127.0.0.1:41514 - \\"POST /v1/completions HTTP/1.1\\" 500"}'
            ),
        ),
        near_misses=(
            'INFO:     127.0.0.1:51708 - "POST /v1/completions HTTP/1.1" 404 Not Found',
            'INFO:     127.0.0.1:51708 - "GET /500 HTTP/1.1" 200 OK',
            _PROMPT.format('1.1.1.1:1 - "POST /v1 HTTP/1.1" 500 Internal Server Error'),
        ),
    ),
)


def _burst(
    id_: str, group: str, literals: tuple[str, ...], regex: str, examples: tuple[str, ...], near_misses: tuple[str, ...]
) -> Pattern:
    """An ERROR that one request may give now and then, and that is trouble when it comes often: it bursts as itself."""
    return Pattern(
        id=id_,
        rule="error_burst" if group else "",
        literals=literals,
        regex=_RX(regex),
        levels=ERRORS if group else ERRORS | {"WARNING"},
        labels={"template": group} if group else {},
        examples=examples,
        near_misses=near_misses,
    )


SINGLE = (
    _burst(
        "request_failed",
        "requests fail in the engine",
        ("internal error during generation", "pre-processing request", "Engine Exception caught"),
        r"^(?:Request (?P<request_id>\S+) failed with an internal error during generation"
        r"|Unexpected error pre-processing request (?P<failed_id>[^\s,]+)"
        r"|Engine Exception caught\. Request id: (?P<caught_id>\S+))",
        (
            "(APIServer pid=1) ERROR 03-14 09:26:53 [x.py:1] Request cmpl-1 failed with an internal error during generation",
            _core("Unexpected error pre-processing request cmpl-1", _TRACE, "KeyError: 'x'"),
            "(APIServer pid=1) ERROR 11-21 03:33:30 [x.py:1] Engine Exception caught. Request id: cmpl-1",
        ),
        ("(APIServer pid=1) INFO 03-14 09:26:53 [x.py:1] Request cmpl-1 failed (bad request).",),
    ),
    _burst(
        "stream_failed",
        "streams end in an error after 200",
        ("completion stream generator",),
        r"^[Ee]rror in (?:chat )?completion stream generator",
        (
            _core("Error in chat completion stream generator.", _TRACE, "KeyError: 'x'"),
            _core("Error in completion stream generator.", _TRACE, "KeyError: 'x'"),
        ),
        ("(APIServer pid=1) INFO 03-14 09:26:53 [x.py:1] chat completion stream generator",),
    ),
    _burst(
        "grammar_failed",
        "structured output fails",
        ("Failed to advance FSM", "grammar rejected tokens", "Failed to compile grammar"),
        r"^(?:Failed to advance FSM for request (?P<request_id>\S+)"
        r"|Unexpected: grammar rejected tokens [^\n]{0,400} for request (?P<rejected_id>[^\s.]+)"
        r"|Failed to compile grammar for request (?P<compiled_id>[^\s.]+))",
        (
            (
                "(EngineCore pid=871) ERROR 06-13 10:01:02 [backend_xgrammar.py:158] Failed to advance FSM for request "
                "chatcmpl-1 for tokens 154842. Please file an issue."
            ),
            _core("Unexpected: grammar rejected tokens [1, 2] for request cmpl-1. Terminating request."),
            _core("Failed to compile grammar for request cmpl-1", _TRACE, "ValueError: x"),
        ),
        (
            "(EngineCore pid=871) WARNING 06-13 10:01:02 [x.py:1] Unexpected: grammar rejected tokens [1] for request c.",
        ),
    ),
    _burst(
        "kv_load_failed",
        "KV transfers fail",
        ("due to KV load failure",),
        r"^Failing (?P<requests>\d+) request\(s\) due to KV load failure",
        (
            _core(
                "Failing 2 request(s) due to KV load failure (failure_policy=fail, 512 tokens affected). Request IDs: {'a'}"
            ),
        ),
        (_core("Recovered from KV load failure: 2 request(s) rescheduled (512 tokens affected)."),),
    ),
    _burst(
        "adapter_missing",  # the client named it: 404
        "",
        ("Loading lora",),
        r"^Loading lora (?P<adapter>\S{1,80}) failed: No adapter found for (?P<path>\S{1,200})",
        (_core("Loading lora sql failed: No adapter found for /adapters/sql", _TRACE, "ValueError: x"),),
        ("INFO 03-14 09:26:53 [x.py:1] Loading lora sql",),
    ),
    _burst(
        "kv_cache_exceeded",  # the request ends with finish_reason length, and 200
        "",
        ("not enough kv cache blocks",),
        r"^Failing the request (?P<request_id>\S+) because there's not enough kv cache blocks",
        (
            (
                "WARNING 01-09 21:40:07 scheduler.py:1] Failing the request cmpl-1 because there's not enough kv cache blocks to "
                "run the entire sequence."
            ),
        ),
        ("WARNING 01-09 21:40:07 scheduler.py:1] Failing the request",),
    ),
    _burst(
        "preempted",  # one line for 50 of them; the counter tells each
        "",
        ("is preempted by",),
        r"^Sequence group (?P<request_id>\S+) is preempted by [^\n]{0,200}?(?:preemption=(?P<preemptions>\d+))?$",
        (
            (
                "WARNING 01-20 14:00:02 scheduler.py:1555] Sequence group cmpl-1 is preempted by PreemptionMode.RECOMPUTE mode "
                "because there is not enough KV cache space. total_num_cumulative_preemption=51"
            ),
        ),
        ("WARNING 01-20 14:00:02 scheduler.py:1555] Sequence group cmpl-1 is late",),
    ),
)

LIFE = (
    Pattern(
        id="server_started",
        rule="",
        literals=("non-default args: {", "args: Namespace("),
        levels=ANY,
        regex=_RX(r"^(?:non-default args: \{|args: Namespace\()"),
        examples=(
            "(APIServer pid=17068) INFO 11-21 03:07:43 [api_utils.py:286] non-default args: {'model_tag': '/models/tiny'}",
            "INFO 01-09 21:30:00 api_server.py:651] args: Namespace(host=None, port=8000)",
        ),
        near_misses=(_PROMPT.format("args: Namespace("),),
    ),
    Pattern(
        id="kv_memory_short",  # told just before the start fails: by how much
        rule="",
        literals=("Available KV cache memory: -",),
        levels=ANY,
        regex=_RX(r"^Available KV cache memory: -(?P<short>[\d.]{1,12}) GiB"),
        examples=("(Worker pid=355) INFO 11-21 03:09:30 [gpu_worker.py:440] Available KV cache memory: -2.81 GiB",),
        near_misses=(
            "(Worker pid=355) INFO 11-21 03:09:30 [gpu_worker.py:440] Available KV cache memory: 10.78 GiB",
            _PROMPT.format("Available KV cache memory: -2.81 GiB"),
        ),
    ),
    Pattern(
        id="engine_starting",
        rule="",
        literals=("Initializing a",),
        levels=ANY,
        regex=_RX(r"^Initializing an? (?:V1 )?LLM engine \(v(?P<version>[\w.+-]{1,40})\)"),
        examples=(
            "(EngineCore pid=11090) INFO 11-21 02:35:50 [core.py:133] Initializing a V1 LLM engine (v0.32.0) with config: x",
            "INFO 01-09 21:30:00 llm_engine.py:237] Initializing an LLM engine (v0.6.6) with config: model='x'",
        ),
        near_misses=(_PROMPT.format("Initializing a V1 LLM engine (v0.32.0)"),),
    ),
    Pattern(
        id="weights_loading",
        rule="",
        literals=("Starting to load model ",),
        levels=ANY,
        regex=_RX(r"^Starting to load model \S"),
        examples=(
            "(Worker pid=11442) INFO 11-21 02:36:01 [cpu_model_runner.py:68] Starting to load model /models/tiny...",
        ),
        near_misses=(_PROMPT.format("Starting to load model x"),),
    ),
    Pattern(
        id="weights_loaded",
        rule="",
        literals=("Model loading took ", "Loading model weights took "),
        levels=ANY,
        regex=_RX(r"^(?:Model loading took|Loading model weights took) [\d.]+ (?:GB|GiB)"),
        examples=(
            "(Worker pid=9) INFO 05-09 21:40:07 [x.py:1] Model loading took 15.01 GiB memory and 41.7 seconds",
            "INFO 01-09 21:30:40 model_runner.py:1025] Loading model weights took 14.99 GB",
        ),
        near_misses=(_PROMPT.format("Model loading took 15.0 GiB"),),
    ),
    Pattern(
        id="kv_cache_sized",
        rule="",
        literals=("KV cache size: ", " blocks: "),
        levels=ANY,
        regex=_RX(r"^(?:[GCX]PU KV cache size: [\d,]+ tokens|# (?:GPU|cuda|CPU|cpu|rocm|xpu) blocks: \d+)"),
        examples=(
            "(EngineCore pid=9) INFO 05-09 21:40:07 [kv_cache_utils.py:1] GPU KV cache size: 435,328 tokens",
            "INFO 01-09 21:30:50 gpu_executor.py:122] # GPU blocks: 27913, # CPU blocks: 2048",
        ),
        near_misses=(_PROMPT.format("GPU KV cache size: 1 tokens"),),
    ),
    Pattern(
        id="engine_asleep",
        rule="",
        literals=(" seconds to fall asleep",),
        levels=ANY,
        regex=_RX(r"^It took [\d.]+ seconds to fall asleep\."),
        examples=("(EngineCore pid=9) INFO 05-09 21:40:07 [executor.py:1] It took 1.862345 seconds to fall asleep.",),
        near_misses=(_PROMPT.format("It took 2 seconds to fall asleep."),),
    ),
    Pattern(
        id="engine_awake",
        rule="",
        literals=("wake up the engine with tags",),
        levels=ANY,
        regex=_RX(r"^wake up the engine with tags"),
        examples=("(APIServer pid=9) INFO 05-09 21:40:07 [api_server.py:1] wake up the engine with tags: None",),
        near_misses=(_PROMPT.format("wake up the engine with tags: x"),),
    ),
    Pattern(
        id="server_ready",
        rule="",
        literals=("Application startup complete",),
        levels=ANY,
        regex=_RX(r"^Application startup complete\.?$"),
        examples=(
            "INFO:     Application startup complete.",
            '{"levelname": "INFO", "name": "uvicorn.error", "message": "Application startup complete."}',
        ),
        near_misses=("INFO:     Waiting for application startup.", "INFO:     Application shutdown complete."),
    ),
    Pattern(
        id="server_stopping",  # wanted: after a crash only `[shutdown] MPClient: ...` and uvicorn's own lines come
        rule="",
        literals=(
            "shutdown triggered",
            "trigger received signal",
            "utting down FastAPI HTTP server",
            "Shutdown initiated",
            "Received KeyboardInterrupt",
            "Engine is gracefully shutting down",
        ),
        levels=ANY,
        regex=_RX(
            r"^(?:\[shutdown\] API server: (?:shutdown triggered|shutting down FastAPI HTTP server)"
            r"|\[shutdown\] \S+: trigger received signal|Shutting down FastAPI HTTP server\.|Shutdown initiated \(timeout="
            r"|Received KeyboardInterrupt, shutting down API servers|Engine is gracefully shutting down\.)"
        ),
        examples=(
            _INFO + "[shutdown] API server: shutdown triggered",
            "(EngineCore pid=26035) INFO 11-21 03:33:34 [core.py:1454] [shutdown] EngineCore: trigger received signal=SIGTERM",
            "INFO 01-09 21:40:07 launcher.py:57] Shutting down FastAPI HTTP server.",
            "(APIServer pid=1) INFO 05-09 21:40:07 [core.py:1] Shutdown initiated (timeout=0)",
            "INFO 01-09 21:40:07 [serve.py:1] Received KeyboardInterrupt, shutting down API servers...",
            "INFO 01-09 21:40:07 engine.py:1] Engine is gracefully shutting down.",
        ),
        near_misses=(
            "INFO:     Shutting down",
            _INFO + "[shutdown] MPClient: start timeout=default",
            _PROMPT.format("[shutdown] API server: shutdown triggered"),
        ),
    ),
)

LAST = (
    Pattern(
        id=FALLBACK,
        rule="error_burst",
        levels=ERRORS,
        regex=_RX(""),
        examples=(
            (
                "(EngineCore pid=871) ERROR 06-13 10:01:02 [x.py:158] Something that no row knows happened to request "
                "chatcmpl-1 for tokens 154842."
            ),
            (
                'ERROR:    Exception in ASGI application\nTraceback (most recent call last):\n  File "x.py", line 1, in f\n'
                "KeyError: 'x'"
            ),
        ),
        near_misses=("(APIServer pid=1) WARNING 11-21 03:33:30 [x.py:1] Found ulimit of 20000",),
    ),
)

PATTERNS: tuple[Pattern, ...] = (*CLIENT, *MEMORY, *GPU, *STARTUP, *DEATH, *REQUESTS, *SINGLE, *LIFE, *LAST)


def user_rows(settings: Mapping[str, PatternSettings]) -> tuple[Pattern, ...]:
    """The rows that the user adds; they stand before ours. Their expressions were checked by `problems`."""
    return tuple(row.row(id_) for id_, row in settings.items())
