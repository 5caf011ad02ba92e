"""Which GPUs an engine uses, and what their bands learn."""

from __future__ import annotations

from vllm_vigil.model import Labels, Point, Series, Snapshot, labels
from vllm_vigil.verdict.gpus import Gpus, learn

ENGINE = ("0", "tiny")


def gpu(number: int) -> Labels:
    """Its labels."""
    return labels(gpu=str(number), uuid=f"GPU-{number}")


def snapshot(
    count: int, *users: tuple[int, str, str], watts: float = 400.0, utilization: float = 0.9, available: float = 1.0
) -> Snapshot:
    """So many GPUs; `users` are (GPU, server, engine)."""
    here = [gpu(number) for number in range(count)]
    used = [labels(**dict(gpu(number)), server=server, engine=engine) for number, server, engine in users]
    return Snapshot(
        {
            "gpu_utilization_ratio": Series("", tuple(Point(which, utilization) for which in here)),
            "gpu_power_watts": Series("", tuple(Point(which, watts) for which in here)),
            "gpu_process_attribution_available": Series("", tuple(Point(which, available) for which in here)),
            "gpu_processes": Series("", tuple(Point(which, 1.0) for which in used)),
        }
    )


def numbers(gpus: Gpus, server: str, engine: str = "0", *, alone: bool = True) -> list[str]:
    """The GPUs of an engine."""
    return [each.number for each in gpus.of(server, (engine, "tiny"), alone=alone)]


def test_an_engine_has_the_gpus_on_which_its_processes_are() -> None:
    """Another engine's and another server's are not its own."""
    gpus = Gpus()
    gpus.tick(snapshot(4, (0, "a", "0"), (1, "a", "1"), (2, "b", "0")), 0.0)
    assert (numbers(gpus, "a"), numbers(gpus, "a", "1"), numbers(gpus, "b")) == (["0"], ["1"], ["2"])
    assert numbers(gpus, "c", alone=False) == []


def test_where_nobody_can_tell_the_gpus_are_the_only_server_s() -> None:
    """With two servers they are nobody's, and where the driver tells, a server without a process has none."""
    gpus = Gpus()
    gpus.tick(snapshot(2, available=0.0), 0.0)
    assert (numbers(gpus, "a"), numbers(gpus, "a", alone=False)) == (["0", "1"], [])
    gpus.tick(snapshot(2), 1.0)
    assert numbers(gpus, "a") == []


def test_a_gpu_that_is_not_told_of_now_is_no_evidence() -> None:
    """NVML may fail for a while."""
    gpus = Gpus()
    gpus.tick(snapshot(1, (0, "a", "0")), 0.0)
    gpus.tick(Snapshot(), 1.0)
    assert numbers(gpus, "a") == []


def test_bands_are_learned_while_it_is_plain_what_the_engine_does() -> None:
    """And of a time that is neither work nor rest nothing is."""
    gpus = Gpus()
    for now in range(300):
        moves, rests = now < 100, now >= 200
        utilization, watts = (0.9, 300.0 + now) if moves else (0.0, 70.0) if rests else (1.0, 130.0)
        gpus.tick(snapshot(1, (0, "a", "0"), watts=watts, utilization=utilization), float(now))
        learn(gpus.of("a", ENGINE, alone=True), float(now), moves=moves, rests=rests)
    (found,) = gpus.of("a", ENGINE, alone=True)
    look = found.look()
    assert look.busy_watts is not None
    assert 300 <= look.busy_watts <= 320
    assert look.idle_watts == 70.0


def test_a_few_odd_samples_move_no_band() -> None:
    """A minute of low power under work is not where work begins."""
    gpus = Gpus()
    for now in range(1800):
        gpus.tick(snapshot(1, (0, "a", "0"), watts=90.0 if 600 <= now < 660 else 400.0), float(now))
        learn(gpus.of("a", ENGINE, alone=True), float(now), moves=True, rests=False)
    assert gpus.of("a", ENGINE, alone=True)[0].look().busy_watts == 400.0
