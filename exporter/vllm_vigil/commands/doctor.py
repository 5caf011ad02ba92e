"""`vigil doctor`: every source asked once -> a line each, with what is wrong and what to do."""

from __future__ import annotations

import asyncio
import glob

from vllm_vigil.clock import RealClock
from vllm_vigil.config.load import Loaded, Recipe
from vllm_vigil.model import Reading
from vllm_vigil.redact import mask
from vllm_vigil.sources.nvml import Nvml
from vllm_vigil.sources.sampler import Source
from vllm_vigil.sources.vllm import Vllm


def doctor(recipe: Recipe) -> int:
    """Print what each source says; 1 if one of them is in trouble."""
    loaded = recipe.load()
    readings = asyncio.run(_readings(loaded))
    for reading in readings:
        print(_line(reading))
    missing = [log.path for server in loaded.config.vllm for log in server.logs if not glob.glob(log.path)]  # noqa: PTH207  # absolute globs
    for path in missing:
        print(f"log {path}: TROUBLE: no such file yet; it is picked up when it appears")
    return int(bool(missing) or any(reading.error for reading in readings))


async def _readings(loaded: Loaded) -> list[Reading]:
    clock = RealClock()
    sources: list[Source] = [Vllm(server, clock) for server in loaded.config.vllm]
    if loaded.config.gpu.enabled:
        sources.append(Nvml(loaded.config.gpu, clock))
    try:
        return [await source.read() for source in sources]
    finally:
        for source in sources:
            await source.close()


def _line(reading: Reading) -> str:
    name = f"{reading.source} {reading.server}".strip()
    if reading.error:
        return f"{name}: TROUBLE: {mask(reading.error)}"
    facts = ", ".join(f"{key} {value}" for key, value in sorted(reading.facts.items()))
    return f"{name}: good, {len(reading.samples)} samples in {reading.duration_seconds * 1000:.0f} ms" + (
        f" ({mask(facts)})" if facts else ""
    )
