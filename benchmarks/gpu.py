"""Reading 8 GPUs through pynvml and the stand-in library: CPU of a reading, and of nothing but the calls in it.

The machine is tests/data/nvml/h100x8.txt: 2,000 samples. The stand-in answers from memory, so the figure is what we and
pynvml add to the driver's own time, which only a real GPU can tell. Beside it runs nvitop-exporter, on the same
library and machine, if NVITOP_EXPORTER names its program (it is no dependency of ours).
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.daemon import cpu_seconds, free_port, rss_megabytes, scrape, wait_for
from benchmarks.figure import Figure

READINGS = 120
LIMIT_MILLISECONDS = 2.0
WATCHED_SECONDS = 15.0

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from standins.nvml import StandInNvml, at_work  # noqa: E402  # the stand-in lives with the tests


def measure(scratch: Path) -> Iterator[Figure]:
    """A minute or two of readings, then two programs side by side."""
    library = StandInNvml(scratch)
    library.build()
    library.set(at_work("h100x8"), machine="h100x8")
    done = subprocess.run(
        (sys.executable, "-m", "benchmarks.gpu"), env=_with(library), capture_output=True, text=True, check=True
    )
    mean, first, most, samples = map(float, done.stdout.split())
    yield Figure(f"8 GPUs, {samples:.0f} samples: CPU of a reading, mean", "ms", mean, LIMIT_MILLISECONDS, "the limit")
    yield Figure("8 GPUs: CPU of the dearest later reading", "ms", most, LIMIT_MILLISECONDS, "the limit")
    yield Figure("8 GPUs: CPU of the first reading, which asks every row", "ms", first)
    yield from _beside(scratch, library)


def _beside(scratch: Path, library: StandInNvml) -> Iterator[Figure]:
    peer_program = os.environ.get("NVITOP_EXPORTER", "")
    ours_port, peer_port = free_port(), free_port()
    # No vLLM answers there, and none is asked more than once an hour: this is the GPU half alone.
    config = scratch / "gpu.yaml"
    config.write_text(f"vllm: [{{url: 'http://127.0.0.1:{free_port()}', interval: 1h}}]\n")
    options = ("--config", str(config), "--listen", f"127.0.0.1:{ours_port}", "--state-dir", str(scratch / "state"))
    commands = [(ours_port, (sys.executable, "-m", "vllm_vigil", "run", *options))]
    if peer_program:
        commands.append((peer_port, (peer_program, "--bind-address", "127.0.0.1", "--port", str(peer_port))))
    processes = [
        subprocess.Popen(command, env=_with(library), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _, command in commands
    ]
    try:
        for port, _ in commands:
            wait_for(port)
        time.sleep(3)
        before = [cpu_seconds(process.pid) for process in processes]
        began = time.monotonic()
        while time.monotonic() - began < WATCHED_SECONDS:
            for port, _ in commands:
                scrape(port)
            time.sleep(1)
        spent = [
            (cpu_seconds(process.pid) - was) / (time.monotonic() - began) * 100
            for process, was in zip(processes, before, strict=True)
        ]
        memory = [rss_megabytes(process.pid) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    for name, unit, figures in (("CPU", "%", spent), ("RSS", "MB", memory)):
        ours, peer = (*figures, None)[:2]
        yield Figure(f"{name}, 8 GPUs, one scrape a second", unit, ours or 0.0, peer, "nvitop-exporter")


def _with(library: StandInNvml) -> dict[str, str]:
    return os.environ | {"LD_LIBRARY_PATH": str(library.directory)}


def time_readings() -> None:
    """In a process of its own: milliseconds of CPU a reading (mean of two minutes, first, most), and its samples."""
    from loguru import logger  # noqa: PLC0415  # as below

    from vllm_vigil.clock import CrankedClock  # noqa: PLC0415  # what is measured is loaded in its process only
    from vllm_vigil.sources.nvml import GpuSettings, Nvml  # noqa: PLC0415

    logger.remove()  # as at the level INFO, at which the program runs

    async def whole() -> tuple[list[float], int]:
        clock = CrankedClock()
        source = Nvml(GpuSettings(), clock)
        spent, samples = [], 0
        for _ in range(READINGS):
            began = time.process_time()
            samples = len((await source.read()).samples)
            spent.append((time.process_time() - began) * 1000)
            await clock.crank(1.0)
        await source.close()
        return spent, samples

    spent, samples = asyncio.run(whole())
    later = spent[1:]
    print(sum(later) / len(later), spent[0], max(later), samples)


if __name__ == "__main__":
    time_readings()
