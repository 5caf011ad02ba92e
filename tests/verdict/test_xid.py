"""XID counters become findings, by the class of the XID."""

from __future__ import annotations

import pytest

from vllm_vigil.events.detector import Detector
from vllm_vigil.events.patterns import PATTERNS
from vllm_vigil.incidents.lifecycle import Incidents
from vllm_vigil.incidents.rules import RULES
from vllm_vigil.model import Finding, Point, Record, Series, Severity, Snapshot, labels
from vllm_vigil.verdict.gpu import GpuVerdict
from vllm_vigil.verdict.xid import ENDING, HARDWARE, LOST, MEANINGS, XidFindings, rule_of


def counted(*counts: tuple[str, int, float]) -> Snapshot:
    """GPU, XID and how often."""
    points = tuple(Point(labels(gpu=gpu, uuid=f"GPU-{gpu}", xid=str(xid)), count) for gpu, xid, count in counts)
    return Snapshot({"gpu_xid_errors_total": Series("gpu_xid_errors_total", points)})


def held(findings: tuple[Finding, ...]) -> list[tuple[str, str, str]]:
    """Rule, GPU and XID of what holds."""
    return [(found.rule, dict(found.labels)["gpu"], dict(found.labels)["xid"]) for found in findings if found.holds]


def test_an_xid_is_a_finding_once_each_time_it_is_counted() -> None:
    """The first event of a counter counts too; a counter that stands still says nothing."""
    xids = XidFindings()
    assert [] == held(tuple(xids.judge(counted(), 0.0)))
    assert [("cuda_error", "0", "31")] == held(tuple(xids.judge(counted(("0", 31, 1.0)), 1.0)))
    assert [] == held(tuple(xids.judge(counted(("0", 31, 1.0)), 2.0)))
    assert [("cuda_error", "0", "31")] == held(tuple(xids.judge(counted(("0", 31, 3.0)), 3.0)))


def test_xids_are_judged_while_nvml_is_silent() -> None:
    """The GPU that reports one is often the one on which the next call hangs."""
    verdict = GpuVerdict()
    (found,) = verdict.judge(None, counted(("1", 79, 1.0)), 5.0)
    assert ("gpu_lost", True, 5.0) == (found.rule, found.holds, found.since)
    assert "GPU 1 (GPU-1) reports XID 79 (fallen off the bus)" == found.summary


@pytest.mark.parametrize("xid", sorted(LOST | ENDING | HARDWARE | set(MEANINGS) | {999}))
def test_the_kernels_log_and_nvml_agree_on_what_an_xid_means(xid: int) -> None:
    """The same error gives the same rule and severity whichever way it is heard of."""
    text = f"NVRM: Xid (PCI:0000:44:00): {xid}, pid='<unknown>', name=<unknown>, GPU has fallen off the bus."
    text = text if xid in LOST else text.partition(", GPU")[0] + ", what it says"
    event = Detector(PATTERNS).judge(Record("kern.log", "", text, process="kernel"), 0.0)
    assert event is not None
    graded = Severity(event.fields.get("severity", RULES[event.rule].severity))
    assert rule_of(xid) == (event.rule, graded)


def test_the_class_of_an_xid_gives_the_incident_its_severity() -> None:
    """43 and one that nobody knows are warnings, 119 is critical; all name GPU and XID."""
    for xid, severity in ((43, Severity.WARNING), (999, Severity.WARNING), (119, Severity.CRITICAL)):
        incidents = Incidents(RULES)
        (found,) = XidFindings().judge(counted(("2", xid, 1.0)), 10.0)
        (change,) = incidents.weigh(found, 10.0)
        assert ("gpu_xid", severity) == (change.incident.rule, change.incident.severity)
        assert {"gpu": "2", "uuid": "GPU-2", "xid": str(xid)} == dict(change.incident.labels)


def test_xids_of_one_kind_are_one_incident() -> None:
    """A second event is not paged again."""
    incidents, xids = Incidents(RULES), XidFindings()
    changes = []
    for second, count in enumerate((1.0, 1.0, 2.0, 2.0)):
        for found in xids.judge(counted(("0", 31, count)), float(second)):
            changes += incidents.weigh(found, float(second))
    assert ["opened", "updated"] == [change.transition for change in changes]
    assert 1 == len(incidents.open())
