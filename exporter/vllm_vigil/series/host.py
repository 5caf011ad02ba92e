"""The table of what this host tells: its memory, vLLM's processes and their cgroup, and who holds the GPUs' memory.

`sources/host.py` fills it. `role` is api_server, engine_core, worker, coordinator, launcher or other (a process of
vLLM's without a name, such as a compiler); on a GPU also foreign, which is no vLLM at all, and hidden, which cannot be
seen from here. A vLLM that is no configured server's has its role and rank but no `server`.
"""

from __future__ import annotations

from vllm_vigil.series.gpu import GPU
from vllm_vigil.series.spec import Kind, Spec

PART = ("server", "engine", "role", "rank")

HOST_SPECS: tuple[Spec, ...] = (
    Spec("host_memory_total_bytes", Kind.GAUGE, "bytes", "Memory of this host (/proc/meminfo MemTotal)."),
    Spec(
        "host_memory_available_bytes",
        Kind.GAUGE,
        "bytes",
        "Memory that processes can still have without swapping (/proc/meminfo MemAvailable).",
    ),
    Spec(
        "host_oom_kills_total",
        Kind.COUNTER,
        "kills",
        "Processes that an OOM killer ended since boot, of any cgroup (/proc/vmstat oom_kill).",
    ),
    Spec(
        "llm_process_start_time_seconds",
        Kind.GAUGE,
        "seconds",
        "When the process began, since the epoch; of several with the same labels the newest.",
        PART,
    ),
    Spec(
        "llm_process_resident_memory_bytes",
        Kind.GAUGE,
        "bytes",
        "Memory of the processes that is in RAM; shared pages count in each of them.",
        PART,
    ),
    Spec(
        "llm_process_restarts_total",
        Kind.COUNTER,
        "restarts",
        "How often a newer process has taken the place of this one since the sidecar began to look.",
        PART,
    ),
    Spec(
        "llm_cgroup_oom_kills_total",
        Kind.COUNTER,
        "kills",
        "Processes of the server's cgroup that an OOM killer ended "
        "(v2: memory.events oom_kill, v1: memory.oom_control).",
        ("server",),
    ),
    Spec(
        "llm_cgroup_memory_used_bytes",
        Kind.GAUGE,
        "bytes",
        "Memory charged to the server's cgroup, page cache included (memory.current, memory.usage_in_bytes).",
        ("server",),
    ),
    Spec(
        "llm_cgroup_memory_limit_bytes",
        Kind.GAUGE,
        "bytes",
        "What the server's cgroup may use, the lowest limit on the way up; absent without one.",
        ("server",),
    ),
    Spec(
        "llm_server_connections",
        Kind.GAUGE,
        "connections",
        "Connections that clients hold to the server's port, without the sidecar's own (/proc/net/tcp, tcp6 of the "
        "server's network namespace); absent where they cannot be seen, as on another host.",
        ("server",),
    ),
    Spec(
        "vigil_cgroup_oom_kills_total",
        Kind.COUNTER,
        "kills",
        "Processes of the sidecar's own cgroup that an OOM killer ended.",
    ),
    Spec(
        "gpu_process_memory_bytes",
        Kind.GAUGE,
        "bytes",
        "GPU memory by who holds it (NVML's process lists, asked every 5 s, and /proc); `command` names only "
        "foreign programs.",
        (*GPU, *PART, "command"),
    ),
    Spec(
        "gpu_processes",
        Kind.GAUGE,
        "",
        "Processes that use the GPU, by whose they are; there also where the driver does not tell their memory.",
        (*GPU, *PART, "command"),
    ),
    Spec(
        "gpu_process_attribution_available",
        Kind.GAUGE,
        "",
        "Whether it can be told whose every process on the GPU is; 0 where a PID namespace or /proc hides them.",
        GPU,
    ),
)
