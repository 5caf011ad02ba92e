"""Every failure line in the project's catalogue of vLLM logs has a pattern, or a reason why it needs none.

The ids are those of the catalogue (section 4). `None` as the kind stands for a line that is to raise nothing; the third
member then says why. `error` is the row that takes every ERROR which no other knows, for the burst rule.
"""

# ruff: noqa: E501  # log lines stand as they are written

from __future__ import annotations

import pytest

from vllm_vigil.events.detector import Detector
from vllm_vigil.events.patterns import PATTERNS
from vllm_vigil.events.record import read_text

TRACE = "Traceback (most recent call last):"
FRAME = '  File "/opt/vllm/x.py", line 8, in f'


def core(*said: str, level: str = "ERROR") -> str:
    """A record of the engine core."""
    return "\n".join(f"(EngineCore pid=214) {level} 03-14 09:26:53 [core.py:1110] {line}" for line in said)


def raised(*said: str) -> str:
    """A fatal record whose exception is this."""
    return core("EngineCore encountered a fatal error.", TRACE, FRAME, *said)


def started(*said: str) -> str:
    """A failed start whose exception is this."""
    return core("EngineCore failed to start.", TRACE, FRAME, *said)


def raw(*said: str) -> str:
    """An uncaught exception."""
    return "\n".join((TRACE, FRAME, "    main()", *said))


def api(text: str, level: str = "INFO") -> str:
    """A line of the API server."""
    return f"(APIServer pid=1) {level} 03-14 09:26:53 [x.py:1] {text}"


def v0(*said: str, level: str = "ERROR") -> str:
    """A record as 0.6 writes it."""
    return "\n".join(f"{level} 01-09 21:40:07 engine.py:135] {line}" for line in said)


KERNEL = "Nov 21 03:05:30 gpu-node kernel: "
SYSTEMD = "Nov 21 03:05:31 gpu-node systemd[1]: "

