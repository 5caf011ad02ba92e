"""What NVML lists on each GPU, and what each process is -> who holds how much of which GPU's memory. Pure.

NVML speaks of process numbers of the host, or of our own PID namespace if the driver translates them. So a number is
believed when we see all processes of the host; in a namespace only when the process behind it is vLLM, because there
the same number may be someone else's. The rest is role "hidden", and `gpu_process_attribution_available` is then 0.

A driver that lists a process without its memory (unified memory, WDDM) still gives `gpu_processes`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vllm_vigil.model import Labels, Sample, labels
from vllm_vigil.sources.gpu_processes import GpuProcesses
from vllm_vigil.sources.lineage import FOREIGN, HIDDEN, Lineage
from vllm_vigil.sources.processes import Table, read_bytes

COMMANDS_LIMIT = 8
"""Foreign programs that are named per GPU; the smaller ones are added up without a name."""

FIRST_NAMESPACE = "pid:[4026531836]"
"""The PID namespace of the host has this inode on every Linux (PROC_PID_INIT_INO)."""

_COMMAND = re.compile(r"[A-Za-z0-9._+-]{1,15}")

NOT_LISTED = "the driver does not list the processes of this GPU"
NAMESPACE = (
    "the processes that use the GPU are of another PID namespace: run the sidecar in the host's (docker --pid=host, "
    "hostPID: true) or in vLLM's"
)
HIDDEN_BY_PROC = (
    "its processes are not in /proc: they are just ending, or /proc hides those of other users (run the sidecar as "
    "vLLM's user, or without hidepid and ProtectProc)"
)


@dataclass(frozen=True, slots=True)
class Attribution:
    """The samples; for each GPU where it is not available, why; and the pids that were not to be seen."""

    samples: tuple[Sample, ...] = ()
    troubles: tuple[str, ...] = ()
    unseen: frozenset[int] = field(default_factory=frozenset)


def attribute(
    gpus: Sequence[GpuProcesses], table: Table, lineage: Lineage, *, whole_host: bool, unseen_before: Collection[int]
) -> Attribution:
    """Give every GPU's memory to those who hold it.

    `whole_host` says that /proc is that of the host's own PID namespace. A process that has just ended is not to be
    seen either: it counts as hidden only if it was not to be seen the time before (`unseen_before`).
    """
    samples: list[Sample] = []
    troubles: list[str] = []
    for each in gpus:
        trouble = _trouble(each, table, lineage, whole_host=whole_host, unseen_before=unseen_before)
        if trouble:
            troubles.append(f"GPU {each.gpu}: {trouble}")
        here = labels(gpu=each.gpu, uuid=each.uuid)
        samples.append(Sample("gpu_process_attribution_available", here, float(not trouble)))
        claims = list(_claims(each, table, lineage, whole_host=whole_host, unseen_before=unseen_before))
        samples += _added_up(each, _bounded(claims))
    pids = {pid for each in gpus for pid, _ in each.processes or ()}
    return Attribution(tuple(samples), tuple(troubles), frozenset(pids - table.keys()))


def sees_whole_host(proc: Path) -> bool:
    """Whether this /proc shows the host's PID namespace, and it is ours: there alone kthreadd has the number 2.

    A container that has the host's /proc under another path has one number more for itself there (NSpid). Then the
    driver may speak of either.
    """
    for line in read_bytes(f"{proc}/self/status").splitlines():
        if line.startswith(b"NSpid:") and len(line.split()) > 2:
            return False
    if read_bytes(f"{proc}/2/comm").strip() == b"kthreadd":
        return True
    try:
        return str((proc / "self" / "ns" / "pid").readlink()) == FIRST_NAMESPACE
    except OSError:
        return False


def _trouble(
    each: GpuProcesses, table: Table, lineage: Lineage, *, whole_host: bool, unseen_before: Collection[int]
) -> str:
    if each.processes is None:
        return NOT_LISTED
    if whole_host:
        return HIDDEN_BY_PROC if any(pid in unseen_before and pid not in table for pid, _ in each.processes) else ""
    believed = [_is_believed(pid, table, lineage, whole_host=False) for pid, _ in each.processes]
    return "" if believed and all(believed) else NAMESPACE


def _is_believed(pid: int, table: Table, lineage: Lineage, *, whole_host: bool) -> bool:
    process = table.get(pid)
    return process is not None and (whole_host or lineage.part(process).role != FOREIGN)


def _claims(
    each: GpuProcesses, table: Table, lineage: Lineage, *, whole_host: bool, unseen_before: Collection[int]
) -> Iterator[tuple[Labels, int | None]]:
    """Whose each process is, and its bytes."""
    for pid, used in each.processes or ():
        process = table.get(pid)
        if process is None or not _is_believed(pid, table, lineage, whole_host=whole_host):
            if not whole_host or pid in unseen_before:
                yield labels(role=HIDDEN), used
            continue
        part = lineage.part(process)
        safe = part.role == FOREIGN and _COMMAND.fullmatch(process.comm)
        command = process.comm if safe else ""
        yield labels(server=part.server, engine=part.engine, role=part.role, rank=part.rank, command=command), used


def _bounded(claims: list[tuple[Labels, int | None]]) -> list[tuple[Labels, int | None]]:
    """The same claims, with names for the largest foreign programs only."""
    sizes: dict[str, int] = {}
    for who, used in claims:
        if command := dict(who).get("command"):
            sizes[command] = sizes.get(command, 0) + (used or 0)
    named = set(sorted(sizes, key=lambda command: -sizes[command])[:COMMANDS_LIMIT])
    return [(tuple(pair for pair in who if pair[0] != "command" or pair[1] in named), used) for who, used in claims]


def _added_up(each: GpuProcesses, claims: list[tuple[Labels, int | None]]) -> Iterator[Sample]:
    counts: dict[Labels, int] = {}
    sizes: dict[Labels, int] = {}
    for who, used in claims:
        counts[who] = counts.get(who, 0) + 1
        if used is not None:
            sizes[who] = sizes.get(who, 0) + used
    for name, values in (("gpu_process_memory_bytes", sizes), ("gpu_processes", counts)):
        for who, value in values.items():
            yield Sample(name, labels(**dict(who), gpu=each.gpu, uuid=each.uuid), float(value))
