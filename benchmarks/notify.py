"""From the event to its arrival at a receiver: commit, wake, Apprise, HTTP; and what a storm costs."""

from __future__ import annotations

import asyncio
import resource
import threading
import time
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from benchmarks.figure import Figure
from vllm_vigil.clock import RealClock
from vllm_vigil.model import Change, Incident, IncidentState, Severity, Transition
from vllm_vigil.notifications.channel import Channel
from vllm_vigil.notifications.message import Style, compose
from vllm_vigil.notifications.outbox import Outbox
from vllm_vigil.notifications.sender import Sender
from vllm_vigil.notifications.settings import ChannelSettings, NotifySettings
from vllm_vigil.state.store import Store
from vllm_vigil.telemetry import Telemetry
from vllm_vigil.units import Secret

PAGES = 200
STORM = 10_000


class Receiver(BaseHTTPRequestHandler):
    """A webhook that notes when each message came."""

    arrived: asyncio.Event
    loop: asyncio.AbstractEventLoop

    def do_POST(self) -> None:
        """Take it."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self.loop.call_soon_threadsafe(self.arrived.set)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


def measure(scratch: Path) -> Iterator[Figure]:
    """Pages one by one, then a storm."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"json://127.0.0.1:{server.server_port}/"
    settings = NotifySettings({"hook": ChannelSettings(Secret(url))})
    store = Store.open(scratch / "notify")
    latencies = sorted(asyncio.run(_pages(store, settings, url)))
    yield Figure("event to arrival p50", "ms", latencies[PAGES // 2] * 1000)
    yield Figure("event to arrival p99", "ms", latencies[-1 - PAGES // 100] * 1000)
    outbox = Outbox(store, settings, RealClock(), lambda _: None)
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    for number in range(STORM):
        _open(store, outbox, number, Severity.WARNING, "storm")
    yield Figure("incident to outbox in a storm", "us", (time.perf_counter() - began) / STORM * 1e6)
    yield Figure(
        "memory grown by 10,000 incidents", "MB", (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1e3
    )
    yield Figure("rows that wait after it", "", len(store.rows.waiting()))
    store.close()
    server.shutdown()


async def _pages(store: Store, settings: NotifySettings, url: str) -> list[float]:
    """Seconds from the event to its arrival, of many pages."""
    Receiver.arrived, Receiver.loop = asyncio.Event(), asyncio.get_running_loop()
    clock = RealClock()
    sender = Sender(Channel("hook", Secret(url)), store, clock, Telemetry(clock), partial(compose, style=Style()))
    outbox = Outbox(store, settings, clock, lambda _: sender.wake())
    sending = asyncio.ensure_future(sender.run())
    found = []
    for number in range(-1, PAGES):  # the first one imports Apprise
        await asyncio.sleep(0.02)
        began = time.perf_counter()
        _open(store, outbox, number, Severity.CRITICAL, f"s{number}")
        await Receiver.arrived.wait()
        Receiver.arrived.clear()
        found.append(time.perf_counter() - began)
    sending.cancel()
    return found[1:]


def _open(store: Store, outbox: Outbox, number: int, severity: Severity, server: str) -> None:
    now = time.time()
    incident = Incident(
        f"{server}:{number}", "cuda_oom", server, severity, IncidentState.OPEN, "GPU out of memory", now, now
    )
    with store.transaction():
        store.save_incident(incident)
        outbox.queue(Change(incident, Transition.OPENED))