ROWS: tuple[tuple[str, str, str | None, str], ...] = (
    # GPU memory
    (
        "oom-cuda-old",
        v0(
            "x",
            TRACE,
            FRAME,
            "torch.cuda.OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 MiB (GPU 0; 23.69 GiB total capacity; 22.01 GiB already allocated; 11.94 MiB free; 22.54 GiB reserved",
        ),
        "cuda_oom",
        "",
    ),
    (
        "oom-cuda",
        raised(
            "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.32 GiB. GPU 0 has a total capacity of 79.15 GiB of which 1.21 GiB is free."
        ),
        "cuda_oom",
        "",
    ),
    (
        "oom-cuda",
        started(
            "RuntimeError: Worker failed with error 'CUDA out of memory. Tried to allocate 2.32 GiB.', please check the stack trace above for the root cause"
        ),
        "cuda_oom_reraised",
        "",
    ),
    ("oom-hip", raised("torch.OutOfMemoryError: HIP out of memory. Tried to allocate 2 GiB"), "cuda_oom", ""),
    (
        "oom-cuda-driver",
        raised(
            "torch.AcceleratorError: CUDA error: out of memory", "CUDA kernel errors might be asynchronously reported"
        ),
        "cuda_oom_driver",
        "",
    ),
    (
        "oom-warmup",
        started(
            "RuntimeError: CUDA out of memory occurred when warming up sampler with 1024 dummy requests. Please try lowering"
        ),
        "cuda_oom_warmup",
        "",
    ),
    (
        "oom-warmup",
        started(
            "RuntimeError: CUDA out of memory occurred when warming up pooler (8) with 256 dummy requests. Please try lowering"
        ),
        "cuda_oom_warmup",
        "",
    ),
    (
        "kv-none",
        started("ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization`"),
        "kv_cache_too_small",
        "",
    ),
    (
        "kv-small-v0",
        raw(
            "ValueError: The model's max seq len (32768) is larger than the maximum number of tokens that can be stored in KV cache (14208)."
        ),
        "kv_cache_too_small",
        "",
    ),
    (
        "kv-small-v1",
        started(
            "ValueError: To serve at least one request with the models's max seq len (131072), (16.00 GiB KV cache is needed, which is larger than the available KV cache memory (9.97 GiB)."
        ),
        "kv_cache_too_small",
        "",
    ),
    (
        "kv-small-v1",
        started(
            "ValueError: To serve at least one request with the model's max seq len (131072), (16.00 GB KV cache is needed, which is larger than the available KV cache memory (9.97 GB)."
        ),
        "kv_cache_too_small",
        "",
    ),
    (
        "kv-autofit",
        started(
            "ValueError: Cannot auto-fit max_model_len: not enough GPU memory available to serve even a single token."
        ),
        "kv_cache_too_small",
        "",
    ),
    (
        "gpu-busy",
        started(
            "ValueError: Free memory on device cuda:0 (1.92/79.15 GiB) on startup is less than desired GPU memory utilization (0.9, 71.24 GiB)."
        ),
        "memory_taken",
        "",
    ),
    (
        "kv-seq-v0",
        v0(
            "Failing the request cmpl-1 because there's not enough kv cache blocks to run the entire sequence.",
            level="WARNING",
        ),
        "kv_cache_exceeded",
        "",
    ),
    (
        "swap-v0",
        v0(
            "x",
            TRACE,
            FRAME,
            "RuntimeError: Aborted due to the lack of CPU swap space. Please increase the swap space to avoid this error.",
        ),
        "swap_space_full",
        "",
    ),
    (
        "preempt-v0",
        v0(
            "Sequence group cmpl-1 is preempted by PreemptionMode.RECOMPUTE mode because there is not enough KV cache space. total_num_cumulative_preemption=51",
            level="WARNING",
        ),
        "preempted",
        "",
    ),
    (
        "preempt-v1",
        api("Engine 000: Avg prompt throughput: 1.0 tokens/s, Preemptions: 7"),
        None,
        "the counter says the same, and to the second",
    ),
    # host memory, signals, disk
    (
        "host-oom-kernel",
        KERNEL + "Out of memory: Killed process 20311 (vllm) total-vm:41200340kB, anon-rss:29811004kB",
        "host_oom_kill",
        "",
    ),
    (
        "host-oom-cgroup",
        KERNEL + "Memory cgroup out of memory: Killed process 15877 (VLLM::EngineCor) total-vm:1kB, anon-rss:2kB",
        "host_oom_kill",
        "",
    ),
    (
        "host-oom-systemd",
        SYSTEMD + "vllm.service: A process of this unit has been killed by the OOM killer.",
        "unit_oom_killed",
        "",
    ),
    ("host-oom-systemd", SYSTEMD + "vllm.service: Failed with result 'oom-kill'.", "unit_oom_killed", ""),
    ("killed-main", SYSTEMD + "vllm.service: Main process exited, code=killed, status=9/KILL", "server_killed", ""),
    (
        "killed-engine",
        api("[shutdown] MPClient: engine core exited unexpectedly; starting cleanup", "WARNING"),
        "engine_exited",
        "",
    ),
    (
        "killed-engine-old",
        api("Engine core proc EngineCore_DP0 died unexpectedly, shutting down client.", "ERROR"),
        "engine_exited",
        "",
    ),
    ("killed-worker", core("Worker proc VllmWorker-1 died unexpectedly, shutting down executor."), "worker_died", ""),
    (
        "killed-worker-code",
        core("Worker proc VllmWorker-0 died unexpectedly (exit code: -9), shutting down executor."),
        "worker_died",
        "",
    ),
    ("killed-worker-v0", v0("Worker VllmWorkerProcess pid 355 died, exit code: -15"), "worker_died", ""),
    ("died-code", raw("RuntimeError: Process EngineCore_DP0 (PID: 311) died with exit code -9"), "engine_exited", ""),
    ("died-code", raw("RuntimeError: Engine core process EngineCore_DP1 died unexpectedly."), "engine_exited", ""),
    (
        "cpu-alloc",
        raw(
            "RuntimeError: [enforce fail at alloc_cpu.cpp:119] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate 8589934592 bytes. Error code 12 (Cannot allocate memory)"
        ),
        "host_memory_refused",
        "",
    ),
    (
        "shm-full",
        "host:214:890 [0] misc/shmutils.cc:72 NCCL WARN Error while creating shared memory segment /dev/shm/nccl-abc (size 9637888)",
        "nccl_shared_memory",
        "",
    ),
    ("bus-error", "Bus error (core dumped)", "server_killed", ""),
    # engine death and hangs, V1
    ("core-fatal", raised("KeyError: 'x'"), "engine_failed", ""),
    (
        "core-hit",
        core("EngineCore hit an exception: Traceback (most recent call last):", level="ERROR"),
        "engine_failed",
        "",
    ),
    ("core-start", started("KeyError: 'x'"), "engine_start_failed", ""),
    (
        "core-init",
        raw(
            "RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {'EngineCore': 1}"
        ),
        "engine_start_failed",
        "",
    ),
    (
        "core-ready",
        raw(
            "TimeoutError: Timed out waiting for engine core processes to start. This is often caused by slow weight loading for large models. Waited 600s"
        ),
        "start_timed_out",
        "",
    ),
    (
        "core-handshake",
        started("RuntimeError: Did not receive response from front-end process within 5 minutes"),
        "start_timed_out",
        "",
    ),
    ("worker-exc", core("WorkerProc hit an exception.", TRACE, FRAME, "KeyError: 'x'"), "worker_failed", ""),
    ("worker-start", core("WorkerProc failed to start.", TRACE, FRAME, "KeyError: 'x'"), "engine_start_failed", ""),
    (
        "worker-fatal-old",
        v0(
            "Got fatal signal from worker processes, shutting down. See stack trace above for root cause issue.",
            level="CRITICAL",
        ),
        "worker_failed",
        "",
    ),
    ("dead-output", core("AsyncLLM output_handler failed."), "engine_dead", ""),
    (
        "dead-error",
        core(
            "x",
            TRACE,
            FRAME,
            "vllm.v1.engine.exceptions.EngineDeadError: EngineCore encountered an issue. See stack trace (above) for the root cause.",
        ),
        "engine_dead",
        "",
    ),
    ("dead-dump", core("Dumping input data for V1 LLM engine (v0.11.0) with config: x"), "batch_dumped", ""),
    ("rpc-timeout", raised("TimeoutError: RPC call to sample_tokens timed out."), "engine_failed", ""),
    (
        "shm-wait",
        core("No available shared memory broadcast block found in 60 seconds.", level="INFO"),
        "engine_stalled",
        "",
    ),
    ("ring-closed", core("x", TRACE, FRAME, "RuntimeError: cancelled"), "engine_dead", ""),
    ("executor-failed", core("x", TRACE, FRAME, "RuntimeError: Executor failed."), "engine_dead", ""),
    ("ft-wait", core("[FT] Busy loop raised KeyError('x'). Waiting for recovery."), "fault_held", ""),
    ("ft-wait", core("[FT] No recovery within 60s timeout."), "fault_not_recovered", ""),
    ("watchdog", core("[Watchdog]Dumped stack to /tmp/x due to no progress", level="WARNING"), "stack_dumped", ""),
    (
        "ray-exec",
        v0("Error executing method 'init_device'. This might cause deadlock in distributed execution."),
        "worker_failed",
        "",
    ),
    ("ray-dead", core("RayWorkerProc rank=3 died unexpectedly, shutting down executor."), "worker_died", ""),
    # V0
    ("v0-iter", v0("Engine iteration timed out. This should never happen!"), "engine_failed", ""),
    ("v0-bg", v0("Engine background task failed"), "engine_failed", ""),
    (
        "v0-dead",
        "ERROR:    Exception in ASGI application\n"
        + raw("vllm.engine.async_llm_engine.AsyncEngineDeadError: Background loop has errored already."),
        "engine_dead",
        "",
    ),
    (
        "v0-task",
        raw("vllm.engine.async_llm_engine.AsyncEngineDeadError: Task finished unexpectedly. This should never happen!"),
        "engine_dead",
        "",
    ),
    ("v0-term", v0("AsyncLLMEngine has failed, terminating server process", level="CRITICAL"), "engine_failed", ""),
    ("v0-mq", v0('TimeoutError("MQLLMEngine didn\'t reply within 10000ms")'), "request_timeout", ""),
    ("v0-proc", v0("RuntimeError('Engine process (pid 27) died.')"), "engine_exited", ""),
    ("v0-rpc", raw("TimeoutError: RPCServer didn't reply within 10000 ms"), "start_timed_out", ""),
    ("v0-rpc", raw("TimeoutError: Server didn't reply within 10000 ms"), "start_timed_out", ""),
    (
        "v0-start",
        raw("RuntimeError: Engine process failed to start. See stack trace for the root cause."),
        "engine_start_failed",
        "",
    ),
    ("v0-worker", v0("Exception in worker VllmWorkerProcess while processing method load_model."), "worker_failed", ""),
    # GPU, CUDA, NCCL
    (
        "cuda-ima",
        raised("torch.AcceleratorError: CUDA error: an illegal memory access was encountered"),
        "cuda_error",
        "",
    ),
    ("cuda-assert", raised("RuntimeError: CUDA error: device-side assert triggered"), "cuda_error", ""),
    ("cuda-ecc", raised("RuntimeError: CUDA error: uncorrectable ECC error encountered"), "cuda_error", ""),
    ("cuda-launch", raised("RuntimeError: CUDA error: unspecified launch failure"), "cuda_error", ""),
    (
        "cuda-launch",
        raised("RuntimeError: CUDA error: no kernel image is available for execution on the device"),
        "cuda_error",
        "",
    ),
    ("cuda-lost", raised("RuntimeError: CUDA error: the launch timed out and was terminated"), "cuda_error", ""),
    ("cuda-lost", raised("pynvml.NVMLError_GpuIsLost: GPU is lost"), "gpu_gone", ""),
    (
        "cublas",
        raised("RuntimeError: CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        "cuda_error",
        "",
    ),
    ("device-none", raw("RuntimeError: Failed to infer device type"), "gpu_missing", ""),
    ("device-none", raw("RuntimeError: No CUDA GPUs are available"), "gpu_missing", ""),
    (
        "nccl-vllm",
        started("RuntimeError: NCCL error: unhandled system error (run with NCCL_DEBUG=INFO for details)"),
        "nccl_error",
        "",
    ),
    (
        "nccl-torch",
        raw(
            "torch.distributed.DistBackendError: NCCL error in: /pytorch/NCCLUtils.hpp:317, unhandled system error, NCCL version 2.21.5"
        ),
        "nccl_error",
        "",
    ),
    (
        "nccl-lib",
        v0("Failed to load NCCL library from libnccl.so.2. It is expected if you are not running on NVIDIA/AMD GPUs."),
        "nccl_error",
        "",
    ),
    (
        "nccl-watchdog",
        "[rank1]:[E918 06:41:27.512047193 ProcessGroupNCCL.cpp:685] [Rank 1] Watchdog caught collective operation timeout: WorkNCCL(SeqNum=8123, OpType=ALLREDUCE, Timeout(ms)=600000) ran for 600041 milliseconds before timing out.",
        "nccl_timeout",
        "",
    ),
    (
        "nccl-watchdog-cuda",
        "[rank1]:[E1103 23:14:03.342459398 ProcessGroupNCCL.cpp:2068] [PG ID 4 PG GUID 19 Rank 1] Process group watchdog thread terminated with exception: CUDA error: an illegal memory access was encountered",
        "cuda_error",
        "",
    ),
    (
        "xid",
        KERNEL + "NVRM: Xid (PCI:0000:65:00): 31, pid=24110, name=VLLM::Worker_TP, MMU Fault",
        "gpu_fault_program",
        "",
    ),
    ("xid", KERNEL + "NVRM: Xid (PCI:0000:65:00): 119, pid=1, name=python3, Timeout after 6s", "gpu_xid", ""),
    ("xid", KERNEL + "NVRM: Xid (PCI:0000:65:00): 45, pid=1, name=python3, Ch 00000010", "gpu_xid_minor", ""),
    ("nvrm-lost", KERNEL + "NVRM: GPU 0000:44:00.0: GPU has fallen off the bus.", "gpu_lost", ""),
    # start
    (
        "arch",
        raw("ValueError: Model architectures ['Foo'] are not supported for now. Supported architectures: []"),
        "architecture_unsupported",
        "",
    ),
    (
        "model-type",
        raw(
            "ValueError: The checkpoint you are trying to load has model type `foo` but Transformers does not recognize this architecture."
        ),
        "architecture_unsupported",
        "",
    ),
    ("no-weights", started("RuntimeError: Cannot find any model weights with `/models/tiny`"), "weights_missing", ""),
    (
        "weights-init",
        started("ValueError: Following weights were not initialized from checkpoint: {'a'}"),
        "weights_missing",
        "",
    ),
    (
        "no-config",
        raw("ValueError: Could not detect config format for no config file found."),
        "model_path_missing",
        "",
    ),
    (
        "hf-repo-id",
        raw(
            "huggingface_hub.errors.HFValidationError: Repo id must be in the form 'repo_name' or 'namespace/repo_name': '/models/x'."
        ),
        "model_path_missing",
        "",
    ),
    (
        "hf-404",
        raw("huggingface_hub.errors.RepositoryNotFoundError: 404 Client Error. (Request ID: x)"),
        "model_path_missing",
        "",
    ),
    (
        "hf-404",
        raw("OSError: foo/bar is not a local folder and is not a valid model identifier listed on 'https://x'"),
        "model_path_missing",
        "",
    ),
    (
        "hf-gated",
        raw("OSError: You are trying to access a gated repo.", "Make sure to have access to it at https://x"),
        "model_access_denied",
        "",
    ),
    (
        "hf-gated",
        raw("huggingface_hub.errors.GatedRepoError: 403 Client Error. (Request ID: x)"),
        "model_access_denied",
        "",
    ),
    (
        "hf-offline",
        raw("OSError: We couldn't connect to 'https://huggingface.co' to load the files"),
        "model_download_failed",
        "",
    ),
    ("disk-full", raw("OSError: [Errno 28] No space left on device"), "disk_full", ""),
    (
        "max-len",
        raw("ValueError: User-specified max_model_len (9000) is greater than the derived max_model_len (n=4096)"),
        "arguments_wrong",
        "",
    ),
    (
        "batched-len",
        raw("ValueError: max_num_batched_tokens (2048) is smaller than max_model_len (4096)."),
        "arguments_wrong",
        "",
    ),
    ("port-used", raw("OSError: [Errno 98] Address already in use"), "port_in_use", ""),
    (
        "port-used-who",
        api("port 8000 is used by process psutil.Process(pid=1) launched with command:", "WARNING"),
        None,
        "seen while stopping; the failed bind of the next start is the news",
    ),
    ("port-next", api("Port 5600 is already in use, trying port 5601"), None, "internal ports, harmless"),
    (
        "port-retry",
        api("Address already in use. Retrying with a new port.", "WARNING"),
        None,
        "internal ports, harmless",
    ),
    (
        "vllm-port-uri",
        raw(
            "ValueError: VLLM_PORT 'tcp://10.0.0.1:8000' appears to be a URI. This may be caused by a Kubernetes service discovery issue"
        ),
        "arguments_wrong",
        "",
    ),
    ("args", "vllm: error: unrecognized arguments: --foo", "arguments_wrong", ""),
    # requests
    ("req-abort-v0", v0("Aborted request cmpl-1.", level="INFO"), None, "the client left: no trouble of the server's"),
    ("req-abort-v1", api("Aborted request(s) cmpl-1."), None, "the client left: no trouble of the server's"),
    (
        "req-received",
        api("Received request cmpl-1: params: SamplingParams(n=1)"),
        None,
        "traffic, and prompts are never looked at",
    ),
    (
        "req-fail",
        api("Request cmpl-1 failed (engine dead)."),
        None,
        "with request logging only; the engine's own record and the 500 say it",
    ),
    ("req-fail", api("Request cmpl-1 failed (bad request)."), None, "the client's fault"),
    (
        "req-fail",
        api("Request cmpl-1 failed due to KV load failure."),
        None,
        "with request logging only; kvload-fail says it",
    ),
    (
        "req-internal",
        api("Request cmpl-1 failed with an internal error during generation", "ERROR"),
        "request_failed",
        "",
    ),
    (
        "req-stream-chat",
        core("Error in chat completion stream generator.", TRACE, FRAME, "KeyError: 'x'"),
        "stream_failed",
        "",
    ),
    (
        "req-stream-compl",
        core("Error in completion stream generator.", TRACE, FRAME, "KeyError: 'x'"),
        "stream_failed",
        "",
    ),
    (
        "req-preproc",
        v0("Error in preprocessing prompt inputs", TRACE, FRAME, "ValueError: too long"),
        "request_rejected",
        "",
    ),
    ("req-template-old", v0("Error in applying chat template from request: x"), "request_rejected", ""),
    (
        "req-preproc-core",
        core("Unexpected error pre-processing request cmpl-1", TRACE, FRAME, "KeyError: 'x'"),
        "request_failed",
        "",
    ),
    ("req-exc", api("RequestValidationError caught. Request id: cmpl-1", "ERROR"), "request_rejected", ""),
    ("req-exc", api("Engine Exception caught. Request id: cmpl-1", "ERROR"), "request_failed", ""),
    ("req-asgi", "ERROR:    Exception in ASGI application\n" + raw("KeyError: 'x'"), "error", ""),
    ("req-5xx", 'INFO:     1.1.1.1:1 - "POST /v1/completions HTTP/1.1" 500 Internal Server Error', "http_5xx", ""),
    ("req-503", 'INFO:     1.1.1.1:1 - "GET /health HTTP/1.1" 503 Service Unavailable', "http_5xx", ""),
    (
        "req-queue",
        api("Request queue full - rejecting request cmpl-1 (current=9, n=1, max=9)."),
        None,
        "the 503 that the client gets is counted",
    ),
    (
        "req-queue",
        api("Max queued tokens reached - rejecting request cmpl-1 (current_tokens=9, max=9)."),
        None,
        "the 503 that the client gets is counted",
    ),
    (
        "tmpl-timeout",
        core("x", TRACE, FRAME, "TimeoutError: Chat template rendering timed out after 5s."),
        "request_timeout",
        "",
    ),
    (
        "fsm",
        core("Failed to advance FSM for request cmpl-1 for tokens 154842. Please file an issue."),
        "grammar_failed",
        "",
    ),
    (
        "grammar-reject",
        core("Unexpected: grammar rejected tokens [1] for request cmpl-1. Terminating request."),
        "grammar_failed",
        "",
    ),
    (
        "grammar-reject",
        core("Unexpected: grammar rejected tokens [1] for request cmpl-1.", level="WARNING"),
        None,
        "a warning until 0.20: the request goes on",
    ),
    (
        "grammar-compile",
        core("Failed to compile grammar for request cmpl-1", TRACE, FRAME, "ValueError: x"),
        "grammar_failed",
        "",
    ),
    (
        "kvload-fail",
        core(
            "Failing 2 request(s) due to KV load failure (failure_policy=fail, 512 tokens affected). Request IDs: {'a'}"
        ),
        "kv_load_failed",
        "",
    ),
    (
        "kvload-recover",
        core("Recovered from KV load failure: 2 request(s) rescheduled (512 tokens affected).", level="WARNING"),
        None,
        "it was retried",
    ),
    (
        "mm-miss",
        core(
            "Multi-modal cache miss for request cmpl-1 (mm_hashes=['a']): P0/P1 cache drift; returning", level="WARNING"
        ),
        None,
        "internal, and retried",
    ),
    (
        "detok",
        core(
            "Encountered invalid prefix detokenization error for request cmpl-1, resetting decode stream.",
            level="WARNING",
        ),
        None,
        "a quirk of the tokenizer, mended on the spot",
    ),
    (
        "lora-load",
        v0("Loading lora sql failed: No adapter found for /x", TRACE, FRAME, "ValueError: x"),
        "adapter_missing",
        "",
    ),
    (
        "long-ctx-hint",
        v0("The model has a long context length (131072). This may cause OOM errors", level="WARNING"),
        None,
        "a hint at start",
    ),
    # stopping
    ("stop-uvicorn", "INFO:     Shutting down", None, "comes after a crash too"),
    ("stop-fastapi", v0("Shutting down FastAPI HTTP server.", level="INFO"), "server_stopping", ""),
    ("stop-trigger", core("Shutdown initiated (timeout=0)", level="INFO"), "server_stopping", ""),
    (
        "stop-trigger2",
        core("[shutdown] EngineCore: trigger received signal=SIGTERM", level="INFO"),
        "server_stopping",
        "",
    ),
    (
        "stop-kill",
        api("[shutdown] Process manager: force killing remaining processes count=1", "WARNING"),
        None,
        "normal with the default limit of 0 s",
    ),
    ("stop-worker", core("Parent process exited, terminating worker queues", level="INFO"), None, "a consequence"),
    ("stop-kbd", api("Received KeyboardInterrupt, shutting down API servers..."), "server_stopping", ""),
    ("stop-v0", v0("Engine is gracefully shutting down.", level="INFO"), "server_stopping", ""),
    (
        "stop-nccl",
        "[W918 06:41:27.5130 ProcessGroupNCCL.cpp:760] Warning: WARNING: destroy_process_group() was not called before program exit",
        None,
        "harmless",
    ),
    ("stop-leak", "nanobind: leaked 3 types!", None, "harmless"),
)


@pytest.mark.parametrize(("name", "text", "kind", "reason"), ROWS, ids=[row[0] for row in ROWS])
def test_a_line_of_the_catalogue_is_known(name: str, text: str, kind: str | None, reason: str) -> None:
    """It gives the event of its row and no other, or none, with a reason."""
    detector = Detector(PATTERNS)
    events = [detector.judge(record, 0.0) for record in read_text(text.split("\n"))]
    assert [kind] * (kind is not None) == [event.kind for event in events if event], name
    assert (kind is None) == bool(reason), name
