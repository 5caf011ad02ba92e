"""NVML's process lists."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace

from vllm_vigil.sources.gpu_processes import GpuProcesses, list_processes


class NVMLError(Exception):
    """NVML's error, with its number."""

    def __init__(self, value: int) -> None:
        super().__init__(value)
        self.value = value


@dataclass
class Nvml:
    """What is used of pynvml; a list is pids and bytes, or the number of an error."""

    compute: list[tuple[int, int | None]] | int
    graphics: list[tuple[int, int | None]] | int
    old: bool = False
    NVMLError = NVMLError
    NVML_ERROR_FUNCTION_NOT_FOUND = 13

    def __getattr__(self, name: str) -> object:
        """The call of that name."""
        listed = self.compute if "Compute" in name else self.graphics

        def call(_device: object) -> list[SimpleNamespace]:
            if self.old and name.endswith("_v3"):
                raise NVMLError(13)
            if isinstance(listed, int):
                raise NVMLError(listed)
            return [SimpleNamespace(pid=pid, usedGpuMemory=used) for pid, used in listed]

        return call


def listed(nvml: Nvml) -> tuple[tuple[int, int | None], ...] | None:
    """The processes of one GPU."""
    found = list_processes(nvml, object(), "0", "GPU-a")
    assert found == GpuProcesses("0", "GPU-a", found.processes)
    return found.processes


def test_a_process_in_both_lists_counts_once() -> None:
    """With the larger figure, and with one rather than none."""
    nvml = Nvml(compute=[(5, 100), (6, None)], graphics=[(5, 100), (7, 3), (6, 9)])
    assert listed(nvml) == ((5, 100), (6, 9), (7, 3))


def test_a_list_that_is_refused_leaves_the_other() -> None:
    """Data-centre GPUs draw nothing; and what refuses both lists nothing."""
    assert listed(Nvml(compute=[(5, 100)], graphics=3)) == ((5, 100),)
    assert listed(Nvml(compute=[], graphics=[])) == ()
    assert listed(Nvml(compute=3, graphics=3)) is None


def test_an_old_driver_is_asked_by_its_own_name() -> None:
    """Before 510 there was only the second version of the call."""
    assert listed(Nvml(compute=[(5, 100)], graphics=[], old=True)) == ((5, 100),)
