"""What a fleet of sidecars costs what stands around it: series, bytes, Prometheus' memory, Alertmanager's gossip.

    PYTHONPATH=tests python -m benchmarks.fleet

A real sidecar beside a recorded vLLM page and a stand-in NVML; a simulated morning of it in a real Prometheus' blocks;
a real Prometheus that scrapes one page under many names, with our rules; three real Alertmanagers that gossip. The
figures of docs/fleet.md are this program's output.
"""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx  # noqa: TID251 - a benchmark asks the servers that it starts

from benchmarks.figure import Figure
from standins.days import ordinary_day
from standins.nvml import StandInNvml
from standins.program import Program, free_port, until
from standins.simulation import HOUR, Simulation, backfill
from standins.vllm import StandInVllm

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "tests" / "data" / "captures" / "metrics-0.32.0-busy-preempting.txt").read_text()
MACHINES = {"without a GPU": "", "with 1 GPU": "h200", "with 8 GPUs": "h100x8"}
SCRAPE_SECONDS = 15
ALERTS = 200


def measure(scratch: Path) -> Iterator[Figure]:
    """One after the other; a few minutes in all."""
    pages = {}
    for name, machine in MACHINES.items():
        pages[name] = page_of_a_sidecar(scratch / f"sidecar-{machine}", machine)
        yield from of_page(name, pages[name])
    yield bytes_a_sample(scratch / "tsdb")
    for targets in (1, 10, 60):
        yield from prometheus(scratch / f"prometheus-{targets}", pages["with 8 GPUs"], targets)
    yield from gossip(scratch / "gossip")


def page_of_a_sidecar(directory: Path, machine: str) -> str:
    """What GET /metrics answers, once all sources have been read."""
    directory.mkdir()
    environment = {}
    if machine:
        gpu = StandInNvml(directory)
        gpu.build()
        gpu.set(machine=machine)
        environment["LD_LIBRARY_PATH"] = str(directory)
    with StandInVllm(PAGE) as vllm:
        config = f"vllm: [{{name: llama, url: '{vllm.url}', interval: 500ms}}]\n"
        config += "" if machine else "gpu: {enabled: false}\n"
        program = Program(directory, config, environment).start()
        try:
            until(20, "the sidecar is ready", lambda: program.get("/-/ready").status_code == httpx.codes.OK)
            time.sleep(5)  # the slow rows of NVML are spread over some seconds
            return program.get("/metrics").text
        finally:
            program.close()


def of_page(name: str, page: str) -> Iterator[Figure]:
    """How much there is on it."""
    kinds = Counter(line.partition("_")[0] for line in page.splitlines() if line and line[0] != "#")
    yield Figure(f"series of a sidecar {name}", "series", sum(kinds.values()))
    for kind in ("llm", "gpu", "vigil"):
        yield Figure(f"  of which {kind}_", "series", kinds[kind])
    yield Figure("  its page", "KB", len(page) / 1000)
    yield Figure("  its page, compressed", "KB", len(gzip.compress(page.encode(), 6)) / 1000)


def bytes_a_sample(directory: Path) -> Figure:
    """In blocks of two hours, index and all, of four hours of traffic scraped every 15 s."""
    scenes = [replace(scene, seconds=min(scene.seconds, 2 * HOUR)) for scene in list(ordinary_day())[1:3]]
    with tempfile.TemporaryDirectory() as scratch:
        backfill(directory, Simulation(Path(scratch), scenes, step_seconds=SCRAPE_SECONDS, begun=1_780_012_800.0))
    samples = sum(json.loads(meta.read_text())["stats"]["numSamples"] for meta in directory.glob("*/meta.json"))
    size = sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())
    return Figure("a sample on disk, with its share of the index", "B", size / samples)


def prometheus(directory: Path, page: str, targets: int) -> Iterator[Figure]:
    """Memory and rules with so many sidecars, two minutes after the start."""
    directory.mkdir()
    with serving(page.encode()) as port:
        names = [f"'127.0.0.1:{port}/{number}'" for number in range(targets)]
        config = directory / "prometheus.yml"
        config.write_text(
            f"global: {{scrape_interval: {SCRAPE_SECONDS}s, evaluation_interval: 15s}}\n"
            f"rule_files: ['{ROOT}/alert_rules/*.yml']\n"
            "scrape_configs:\n"
            "- job_name: vllm-vigil\n"
            f"  static_configs: [{{targets: [{', '.join(names)}]}}]\n"
            "  relabel_configs:\n"
            "  - {source_labels: [__address__], regex: '.*/(.*)', target_label: instance, replacement: 'node-$1'}\n"
            f"  - {{target_label: __address__, replacement: '127.0.0.1:{port}'}}\n"
        )
        own = free_port()
        options = [f"--storage.tsdb.path={directory}/tsdb", f"--web.listen-address=127.0.0.1:{own}"]
        process = subprocess.Popen(["prometheus", f"--config.file={config}", *options], stderr=subprocess.DEVNULL)
        try:
            time.sleep(120)
            found = own_metrics(f"http://127.0.0.1:{own}/metrics")
        finally:
            process.terminate()
            process.wait(30)
    rules = sum(
        value for name, value in found.items() if name.startswith("prometheus_rule_group_last_duration_seconds")
    )
    yield Figure(f"Prometheus with {targets} sidecars: series", "series", found["prometheus_tsdb_head_series"])
    yield Figure("  memory", "MB", found["process_resident_memory_bytes"] / 1e6)
    yield Figure("  all rules evaluated once", "ms", rules * 1000)


