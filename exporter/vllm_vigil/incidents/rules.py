"""The table of rules: what opens an incident, how bad it is, what ends it, and the first thing to do about it.

The ids are contract. The thresholds are defaults: `RuleSettings` of the configuration changes any of them by id, or
adds a rule for the user's own patterns. `rank` is the place in the order of a crash, from cause to consequence.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from urllib.parse import quote

from vllm_vigil.model import Severity
from vllm_vigil.units import Seconds

MINUTE = 60.0


@dataclass(frozen=True, slots=True)
class Rule:
    """One row. Opens at `count` events in `window` seconds; resolves after `quiet` seconds without one.

    `up` is how long the server must have served without a break before it resolves, 0 if its health is no matter.
    `consequence` says that during an outage it is never news. `group` names the field by which events of one server
    are told apart. `graded` says that the event knows its severity better than the row, `warns_alone` that as a warning
    it is no part of a crash.
    """

    id: str
    title: str
    remedy: str
    severity: Severity = Severity.CRITICAL
    count: int = 1
    window: float = 5 * MINUTE
    quiet: float = 10 * MINUTE
    up: float = MINUTE
    rank: int | None = None
    consequence: bool = False
    group: str = ""
    graded: bool = False
    warns_alone: bool = False
    enabled: bool = True

    def place(self, severity: Severity) -> int | None:
        """Its rank when it is as bad as that, None if it is no part of a crash then."""
        return None if self.warns_alone and severity is not Severity.CRITICAL else self.rank

    def waits(self, severity: Severity) -> bool:
        """Whether silence alone does not resolve it then, where the server's health is known."""
        return self.needs_health or (self.warns_alone and severity is Severity.CRITICAL)

    @property
    def needs_health(self) -> bool:
        """Whether silence alone does not resolve it, where the server's health is known."""
        return self.up > 0


@dataclass(frozen=True, slots=True)
class RuleSettings:
    """What the user changes of a row; what is not set stays as it is. A new id is a new rule."""

    enabled: bool = True
    title: str | None = None
    remedy: str | None = None
    severity: Severity | None = None
    count: int | None = None
    window: Seconds | None = None
    quiet: Seconds | None = None
    up: Seconds | None = None

    def problems(self) -> Iterator[tuple[str, str]]:
        """Thresholds that can never be met."""
        if self.count is not None and not 1 <= self.count <= 1000:
            yield "count", f"must be from 1 to 1000, not {self.count}"
        for name, value in (("window", self.window), ("quiet", self.quiet)):
            if value is not None and value <= 0:
                yield name, "must be more than 0s"


_CRASH = (
    Rule(
        id="gpu_lost",
        title="GPU lost",
        remedy="Look at `dmesg | grep NVRM`; reset or power-cycle the GPU, check power, seating and PCIe.",
        quiet=5 * MINUTE,
        group="gpu",
    ),
    Rule(
        id="gpu_xid",
        title="GPU reports an Xid error",
        remedy="Look the Xid up in NVIDIA's catalogue; drain the GPU if it repeats.",
        quiet=5 * MINUTE,
        up=0,
        group="gpu",
        graded=True,
        warns_alone=True,
    ),
    Rule(
        id="cuda_oom",
        title="GPU out of memory",
        remedy="Lower --gpu-memory-utilization, --max-num-seqs or --max-model-len; see who else holds GPU memory.",
    ),
    Rule(
        id="kv_cache_too_small",
        title="Not enough memory for the KV cache",
        remedy="Lower --max-model-len or raise --gpu-memory-utilization; end what else holds the memory.",
    ),
    Rule(
        id="host_oom_kill",
        title="Killed by the kernel: host out of memory",
        remedy="Raise the memory limit of the unit or container; lower CPU offload and swap space.",
    ),
    Rule(
        id="cuda_error",
        title="CUDA error",
        remedy="Look for Xid lines in the kernel log; drain the GPU if it repeats, run with CUDA_LAUNCH_BLOCKING=1.",
        graded=True,
    ),
    Rule(
        id="nccl_failure",
        title="NCCL failure between the GPUs",
        remedy="Check that all ranks and nodes are up, network and /dev/shm; run with NCCL_DEBUG=INFO.",
    ),
    Rule(
        id="startup_failed",
        title="vLLM could not start",
        remedy="Read the exception in the evidence; correct the model, its path or the arguments, and start again.",
    ),
    Rule(
        id="worker_died",
        title="Worker process died",
        remedy="Look at its exit code: -9 is a kill (kernel log), -6 an abort (NCCL), -11 a crash; restart vLLM.",
    ),
    Rule(
        id="engine_stalled",  # what hangs for long enough dies of a timeout: its death is then a consequence
        title="Engine stalled",
        remedy="Requests run and no token comes: dump its stacks with py-spy, then restart vLLM.",
        count=2,
        quiet=MINUTE,
    ),
    Rule(
        id="engine_dead",
        title="Engine dead",
        remedy="Restart vLLM: its API server ends with exit code 0, so Restart=on-failure does not do it.",
        consequence=True,
    ),
    Rule(
        id="server_unreachable",
        title="Server unreachable",
        remedy="See whether the process runs and its port answers; read the end of its log.",
        quiet=MINUTE,
        consequence=True,
    ),
    Rule(
        id="http_5xx",
        title="Requests answered with 5xx",
        remedy="Read the errors in the log at the same time; 503 can be the queue limit.",
        severity=Severity.WARNING,
        count=10,
        quiet=5 * MINUTE,
        up=0,
        consequence=True,
    ),
    Rule(
        id="error_burst",
        title="Errors in the log",
        remedy="Read the evidence; if it is known and harmless, give it a pattern of its own.",
        severity=Severity.WARNING,
        count=10,
        quiet=5 * MINUTE,
        up=0,
        consequence=True,
        group="template",
    ),
)

