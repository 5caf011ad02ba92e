"""How servers, GPUs and the host are read, as the configuration says it; apart from what reads them, which is large."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vllm_vigil.endpoint import Endpoint
from vllm_vigil.sources.intervals import problems_of
from vllm_vigil.units import Bytes, Seconds


@dataclass(frozen=True, slots=True)
class VllmSettings(Endpoint):
    """How one server is asked.

    Of what it gives, `max_series` become series; with `passthrough` its families go out under vLLM's own names too.
    """

    interval: Seconds = Seconds(5.0)
    timeout: Seconds = Seconds(5.0)
    stale_after: Seconds | None = None
    max_body: Bytes = Bytes(32 * 1024 * 1024)
    max_series: int = 5000
    passthrough: bool = False

    def problems(self) -> Iterator[tuple[str, str]]:
        """What cannot be used, as (field, message)."""
        yield from Endpoint.problems(self)
        yield from problems_of(self)
        for name in ("max_body", "max_series"):
            if getattr(self, name) <= 0:
                yield name, "must be more than 0"


@dataclass(frozen=True, slots=True)
class GpuSettings:
    """Whether and how often the GPUs are read.

    `pcie_throughput` measures PCIe traffic also where that blocks for 20 ms a GPU and direction (before Hopper).
    `serial` puts the board's serial number on `gpu_info`. With `machine` no driver is asked: a machine file, as
    `vigil demo` and scripts/record-gpu write it, says what the GPUs answer.
    """

    enabled: bool = True
    interval: Seconds = Seconds(1.0)
    timeout: Seconds = Seconds(5.0)
    stale_after: Seconds | None = None
    pcie_throughput: bool = False
    serial: bool = False
    machine: Path | None = None

    def problems(self) -> Iterator[tuple[str, str]]:
        """What cannot be used, as (field, message)."""
        yield from problems_of(self)
        if self.machine is not None and not self.machine.is_file():
            yield "machine", f"there is no file {self.machine}"


@dataclass(frozen=True, slots=True)
class HostSettings:
    """Whether and how often the host is read; `proc` is for a container that has the host's under another path."""

    enabled: bool = True
    interval: Seconds = Seconds(5.0)
    timeout: Seconds = Seconds(5.0)
    stale_after: Seconds | None = None
    proc: Path = Path("/proc")

    def problems(self) -> Iterator[tuple[str, str]]:
        """What cannot be used, as (field, message)."""
        yield from problems_of(self)