def own_metrics(url: str) -> dict[str, float]:
    """A server's own series: name with labels -> value."""
    lines = httpx.get(url, timeout=10, trust_env=False).text.splitlines()
    pairs = (line.rpartition(" ") for line in lines if line and line[0] != "#")
    return {name: float(value) for name, _, value in pairs}


def gossip(directory: Path) -> Iterator[Figure]:
    """Three members; each is told of every alert, as Prometheus and the sidecar do; one of them notifies."""
    directory.mkdir()
    (directory / "alertmanager.yml").write_text("")
    with serving(b"") as hook:
        (directory / "alertmanager.yml").write_text(
            "route: {receiver: hook, group_by: [alertname], group_wait: 1s}\n"
            f"receivers: [{{name: hook, webhook_configs: [{{url: 'http://127.0.0.1:{hook}/'}}]}}]\n"
        )
        web, mesh = [free_port() for _ in range(3)], [free_port() for _ in range(3)]
        processes = [member(directory, web[at], mesh[at], mesh) for at in range(3)]
        try:
            urls = [f"http://127.0.0.1:{port}" for port in web]
            until(60, "the cluster is whole", lambda: all(peers(url) == 3 for url in urls))
            before, began = sum(map(sent, urls)), time.monotonic()
            time.sleep(150)  # each tells the others its whole state once a minute
            idle = (sum(map(sent, urls)) - before) / (time.monotonic() - began) / 3
            before = sum(map(told, urls))
            alerts = [{"labels": {"alertname": f"A{number}", "server": "llama"}} for number in range(ALERTS)]
            for url in urls:
                httpx.post(f"{url}/api/v2/alerts", json=alerts, timeout=30, trust_env=False).raise_for_status()
            time.sleep(40)
            told_bytes = (sum(map(told, urls)) - before) / ALERTS
        finally:
            for process in processes:
                process.terminate()
                process.wait(20)
    yield Figure("gossip of an Alertmanager of three, idle", "B/s", idle)
    yield Figure("gossip of the three for a notification", "B", told_bytes)


def member(directory: Path, web: int, own: int, mesh: list[int]) -> subprocess.Popen[bytes]:
    """One Alertmanager of the cluster."""
    options = [f"--config.file={directory}/alertmanager.yml", f"--storage.path={directory}/{web}"]
    options += [f"--web.listen-address=127.0.0.1:{web}", f"--cluster.listen-address=127.0.0.1:{own}"]
    options += [f"--cluster.peer=127.0.0.1:{port}" for port in mesh if port != own]
    return subprocess.Popen(["prometheus-alertmanager", *options], stderr=subprocess.DEVNULL)


def peers(url: str) -> float:
    """How many members it knows."""
    try:
        return own_metrics(f"{url}/metrics").get("alertmanager_cluster_members", 0)
    except httpx.HTTPError:
        return 0


def sent(url: str) -> float:
    """All bytes that it has sent to the others."""
    return sum(
        value
        for name, value in own_metrics(f"{url}/metrics").items()
        if name.startswith("alertmanager_cluster_messages_sent_size_total")
    )


def told(url: str) -> float:
    """The bytes of its broadcasts: silences and the log of notifications."""
    return own_metrics(f"{url}/metrics").get('alertmanager_cluster_messages_sent_size_total{msg_type="update"}', 0)


class _Page(BaseHTTPRequestHandler):
    """One answer to whoever asks."""

    body = b""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.end_headers()
        self.wfile.write(self.body)

    do_POST = do_GET  # noqa: N815 - the base class's name

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base class's name
        """Say nothing."""


class serving:  # noqa: N801 - used as a phrase
    """Serve a body on a port of its own."""

    def __init__(self, body: bytes) -> None:
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), type("Page", (_Page,), {"body": body}))

    def __enter__(self) -> int:
        threading.Thread(target=self._http.serve_forever, daemon=True).start()
        return self._http.server_address[1]

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()


def main() -> int:
    """Print as they come."""
    with tempfile.TemporaryDirectory() as scratch:
        for figure in measure(Path(scratch)):
            print(f"{figure.name:<58} {figure.ours:>12.5g} {figure.unit}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
