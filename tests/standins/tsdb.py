"""A real Prometheus over a past of the test's own making: OpenMetrics text -> blocks (promtool) -> a server on it."""

from __future__ import annotations

import subprocess
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from standins.program import free_port, until

Course = Callable[[float], float | None]
"""The value at a time (epoch seconds); None where there is none."""


def backfill(directory: Path, families: Iterable[tuple[str, str, dict[str, Course]]], times: list[float]) -> None:
    """Write blocks of these families: name, kind, a course for every sample name with its labels."""
    lines = []
    for name, kind, courses in families:
        lines.append(f"# TYPE {name} {kind}")
        for sample, course in courses.items():
            lines += [f"{sample} {value:g} {at:.0f}" for at in times if (value := course(at)) is not None]
    text = directory / "openmetrics.txt"
    text.write_text("\n".join([*lines, "# EOF", ""]))
    made = subprocess.run(
        ["promtool", "tsdb", "create-blocks-from", "openmetrics", str(text), str(directory / "tsdb")],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert made.returncode == 0, made.stdout + made.stderr


@contextmanager
def prometheus_on(directory: Path) -> Iterator[str]:
    """The address of a Prometheus that has the blocks in `directory` and scrapes nobody."""
    port = free_port()
    (directory / "prometheus.yml").write_text("scrape_configs: []\n")
    with (directory / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={directory / 'prometheus.yml'}",
                f"--storage.tsdb.path={directory / 'tsdb'}",
                "--storage.tsdb.retention.time=100y",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=log,
            stderr=log,
        )
    try:
        until(60, "Prometheus is ready", lambda: _ready(port))
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(60)


def _ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/-/ready", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
