"""`/metrics` at ten scrapes a second, 8 GPUs and 8 engines, beside node_exporter: calm, and while something is wrong.

What is wrong is real: an NVML call that does not return, a vLLM that takes connections and does not answer (SIGSTOP),
and 10,000 log lines a second. The answer comes from memory, so none of it may be seen in the time that it takes.

How much of that time is the asking client's shows a server beside them that does nothing but send the same bytes.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

from benchmarks.daemon import PAGE, SERVE, free_port, scrape, wait_for
from benchmarks.figure import Figure
from benchmarks.pages import with_engines

ENGINES = 8
SCRAPES = 150
LINES_A_SECOND = 10_000
BURST_SECONDS = 0.01
SEND = """
import pathlib, socket, sys
page = pathlib.Path(sys.argv[1]).read_bytes()
answer = b"HTTP/1.1 200 OK\\r\\nContent-Length: %d\\r\\n\\r\\n%s" % (len(page), page)
server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1], flush=True)
while True:
    client, _ = server.accept()
    with client:
        client.recv(65536)
        client.sendall(answer)
        client.recv(1)
"""
"""Sends one file to whoever asks for anything."""

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from standins.nvml import StandInNvml  # noqa: E402  # the stand-in lives with the tests


def measure(scratch: Path) -> Iterator[Figure]:
    """p50 and p99 of each condition, ours and the peer's in turns."""
    library = StandInNvml(scratch)
    library.build()
    library.set(machine="h100x8")
    page, log = scratch / "engines.txt", scratch / "busy.log"
    page.write_text(with_engines(PAGE.read_text(), ENGINES))
    log.touch()
    with _running([sys.executable, "-c", SERVE, str(page)], {}) as vllm:
        assert vllm.stdout is not None
        url = f"http://127.0.0.1:{vllm.stdout.readline().decode().strip()}"
        conditions: dict[str, tuple[Callable[[], None], Callable[[], None]]] = {
            "calm": (_nothing, _nothing),
            "while an NVML call hangs": (
                lambda: library.set("hang 1", machine="h100x8"),
                lambda: library.set(machine="h100x8"),
            ),
            "while vLLM does not answer": (
                lambda: vllm.send_signal(signal.SIGSTOP),
                lambda: vllm.send_signal(signal.SIGCONT),
            ),
            "at 10,000 log lines a second": (_nothing, _nothing),
        }
        yield from _measure(scratch, library, url, log, conditions)


def _measure(
    scratch: Path,
    library: StandInNvml,
    url: str,
    log: Path,
    conditions: dict[str, tuple[Callable[[], None], Callable[[], None]]],
) -> Iterator[Figure]:
    port, peer_port = free_port(), free_port()
    options = ["--vllm", url, "--log", str(log), "--listen", f"127.0.0.1:{port}", "--state-dir", str(scratch / "s")]
    environment = {"LD_LIBRARY_PATH": str(library.directory)}
    peer = ["prometheus-node-exporter", f"--web.listen-address=127.0.0.1:{peer_port}"]
    with _running([sys.executable, "-m", "vllm_vigil", "run", *options], environment), _running(peer, {}):
        wait_for(port)
        wait_for(peer_port)
        time.sleep(3)
        with _sending(scratch / "page.txt", port) as bare_port:
            for name, (begin, end) in conditions.items():
                begin()
                with _flood(log, on="log lines" in name):
                    time.sleep(2)
                    ours, theirs, bare = _in_turns(port, peer_port, bare_port)
                end()
                for percentile in (50, 99):
                    at = min(SCRAPES - 1, SCRAPES * percentile // 100)
                    yield Figure(f"scrape p{percentile} {name}", "ms", ours[at], theirs[at], "node_exporter")
                    yield Figure("   of which the client's", "ms", bare[at])


def _in_turns(*ports: int) -> list[list[float]]:
    """Milliseconds of many scrapes of each, sorted."""
    found: list[list[float]] = [[] for _ in ports]
    for _ in range(SCRAPES):
        for times, port in zip(found, ports, strict=True):
            times.append(scrape(port))
        time.sleep(0.1)
    return [sorted(times) for times in found]


@contextmanager
def _sending(page: Path, port: int) -> Iterator[int]:
    """A server that sends what ours answers now; its port."""
    with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        page.write_bytes(answer.read())
    with _running([sys.executable, "-c", SEND, str(page)], {}) as server:
        assert server.stdout is not None
        yield int(server.stdout.readline())


@contextmanager
def _flood(log: Path, *, on: bool) -> Iterator[None]:
    """Ordinary lines, in bursts of a hundredth of a second."""
    stop = threading.Event()
    line = (
        b"(APIServer pid=4100) INFO 11-21 00:00:01 [loggers.py:248] Engine 000: Avg prompt throughput: 1.0 tokens/s\n"
    )

    def write() -> None:
        with log.open("ab", buffering=0) as file:
            while not stop.wait(BURST_SECONDS):
                file.write(line * int(LINES_A_SECOND * BURST_SECONDS))

    writer = threading.Thread(target=write, daemon=True)
    if on:
        writer.start()
    try:
        yield
    finally:
        stop.set()
        if on:
            writer.join()


@contextmanager
def _running(command: list[str], environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command, env=os.environ | environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _nothing() -> None:
    """The condition is that there is none."""
