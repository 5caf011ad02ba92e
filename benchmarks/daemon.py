"""The running daemon: memory, start, CPU, and scrapes, beside Debian's node_exporter."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.figure import Figure

PAGE = Path(__file__).parents[1] / "tests" / "data" / "captures" / "metrics-0.32.0-after-load.txt"
SLACK = "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"
SCRAPES = 100
IDLE_SECONDS = 15.0
CPUCLOCK_SCHED = 2  # with it clock_getcpuclockid(3) makes the clock of a process


def measure(scratch: Path) -> Iterator[Figure]:
    """Start both, look at both."""
    vllm = subprocess.Popen([sys.executable, "-c", SERVE, str(PAGE)], stdout=subprocess.PIPE, text=True)
    assert vllm.stdout is not None
    url = f"http://127.0.0.1:{vllm.stdout.readline().strip()}"
    peer_port = free_port()
    peer = subprocess.Popen(
        ["prometheus-node-exporter", f"--web.listen-address=127.0.0.1:{peer_port}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield from _beside(scratch, url, peer, peer_port)
    finally:
        for process in (vllm, peer):
            process.kill()
            process.wait()


def _beside(scratch: Path, url: str, peer: subprocess.Popen[bytes], peer_port: int) -> Iterator[Figure]:
    wait_for(peer_port)
    for name, channels in (("without channels", ()), ("with Slack", ("--notify", SLACK))):
        port = free_port()
        options = ("--vllm", url, "--listen", f"127.0.0.1:{port}", "--state-dir", str(scratch / name))
        began = time.monotonic()
        ours = subprocess.Popen(
            [sys.executable, "-m", "vllm_vigil", "run", *options, *channels],
            stderr=subprocess.DEVNULL,
        )
        wait_for(port)
        if not channels:
            yield Figure("start to first /metrics", "s", time.monotonic() - began)
            yield from _at_work(ours, port, peer, peer_port)
        else:
            time.sleep(5)
        yield Figure(f"RSS {name}", "MB", rss_megabytes(ours.pid), rss_megabytes(peer.pid), "node_exporter")
        ours.terminate()
        ours.wait()


def _at_work(
    ours: subprocess.Popen[bytes], port: int, peer: subprocess.Popen[bytes], peer_port: int
) -> Iterator[Figure]:
    time.sleep(3)
    mine, theirs = scrapes(port), scrapes(peer_port)
    yield Figure("scrape p50", "ms", mine[len(mine) // 2], theirs[len(theirs) // 2], "node_exporter")
    yield Figure("scrape p99", "ms", mine[-1], theirs[-1], "node_exporter")
    before, peer_before, began = cpu_seconds(ours.pid), cpu_seconds(peer.pid), time.monotonic()
    while time.monotonic() - began < IDLE_SECONDS:
        scrape(port)
        scrape(peer_port)
        time.sleep(1)
    mine_cpu = (cpu_seconds(ours.pid) - before) / IDLE_SECONDS * 100
    yield Figure(
        "CPU at one scrape a second",
        "%",
        mine_cpu,
        (cpu_seconds(peer.pid) - peer_before) / IDLE_SECONDS * 100,
        "node_exporter",
    )


def scrapes(port: int) -> list[float]:
    """Milliseconds of many scrapes at ten a second, on new connections, sorted."""
    found = []
    for _ in range(SCRAPES):
        found.append(scrape(port))
        time.sleep(0.1)
    return sorted(found)


def scrape(port: int) -> float:
    """Milliseconds of one scrape."""
    began = time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", "/metrics")
    connection.getresponse().read()
    connection.close()
    return (time.perf_counter() - began) * 1000


def wait_for(port: int) -> None:
    """Until somebody answers."""
    while True:
        try:
            scrape(port)
        except OSError:
            time.sleep(0.01)
        else:
            return


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def rss_megabytes(pid: int) -> float:
    """Resident memory."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def cpu_seconds(pid: int) -> float:
    """CPU time used so far, also by threads that have ended; exact, where /proc counts hundredths of a second."""
    return time.clock_gettime(~pid << 3 | CPUCLOCK_SCHED)


SERVE = """
import http.server, pathlib, sys
page = pathlib.Path(sys.argv[1]).read_bytes()
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)
    def log_message(self, *args): pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
print(server.server_port, flush=True)
server.serve_forever()
"""
