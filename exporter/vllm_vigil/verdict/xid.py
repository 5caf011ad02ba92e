"""XID counters of one tick -> findings, by the class of the XID.

A counter that has grown is something that happened, so its finding holds for one tick; the rule's quiet time then runs.
The classes are those of `events/patterns.py`, which sees the same errors in the kernel's log, and of
`alert_rules/gpu.yml`. Meanings follow NVIDIA's catalogue (docs.nvidia.com/deploy/xid-errors).

An XID pages only where the GPU itself needs someone. 13, 31 and 94 end a program and leave the GPU well: 13 and 31 are
mostly the program's own fault, 94 is an error that was contained. If that program is vLLM, its engine dies of a CUDA
error, and that pages, with the XID as its cause; if it is somebody else's, vLLM does not care.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from vllm_vigil.model import Finding, Point, Severity, Snapshot, labels

LOST = frozenset({79})
ENDING = frozenset({13, 31, 48, 94, 95})
"""What ends the program that runs on the GPU: a CUDA error to it."""

HARDWARE = frozenset({48, 61, 62, 64, 74, 95, 109, 119, 120, 140})
"""What is wrong with the board, its firmware or its links: someone must drain and reset it, so it pages."""

MEANINGS: Mapping[int, str] = {
    13: "exception in a kernel",
    31: "memory access to a page that is not there",
    32: "corrupted push buffer",
    43: "the program's channel was stopped",
    45: "the program's channels were cleaned up",
    48: "double bit ECC error",
    61: "breakpoint of the internal microcontroller",
    62: "halt of the internal microcontroller",
    63: "a memory row or page was taken out of use",
    64: "a memory row or page could not be taken out of use",
    69: "exception in the graphics engine",
    74: "NVLink error",
    79: "fallen off the bus",
    92: "many single bit ECC errors",
    94: "contained ECC error",
    95: "uncontained ECC error",
    109: "context switch timeout",
    119: "the GSP firmware does not answer",
    120: "the GSP firmware crashed",
    140: "unrecovered ECC error",
    154: "the GPU must be recovered",
}


class XidFindings:
    """What was counted on the last tick."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str], float] = {}
        self._told: dict[tuple[str, str, str], Finding] = {}

    def judge(
        self, snapshot: Snapshot, now: float, owner: Callable[[str], str] = lambda _uuid: ""
    ) -> Iterator[Finding]:
        """A finding that holds for every rule and GPU with news, and one that does not for those with none.

        `owner` gives the server of a GPU, "" if it has none.
        """
        news: dict[tuple[str, str, str], Finding] = {}
        for point in snapshot.points("gpu_xid_errors_total"):
            facts = dict(point.labels)
            counter = (facts["uuid"], facts["xid"])
            if point.value > self._counts.get(counter, 0.0):
                finding = _finding(point, now, owner(facts["uuid"]))
                news[(finding.server, finding.rule, _group(finding))] = finding
            self._counts[counter] = point.value
        self._told |= news
        for key, told in self._told.items():
            yield Finding(told.rule, told.server, key in news, told.since, told.summary, told.labels)


def rule_of(xid: int) -> tuple[str, Severity]:
    """The rule that an XID speaks for, and how bad it is."""
    if xid in LOST:
        return "gpu_lost", Severity.CRITICAL
    severity = Severity.CRITICAL if xid in HARDWARE else Severity.WARNING
    return "cuda_error" if xid in ENDING else "gpu_xid", severity


def _finding(point: Point, now: float, server: str) -> Finding:
    facts = dict(point.labels)
    xid = int(facts["xid"])
    rule, severity = rule_of(xid)
    meaning = f" ({MEANINGS[xid]})" if xid in MEANINGS else ""
    summary = f"GPU {facts['gpu']} ({facts['uuid']}) reports XID {xid}{meaning}"
    which = labels(gpu=facts["gpu"], uuid=facts["uuid"], xid=facts["xid"], severity=severity)
    return Finding(rule, server, holds=True, since=now, summary=summary, labels=which)


def _group(finding: Finding) -> str:
    """What `incidents/` tells findings of one rule and server apart by: faults of all GPUs are one incident."""
    return "" if finding.rule == "cuda_error" else dict(finding.labels)["gpu"]
