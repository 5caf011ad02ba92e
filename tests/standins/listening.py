"""The real listener on a port of its own, in a thread with a loop of its own, for clients that block."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator

import httpx

from standins.sidecar import StandInSidecar
from vllm_vigil.clock import RealClock
from vllm_vigil.exposition.connection import Limits
from vllm_vigil.exposition.http import Listener
from vllm_vigil.exposition.listen import WebSettings
from vllm_vigil.exposition.metrics import Metrics
from vllm_vigil.exposition.site import Site, Webhook
from vllm_vigil.exposition.web_config import WebConfig
from vllm_vigil.series.catalogue import spec_of
from vllm_vigil.telemetry import Telemetry

OPEN = WebConfig()
DEFAULT = Limits()


@contextlib.contextmanager
def listening(
    sidecar: StandInSidecar,
    web: WebConfig = OPEN,
    host: str = "127.0.0.1",
    limits: Limits = DEFAULT,
    webhook: Webhook | None = None,
) -> Iterator[int]:
    """Serve the sidecar's facts; gives the port. Fails if the listener does not end within 5 s of its stop."""
    settings = WebSettings(f"{host}:0")
    ended: list[None] = []
    ready = threading.Event()
    loops: list[tuple[asyncio.AbstractEventLoop, Listener]] = []

    async def serve() -> None:
        metrics = Metrics(spec_of, Telemetry(RealClock()).families)
        listener = Listener(settings, web, Site(sidecar, metrics, settings, web, webhook), limits)
        listener.start()
        loops.append((asyncio.get_running_loop(), listener))
        ready.set()
        await listener.serve()
        ended.append(None)

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    assert ready.wait(60)
    loop, listener = loops[0]
    try:
        yield listener.port
    finally:
        loop.call_soon_threadsafe(listener.stop)
        thread.join(60)
    assert ended == [None]


@contextlib.contextmanager
def client(port: int, **options: object) -> Iterator[httpx.Client]:
    """An HTTP client of that port."""
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=60, **options) as made:  # type: ignore[arg-type]  # httpx's own options
        yield made