_OTHERS = (
    Rule(
        id="boot_loop",
        title="vLLM restarts again and again",
        remedy="Stop it from restarting and read why the first start failed.",
        count=3,
        window=15 * MINUTE,
        quiet=30 * MINUTE,
        up=30 * MINUTE,
    ),
    Rule(
        id="request_timeout",
        title="Requests time out",
        remedy="Look at queue and KV cache use; the server takes more than it can do, or hangs.",
        severity=Severity.WARNING,
        count=5,
        quiet=5 * MINUTE,
        up=0,
    ),
    Rule(
        id="gpu_hot",
        title="GPU too hot",
        remedy="Check fans, airflow and inlet temperature; lower the power limit (nvidia-smi -pl).",
        severity=Severity.WARNING,
        quiet=5 * MINUTE,
        up=0,
        group="gpu",
    ),
    Rule(
        id="gpu_throttled",
        title="GPU slows down",
        remedy="Look at its reasons (nvidia-smi -q -d PERFORMANCE): heat, power supply or power limit.",
        severity=Severity.WARNING,
        quiet=5 * MINUTE,
        up=0,
        group="gpu",
    ),
    Rule(
        id="alertmanager",  # opened and resolved at its word, and not judged here: incidents/told.py
        title="Alert from Alertmanager",
        remedy="Read the alert and its runbook in Alertmanager.",
        severity=Severity.WARNING,
        up=0,
        graded=True,
    ),
)

RUNBOOKS = "https://github.com/vllm-vigil/vllm-vigil/blob/main/docs/runbooks/"

RULES: Mapping[str, Rule] = {
    row.id: row for row in (*(replace(row, rank=rank) for rank, row in enumerate(_CRASH)), *_OTHERS)
}


def merge(settings: Mapping[str, RuleSettings]) -> dict[str, Rule]:
    """The built-in rows with the user's changes, and the user's own rows after them."""
    rules = dict(RULES)
    for id_, changes in settings.items():
        row = rules.get(id_) or Rule(id=id_, title=changes.title or id_, remedy="", severity=Severity.WARNING, up=0)
        rules[id_] = replace(
            row,
            enabled=changes.enabled,
            title=changes.title or row.title,
            remedy=changes.remedy or row.remedy,
            severity=changes.severity or row.severity,
            count=changes.count or row.count,
            window=changes.window or row.window,
            quiet=changes.quiet or row.quiet,
            up=row.up if changes.up is None else changes.up,
            graded=row.graded and changes.severity is None,
        )
    return rules


def runbook(rule: str, template: str | None) -> str:
    """The page about a rule: of the site's own, by an address with `{rule}` in it, or ours for a built-in rule."""
    if template is None:
        return f"{RUNBOOKS}{rule}.md" if rule in RULES else ""
    return template.replace("{rule}", quote(rule, safe=""))
