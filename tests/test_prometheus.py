"""A real Prometheus scrapes the sidecar and answers queries on its series; promtool has nothing to say of them."""

from __future__ import annotations

import json
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from standins.program import Program, free_port, until
from standins.vllm import StandInVllm

PAGE = (Path(__file__).parent / "data" / "captures" / "metrics-0.32.0-busy-preempting.txt").read_text()


@pytest.fixture
def sidecar(tmp_path: Path) -> Iterator[Program]:
    """The program beside a recorded vLLM, with its series there."""
    with StandInVllm(PAGE) as vllm:
        program = Program(tmp_path, f"vllm: [{{name: llama, url: '{vllm.url}', interval: 500ms}}]\n").start()
        until(60, "series", lambda: program.value("llm_requests_waiting") == 50)
        yield program
        program.close()


@pytest.fixture
def prometheus(sidecar: Program, tmp_path: Path) -> Iterator[str]:
    """Prometheus' address; it scrapes the sidecar every second."""
    port = free_port()
    config = tmp_path / "prometheus.yml"
    config.write_text(
        "global: {scrape_interval: 1s}\n"
        "scrape_configs:\n"
        f"- {{job_name: vigil, static_configs: [{{targets: ['127.0.0.1:{sidecar.port}']}}]}}\n"
    )
    with (tmp_path / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={config}",
                f"--storage.tsdb.path={tmp_path / 'tsdb'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=log,
            stderr=log,
        )
    yield f"http://127.0.0.1:{port}"
    process.terminate()
    process.wait(60)


def query(prometheus: str, expression: str) -> list[float]:
    """The values of an instant query; none while Prometheus is starting."""
    address = f"{prometheus}/api/v1/query?{urllib.parse.urlencode({'query': expression})}"
    try:
        with urllib.request.urlopen(address, timeout=5) as answer:
            return [float(each["value"][1]) for each in json.load(answer)["data"]["result"]]
    except OSError:
        return []


def test_prometheus_answers_on_our_series(prometheus: str) -> None:
    """Gauges, counters, a quantile over a relayed histogram, and the target's health."""
    until(60, "a scrape", lambda: query(prometheus, "llm_requests_waiting") == [50.0])
    assert query(prometheus, 'up{job="vigil"}') == [1.0]
    assert query(prometheus, 'vigil_source_up{source="vllm", server="llama"}') == [1.0]
    assert query(prometheus, 'sum(llm_engine_state{server="llama"})') == [1.0]
    (quantile,) = query(
        prometheus, "histogram_quantile(0.95, sum by (le) (llm_time_to_first_token_seconds_bucket{server='llama'}))"
    )
    assert quantile > 0


def test_promtool_finds_nothing_to_say(sidecar: Program) -> None:
    """Names, units, help and types are as Prometheus wants them."""
    page = sidecar.get("/metrics").content
    checked = subprocess.run(["promtool", "check", "metrics"], input=page, capture_output=True, check=False, timeout=60)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")
