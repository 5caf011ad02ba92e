"""`vigil doctor`: every source and log asked once -> a line each, and one for each blank series: what to do."""

from __future__ import annotations

import asyncio
import glob
import os
import time
from collections.abc import Iterator
from pathlib import Path

from vllm_vigil.clock import RealClock
from vllm_vigil.commands.remedies import remedy
from vllm_vigil.config.load import Loaded, Recipe
from vllm_vigil.lines.paths import nothing_at
from vllm_vigil.model import Reading
from vllm_vigil.redact import mask
from vllm_vigil.series.blanks import blanks
from vllm_vigil.series.normalise import Normaliser
from vllm_vigil.sources.host import Host
from vllm_vigil.sources.nvml import Nvml
from vllm_vigil.sources.sampler import Source
from vllm_vigil.sources.vllm import Vllm
from vllm_vigil.units import format_duration, format_size

NAMED_FAMILIES = 20
NAMED_FILES = 20
"""Of one glob, the last by name: rotated ones are many."""


def doctor(recipe: Recipe) -> int:
    """Print what each source says; 1 if one of them is in trouble, or lacks what it should give."""
    loaded = recipe.load()
    readings = asyncio.run(_readings(loaded))
    wrong = False
    for reading in readings:
        print(_line(reading, loaded))
        for line, is_wrong in _about_series(reading):
            print(line)
            wrong |= is_wrong
    for line, is_wrong in _about_logs(loaded):
        print(line)
        wrong |= is_wrong
    return int(wrong or any(reading.error for reading in readings))


def _about_logs(loaded: Loaded) -> Iterator[tuple[str, bool]]:
    """Whether each log can be read, and when it was last written."""
    for path in (log.path for server in loaded.config.vllm for log in server.logs if log.path):
        found = sorted(glob.glob(path))  # noqa: PTH207  # absolute globs
        if not found:
            yield f"log {mask(path)}: TROUBLE: {_why_nothing(path)}", True
        for name in found[-NAMED_FILES:]:
            try:
                with Path(name).open("rb") as file:
                    facts = os.fstat(file.fileno())
                    file.read(1)
            except OSError as error:
                remedy = ": let the sidecar's user read it" if isinstance(error, PermissionError) else ""
                yield f"log {mask(name)}: TROUBLE: {error.strerror}{remedy}", True
            else:
                age = format_duration(max(0, round(time.time() - facts.st_mtime)))
                yield f"log {mask(name)}: good, {format_size(facts.st_size)}, last written {age} ago", False


def _why_nothing(path: str) -> str:
    why = nothing_at(path)
    if isinstance(why, PermissionError):
        return f"{why.filename} may not be looked into: let the sidecar's user read it"
    return "no such file yet; it is picked up when it appears"


async def _readings(loaded: Loaded) -> list[Reading]:
    clock = RealClock()
    sources: list[Source] = [Vllm(server, clock) for server in loaded.config.vllm]
    nvml = Nvml(loaded.config.gpu, clock)
    if loaded.config.gpu.enabled:
        sources.append(nvml)
    if loaded.config.host.enabled:
        urls = {server.server: server.url for server in loaded.config.vllm}
        sources.append(Host(loaded.config.host, urls, clock, lambda: nvml.processes))
    try:
        return [await source.read() for source in sources]
    finally:
        for source in sources:
            await source.close()


def _about_series(reading: Reading) -> Iterator[tuple[str, bool]]:
    """What of the contract a server does not feed, and what of its page is in no table; whether that is wrong."""
    if reading.source != "vllm" or reading.error is not None:
        return
    normalised = Normaliser().normalise(reading)
    for blank in blanks(normalised.snapshot.series, reading):
        trouble = "TROUBLE: " if blank.wrong else ""
        yield f"  {blank.series}: {trouble}{mask(blank.cause)}; to do: {mask(blank.remedy)}", blank.wrong
    if normalised.unknown:
        named = ", ".join(mask(name) for name in normalised.unknown[:NAMED_FAMILIES])
        yield f"  families in no table, so left out (passthrough: true relays them): {named}", False


def _line(reading: Reading, loaded: Loaded) -> str:
    name = f"{reading.source} {reading.server}".strip()
    if reading.error:
        at = "".join(f" ({each.url})" for each in loaded.config.vllm if each.server == reading.server)
        to_do = f"; to do: {text}" if (text := remedy(reading.error)) else ""
        return f"{name}: TROUBLE: {mask(reading.error)}{at}{to_do}"
    facts = ", ".join(f"{key} {value}" for key, value in sorted(reading.facts.items()))
    return f"{name}: good, {len(reading.samples)} samples in {reading.duration_seconds * 1000:.0f} ms" + (
        f" ({mask(facts)})" if facts else ""
    )
