"""A real Prometheus and a real Alertmanager with the shipped rules and routes, on a clock that runs 15 times faster.

The simulation's pages are served one a second, each of them 15 seconds of the play. So every duration in rules and
routes is a fifteenth of what is shipped: `for`, `keep_firing_for`, ranges, offsets, group and repeat intervals.
Receivers keep their names and conditions; each becomes a webhook of ours, which writes down what it is told.
"""

from __future__ import annotations

import json
import re
import subprocess
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml

from standins.program import free_port
from standins.simulation import Moment

SPEED = 15
_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400}
_DURATION = r"(\d+)(ms|s|m|h|d)"
_IN_QUERY = re.compile(rf"(?<=[\[:])(?:{_DURATION})+(?=[\]:])|(?<=offset )(?:{_DURATION})+")


@dataclass(frozen=True, slots=True)
class Told:
    """One alert as a receiver was told of it."""

    receiver: str
    status: str
    alert: str
    labels: dict[str, str]
    annotations: dict[str, str]


@dataclass(slots=True)
class Stage:
    """What is served, and what came back."""

    page: str | None = None
    told: list[Told] = field(default_factory=list)


def faster(duration: str) -> str:
    """A duration of Prometheus in the play's time."""
    seconds = sum(int(count) * _UNITS[unit] for count, unit in re.findall(_DURATION, duration))
    return f"{max(1, round(seconds * 1000 / SPEED))}ms"


def faster_rules(groups: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Rules with every duration in the play's time."""
    return {"groups": [{"name": group["name"], "rules": [_rule(rule) for rule in group["rules"]]} for group in groups]}


def _rule(rule: dict[str, Any]) -> dict[str, Any]:
    changed = {key: faster(rule[key]) for key in ("for", "keep_firing_for") if key in rule}
    query = _IN_QUERY.sub(lambda found: faster(found[0]), rule["expr"])
    return rule | changed | {"expr": query}


def faster_routes(config: dict[str, Any], webhook: str) -> dict[str, Any]:
    """Alertmanager's configuration in the play's time, its receivers turned to our address."""
    return {
        "route": _route(config["route"]),
        "inhibit_rules": config.get("inhibit_rules", []),
        "receivers": [
            {"name": each["name"], "webhook_configs": [{"url": f"{webhook}/{each['name']}", "send_resolved": True}]}
            for each in config["receivers"]
        ],
    }


def _route(route: dict[str, Any]) -> dict[str, Any]:
    names = ("group_wait", "group_interval", "repeat_interval")
    changed: dict[str, Any] = {name: faster(route[name]) for name in names if name in route and route[name] != "0s"}
    if "routes" in route:
        changed["routes"] = [_route(each) for each in route["routes"]]
    return route | changed


def one_a_second(moments: Iterable[Moment]) -> Iterator[Moment]:
    """The moments of the simulation in real time."""
    due = time.monotonic()
    for moment in moments:
        yield moment
        due += 1.0
        time.sleep(max(0.0, due - time.monotonic()))


@contextmanager
def monitoring(directory: Path, rules: dict[str, Any], routes: dict[str, Any]) -> Iterator[Stage]:
    """Prometheus, which scrapes the page of the stage every second, and Alertmanager, which tells it."""
    stage = Stage()
    with ExitStack() as stack:
        port = stack.enter_context(_served(stage))
        alertmanager, prometheus = free_port(), free_port()
        (directory / "alertmanager.yml").write_text(yaml.safe_dump(faster_routes(routes, f"http://127.0.0.1:{port}")))
        (directory / "rules.yml").write_text(yaml.safe_dump(rules, width=1000))
        (directory / "prometheus.yml").write_text(PROMETHEUS.format(port=port, alertmanager=alertmanager))
        for command in (
            (
                *("prometheus-alertmanager", f"--config.file={directory}/alertmanager.yml"),
                *(f"--storage.path={directory}/alerts", f"--web.listen-address=127.0.0.1:{alertmanager}"),
                "--cluster.listen-address=",
            ),
            (
                *("prometheus", f"--config.file={directory}/prometheus.yml", f"--storage.tsdb.path={directory}/tsdb"),
                *(f"--web.listen-address=127.0.0.1:{prometheus}", "--rules.alert.resend-delay=1s"),
            ),
        ):
            output = stack.enter_context((directory / f"{command[0]}.log").open("wb"))
            process = subprocess.Popen(command, stdout=output, stderr=output)
            stack.callback(process.wait, 30)
            stack.callback(process.terminate)
        yield stage


PROMETHEUS = """\
global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}
rule_files: [rules.yml]
alerting: {{alertmanagers: [{{static_configs: [{{targets: ["127.0.0.1:{alertmanager}"]}}]}}]}}
scrape_configs:
  - job_name: vllm-vigil
    static_configs: [{{targets: ["127.0.0.1:{port}"], labels: {{instance: "demo:9877"}}}}]
"""


@contextmanager
def _served(stage: Stage) -> Iterator[int]:
    class Answer(BaseHTTPRequestHandler):
        """The sidecar's page; and the webhooks of the receivers."""

        def do_GET(self) -> None:
            page = stage.page
            self.send_response(503 if page is None else 200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write((page or "").encode())

        def do_POST(self) -> None:
            document = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            for each in document["alerts"]:
                name = each["labels"]["alertname"]
                receiver = self.path.lstrip("/")
                stage.told.append(Told(receiver, each["status"], name, each["labels"], each["annotations"]))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the library's name
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()
