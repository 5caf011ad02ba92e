"""Findings on GPUs."""

from __future__ import annotations

from vllm_vigil.model import Point, Reading, Series, Snapshot, labels
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


def test_heat_and_throttling_are_found_when_they_last_five_minutes() -> None:
    """A spike is ordinary life; an idle GPU's lowered clocks are too."""
    verdict = GpuVerdict()
    hot = snapshot(gpus=("0",), celsius=91.0, throttled=1.0)
    assert held(verdict, hot, 0) == set()
    assert held(verdict, hot, 299) == set()
    assert held(verdict, hot, 300) == {("gpu_hot", "0"), ("gpu_throttled", "0")}
    assert held(verdict, snapshot(gpus=("0",)), 301) == set()
    assert held(verdict, hot, 302) == set()
