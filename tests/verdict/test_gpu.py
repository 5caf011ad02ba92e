"""Findings on GPUs."""

from __future__ import annotations

from vllm_vigil.model import Finding, Point, Reading, Series, Snapshot, labels
from vllm_vigil.verdict.gpu import GpuVerdict

GOOD = Reading("nvml", "", 0.0, 0.01)


def snapshot(*, gpus: tuple[str, ...] = ("0", "1"), celsius: float = 50.0, throttled: float = 0.0) -> Snapshot:
    """These GPUs, equally warm."""

    def points(value: float, **extra: str) -> tuple[Point, ...]:
        return tuple(Point(labels(gpu=gpu, uuid=f"GPU-{gpu}", **extra), value) for gpu in gpus)

    return Snapshot(
        {
            name: Series(name, found)
            for name, found in {
                "gpu_info": points(1.0),
                "gpu_temperature_celsius": points(celsius, sensor="gpu"),
                "gpu_throttle_active": points(throttled, reason="hw_thermal_slowdown") + points(1.0, reason="gpu_idle"),
            }.items()
        }
    )


def held(verdict: GpuVerdict, shown: Snapshot, now: float, reading: Reading = GOOD) -> set[tuple[str, str]]:
    """Rule and GPU of every finding that holds."""
    return {(found.rule, dict(found.labels)["gpu"]) for found in verdict.judge(reading, shown, now) if found.holds}


def test_a_gpu_that_nvml_no_longer_names_is_lost_until_it_is_back() -> None:
    """At once, and which one."""
    verdict = GpuVerdict()
    assert held(verdict, snapshot(), 0) == set()
    assert held(verdict, snapshot(gpus=("0",)), 1) == {("gpu_lost", "1")}
    assert held(verdict, snapshot(), 2) == set()


def test_the_only_gpu_of_a_host_can_be_lost_too() -> None:
    """No GPU answers, so the reading is an error; it names the lost one all the same."""
    verdict = GpuVerdict()
    held(verdict, snapshot(gpus=("0",)), 0)
    gone = Reading("nvml", "", 0.0, 0.01, facts={"lost": "GPU 0 (GPU-0)"}, error="no GPU answers")
    assert held(verdict, Snapshot(), 1, gone) == {("gpu_lost", "0")}


def test_nothing_is_said_while_nvml_itself_is_silent() -> None:
    """A driver that is being upgraded is no lost GPU."""
    verdict = GpuVerdict()
    held(verdict, snapshot(), 0)
    failed = Reading("nvml", "", 0.0, 0.01, error="driver not loaded")
    assert verdict.judge(failed, Snapshot(), 1) == ()
    assert verdict.judge(None, Snapshot(), 1) == ()


def test_no_gpu_is_lost_in_a_pause_of_the_machine() -> None:
    """Its tick comes before the next reading: the last one was good, and is too old for the snapshot."""
    verdict = GpuVerdict()
    assert set() == held(verdict, snapshot(), 0.0)
    assert set() == held(verdict, Snapshot(), 60.0)
    assert {("gpu_lost", "1")} == held(verdict, snapshot(gpus=("0",)), 61.0)


def worked_on(shown: Snapshot, server: str, *gpus: str) -> Snapshot:
    """The same, with a server's processes on some GPUs."""
    points = tuple(Point(labels(uuid=f"GPU-{gpu}", server=server), 1.0) for gpu in gpus)
    return Snapshot({**shown.series, "gpu_processes": Series("gpu_processes", points)})


def with_xid(shown: Snapshot, gpu: str, xid: str) -> Snapshot:
    """The same, with one XID counted."""
    point = Point(labels(gpu=gpu, uuid=f"GPU-{gpu}", xid=xid), 1.0)
    return Snapshot({**shown.series, "gpu_xid_errors_total": Series("gpu_xid_errors_total", (point,))})


def judged(verdict: GpuVerdict, shown: Snapshot, now: float) -> list[tuple[str, str, bool]]:
    """Rule, server and whether it holds, of what is said of faults on a host with the servers chat and code."""
    found: tuple[Finding, ...] = verdict.judge(GOOD, shown, now, ("chat", "code"))
    return [(each.rule, each.server, each.holds) for each in found if each.rule in ("gpu_lost", "gpu_xid")]


def test_a_lost_gpu_is_told_of_the_server_that_worked_on_it_as_long_as_it_is_gone() -> None:
    """Its processes are gone first; whoever works on the GPU when it is back has nothing to do with the loss."""
    verdict = GpuVerdict()
    judged(verdict, worked_on(snapshot(), "code", "1"), 0)
    judged(verdict, snapshot(), 1)
    for now in (2, 1000):
        assert judged(verdict, snapshot(gpus=("0",)), now) == [("gpu_lost", "", False), ("gpu_lost", "code", True)]
    back = worked_on(snapshot(), "chat", "1")
    assert judged(verdict, back, 1001) == [("gpu_lost", "", False), ("gpu_lost", "code", False)]


def test_the_xid_of_a_loss_is_not_over_before_the_loss_is() -> None:
    """It is counted in one tick; that its GPU is gone goes on. For whoever opens incidents the two are one finding."""
    verdict = GpuVerdict()
    judged(verdict, worked_on(snapshot(), "code", "1"), 0)
    gone, other = with_xid(snapshot(gpus=("0",)), "1", "79"), ("gpu_lost", "", False)
    assert judged(verdict, gone, 1) == [("gpu_lost", "code", True), other, ("gpu_lost", "code", True)]
    assert judged(verdict, gone, 2) == [other, ("gpu_lost", "code", True)]
    assert {hold for _, _, hold in judged(verdict, with_xid(snapshot(), "1", "79"), 3)} == {False}


def test_an_xid_is_told_of_the_server_that_works_on_the_gpu() -> None:
    """One of a GPU on which nobody works is the host's."""
    verdict = GpuVerdict()
    working = worked_on(snapshot(), "chat", "0")
    assert ("gpu_xid", "chat", True) in judged(verdict, with_xid(working, "0", "119"), 0)
    assert ("gpu_xid", "", True) in judged(verdict, with_xid(working, "1", "119"), 1)


def test_heat_and_throttling_are_found_when_they_last_five_minutes() -> None:
    """A spike is ordinary life; an idle GPU's lowered clocks are too."""
    verdict = GpuVerdict()
    hot = snapshot(gpus=("0",), celsius=91.0, throttled=1.0)
    assert held(verdict, hot, 0) == set()
    assert held(verdict, hot, 299) == set()
    assert held(verdict, hot, 300) == {("gpu_hot", "0"), ("gpu_throttled", "0")}
    assert held(verdict, snapshot(gpus=("0",)), 301) == set()
    assert held(verdict, hot, 302) == set()
