"""Reading 8 GPUs through pynvml and the stand-in library: CPU of a reading, and the sidecar beside nvitop-exporter.

The machine is tests/data/nvml/h100x8.txt, at work, so that its numbers move: 2,000 samples. The stand-in answers from
memory, so the figure is what we and pynvml add to the driver's own time, which only a real GPU can tell. Which reading
asks what is the same in every run, so each is measured in several and the least counts: the rest is other people's work
on the same machine. NVITOP_EXPORTER names the peer's program; scripts/bench installs it.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from urllib.request import urlopen

from benchmarks.daemon import cpu_seconds, free_port, rss_megabytes, scrape, wait_for
from benchmarks.figure import Figure

READINGS = 120
RUNS = 5
LIMIT_MILLISECONDS = 2.0
SETTLED_SECONDS = 5.0
WATCHED_SECONDS = 15.0
SCRAPES = 50

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from standins.nvml import StandInNvml, at_work  # noqa: E402  # the stand-in lives with the tests


def measure(scratch: Path) -> Iterator[Figure]:
    """A minute or two of readings, then two programs side by side."""
    library = StandInNvml(scratch)
    library.build()
    library.set(at_work("h100x8"), machine="h100x8")
    command = (sys.executable, "-m", "benchmarks.gpu")
    runs = [
        subprocess.run(command, env=_with(library), capture_output=True, text=True, check=True).stdout
        for _ in range(RUNS)
    ]
    samples, first, *later = map(min, zip(*(map(float, run.split()) for run in runs), strict=True))
    mean = sum(later) / len(later)
    yield Figure(f"8 GPUs, {samples:.0f} samples: CPU of a reading, mean", "ms", mean, LIMIT_MILLISECONDS, "the limit")
    yield Figure("8 GPUs: CPU of the dearest later reading", "ms", max(later), LIMIT_MILLISECONDS, "the limit")
    yield Figure("8 GPUs: CPU of the first reading, which asks every row", "ms", first)
    if os.environ.get("NVITOP_EXPORTER"):
        yield from _beside(scratch, library)


def _beside(scratch: Path, library: StandInNvml) -> Iterator[Figure]:
    ours_port, peer_port = free_port(), free_port()
    # No vLLM answers there, and none is asked more than once an hour: this is the GPU half alone.
    config = scratch / "gpu.yaml"
    config.write_text(f"vllm: [{{url: 'http://127.0.0.1:{free_port()}', interval: 1h}}]\n")
    options = ("--config", str(config), "--listen", f"127.0.0.1:{ours_port}", "--state-dir", str(scratch / "state"))
    commands = {
        ours_port: (sys.executable, "-m", "vllm_vigil", "run", *options),
        peer_port: (os.environ["NVITOP_EXPORTER"], "--bind-address", "127.0.0.1", "--port", str(peer_port)),
    }
    processes = {
        port: subprocess.Popen(command, env=_with(library), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for port, command in commands.items()
    }
    try:
        yield from _compared({port: process.pid for port, process in processes.items()})
    finally:
        for process in processes.values():
            process.kill()
            process.wait()


def _compared(pids: dict[int, int]) -> Iterator[Figure]:
    """Figures of the programs that answer at these ports, ours first."""
    for port in pids:
        wait_for(port)
    time.sleep(SETTLED_SECONDS)

    def figure(name: str, unit: str, of: Callable[[int], float]) -> Figure:
        ours, peer = map(of, pids)
        return Figure(f"{name}, 8 GPUs", unit, ours, peer, "nvitop-exporter")

    idle = _share(pids, lambda: time.sleep(WATCHED_SECONDS))
    yield figure("CPU without a scrape", "%", lambda port: idle[port] * 100)
    asked = _share(pids, lambda: _scrape_every_second(pids))
    yield figure("CPU at one scrape a second", "%", lambda port: asked[port] * 100)
    yield figure("CPU of a scrape", "ms", lambda port: _scrape_milliseconds(port, pids[port], idle[port]))
    yield figure("samples that a scrape gives", "", _samples)
    yield figure("RSS", "MB", lambda port: rss_megabytes(pids[port]))


def _share(pids: dict[int, int], work: Callable[[], None]) -> dict[int, float]:
    """The share of a core that each program takes meanwhile."""
    before, began = {port: cpu_seconds(pid) for port, pid in pids.items()}, time.monotonic()
    work()
    took = time.monotonic() - began
    return {port: (cpu_seconds(pid) - before[port]) / took for port, pid in pids.items()}


def _scrape_every_second(ports: Iterable[int]) -> None:
    for _ in range(int(WATCHED_SECONDS)):
        for port in ports:
            scrape(port)
        time.sleep(1)


def _scrape_milliseconds(port: int, pid: int, idle: float) -> float:
    """What one scrape of many adds to what the program takes anyway."""
    before, began = cpu_seconds(pid), time.monotonic()
    for _ in range(SCRAPES):
        scrape(port)
        time.sleep(0.1)
    spent = cpu_seconds(pid) - before - idle * (time.monotonic() - began)
    return spent / SCRAPES * 1000


def _samples(port: int) -> float:
    with urlopen(f"http://127.0.0.1:{port}/metrics") as page:
        return sum(not line.startswith(b"#") for line in page)


def _with(library: StandInNvml) -> dict[str, str]:
    return os.environ | {"LD_LIBRARY_PATH": str(library.directory)}


def time_readings() -> None:
    """In a process of its own: how many samples there are, and milliseconds of CPU of each reading."""
    from loguru import logger  # noqa: PLC0415  # as below

    from vllm_vigil.clock import CrankedClock  # noqa: PLC0415  # what is measured is loaded in its process only
    from vllm_vigil.sources.nvml import Nvml  # noqa: PLC0415
    from vllm_vigil.sources.settings import GpuSettings  # noqa: PLC0415

    logger.remove()  # as at the level INFO, at which the program runs

    async def whole() -> tuple[int, list[float]]:
        clock = CrankedClock()
        source = Nvml(GpuSettings(), clock)
        spent, samples = [], 0
        for _ in range(READINGS):
            began = time.process_time()
            samples = len((await source.read()).samples)
            spent.append((time.process_time() - began) * 1000)
            await clock.crank(1.0)
        await source.close()
        return samples, spent

    samples, spent = asyncio.run(whole())
    print(samples, *spent)


if __name__ == "__main__":
    time_readings()
