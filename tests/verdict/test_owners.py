"""A GPU is of the one server that works on it, or was just there."""

from __future__ import annotations

from vllm_vigil.model import Point, Series, Snapshot, labels
from vllm_vigil.verdict.owners import Owners

BOTH = ("chat", "code")


def snapshot(*on: tuple[str, str], told: float = 1.0) -> Snapshot:
    """Who is on which GPU; `told` is whether the driver says whose its processes are."""
    processes = tuple(Point(labels(uuid=uuid, server=server, role="worker"), 1.0) for uuid, server in on)
    available = (Point(labels(uuid="GPU-0"), told), Point(labels(uuid="GPU-1"), told))
    return Snapshot(
        {
            "gpu_processes": Series("gpu_processes", processes),
            "gpu_process_attribution_available": Series("gpu_process_attribution_available", available),
        }
    )


def test_a_gpu_is_of_the_server_that_works_on_it_and_still_is_for_a_minute_after() -> None:
    """An engine that has just died is on no GPU any more; a minute later nobody can say whose it was."""
    owners = Owners()
    owners.tick(snapshot(("GPU-0", "chat"), ("GPU-1", "code")), 100.0)
    assert ["chat", "code"] == [owners.of(uuid, BOTH, 100.0) for uuid in ("GPU-0", "GPU-1")]
    owners.tick(snapshot(), 101.0)
    assert "code" == owners.of("GPU-1", BOTH, 160.0)
    assert "" == owners.of("GPU-1", BOTH, 161.0)


def test_a_gpu_of_several_servers_or_of_strangers_is_of_none() -> None:
    """It is the host's then; a server that is not watched any more owns nothing."""
    owners = Owners()
    owners.tick(snapshot(("GPU-0", "chat"), ("GPU-0", "code"), ("GPU-1", "")), 0.0)
    assert ["", ""] == [owners.of(uuid, BOTH, 0.0) for uuid in ("GPU-0", "GPU-1")]
    assert "code" == owners.of("GPU-0", ("code",), 0.0)


def test_where_nobody_can_tell_the_only_server_has_all_gpus() -> None:
    """As in a container without the host's processes. Of two servers it may be either's."""
    owners = Owners()
    owners.tick(snapshot(told=0.0), 0.0)
    owners.tick(Snapshot(), 1.0)
    assert "code" == owners.of("GPU-0", ("code",), 1.0)
    assert "" == owners.of("GPU-0", BOTH, 1.0)


def test_a_clock_that_is_set_does_not_age_what_was_seen() -> None:
    """Neither way."""
    owners = Owners()
    owners.tick(snapshot(("GPU-0", "chat")), 1000.0)
    owners.move(-900.0)
    assert "chat" == owners.of("GPU-0", BOTH, 101.0)
