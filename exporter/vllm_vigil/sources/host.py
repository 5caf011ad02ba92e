"""The host, read from /proc and the cgroup file systems -> a Reading about vLLM's processes, memory and OOM kills.

Every reading runs in a worker thread, because a read in /proc can hang on a process that the kernel is busy with. What
outlives a reading is kept there too: the table of processes, whose they are, their start times (from which restarts
are counted) and vLLM's last cgroup, which tells of an OOM kill also after its process has gone.

Facts: `servers`, how many processes of each configured server are seen, and `attribution`, why it cannot be told who
holds the memory of a GPU. A server whose processes cannot be seen from here (another host, another container) has no
`llm_process_*` series, and that is not an error.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from vllm_vigil.clock import Clock
from vllm_vigil.errors import WorkerBusy
from vllm_vigil.model import Reading, Sample
from vllm_vigil.sources.gpu_processes import GpuProcesses
from vllm_vigil.sources.host_watch import HostWatch, Look
from vllm_vigil.sources.listeners import Address, Ip, literal, resolve
from vllm_vigil.sources.settings import HostSettings
from vllm_vigil.units import format_duration
from vllm_vigil.worker import Worker

RESOLVE_AGAIN_SECONDS = 60.0
RESOLVE_SECONDS = 2.0


class Host:
    """The source. `servers` gives the URL of each configured server; `gpus` what NVML last listed."""

    source = "host"
    server = ""

    def __init__(
        self,
        settings: HostSettings,
        servers: Mapping[str, str],
        clock: Clock,
        gpus: Callable[[], Sequence[GpuProcesses]] = tuple,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._gpus = gpus
        self._worker = Worker("host")
        self._names = _Names(servers, clock)
        self._watch = HostWatch(settings.proc)

    async def read(self) -> Reading:
        """Look at the processes and the memory once."""
        started = self._clock.monotonic()
        addresses, gpus, timeout = await self._names.addresses(), self._gpus(), self._settings.timeout
        look, error = Look(), None
        try:
            look = await self._worker.run(lambda: self._watch.look(addresses, gpus), timeout)
        except TimeoutError:
            error = f"reading {self._settings.proc} did not end within {format_duration(timeout)}"
        except WorkerBusy:
            error = f"still waiting for a read of {self._settings.proc} that has not returned"
        except OSError as trouble:
            error = f"{self._settings.proc} cannot be read: {trouble.strerror}"
        now = self._clock.monotonic()
        samples: tuple[Sample, ...] = look.samples
        return Reading(self.source, self.server, now, now - started, samples, look.facts, error)

    async def close(self) -> None:
        """Nothing is held."""


@dataclass(slots=True)
class _Names:
    """The servers' addresses. Names are asked for in a thread of their own: a resolver may hang for long."""

    servers: Mapping[str, str]
    clock: Clock
    _worker: Worker = field(default_factory=lambda: Worker("resolve"))
    _known: dict[str, frozenset[Ip]] = field(default_factory=dict)
    _again_at: float = 0.0

    async def addresses(self) -> dict[str, Address]:
        """Host and port of every server, as far as they are known now."""
        split = {server: urlsplit(url) for server, url in self.servers.items()}
        hosts = {parts.hostname for parts in split.values() if parts.hostname and not literal(parts.hostname)}
        if hosts and self.clock.monotonic() >= self._again_at:
            self._again_at = self.clock.monotonic() + RESOLVE_AGAIN_SECONDS
            with contextlib.suppress(TimeoutError, WorkerBusy):  # without an address its processes are not looked for
                self._known |= await self._worker.run(lambda: {host: resolve(host) for host in hosts}, RESOLVE_SECONDS)
        return {
            server: Address(
                literal(parts.hostname or "") or self._known.get(parts.hostname or "", frozenset()),
                parts.port or (443 if parts.scheme == "https" else 80),
            )
            for server, parts in split.items()
        }
