"""The simulation drives the real sidecar: what a trouble opens, what its end resolves, what a Prometheus then holds."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from standins.backfill import first
from standins.days import BAD_DAY, ordinary_day
from standins.program import free_port, parse, until
from standins.simulation import BEGUN, HOUR, NEVER, Moment, Simulation, backfill, with_target
from vllm_vigil.demo.script import LOADING, Act, Mood, Scene, only

READY = only(chat=Act(log="ready"), code=Act(log="ready"))
START = (Scene("start", 30, only(chat=LOADING, code=LOADING)), Scene("traffic", 300, READY))


def played(directory: Path, *scenes: Scene, scrape_seconds: float = NEVER) -> list[Moment]:
    """Every moment of a start and these scenes."""
    with Simulation(directory, (*START, *scenes), scrape_seconds=scrape_seconds) as simulation:
        return list(simulation.moments())


def news(moments: Iterable[Moment]) -> list[tuple[str, str]]:
    """What the pager was told, in order."""
    return [(each.reason.value, each.incident.rule) for moment in moments for each in moment.notifications]


def test_a_moment_is_what_the_sidecar_shows(tmp_path: Path) -> None:
    """Series of both servers, their GPUs and processes, and of the sidecar itself."""
    last = played(tmp_path, scrape_seconds=0)[-1]
    assert last.text is not None
    names = {name for name, _ in parse(last.text)}
    assert {
        *("llm_time_to_first_token_seconds_bucket", "llm_requests_running", "llm_engine_state", "gpu_power_watts"),
        *("gpu_process_memory_bytes", "llm_process_resident_memory_bytes", "llm_server_connections", "vigil_source_up"),
    } <= names
    assert {"healthy", "idle"} >= {engine.state.value for engine in last.engines}
    assert 3 == len(last.engines)
    assert BEGUN + 330 == last.at


def test_a_crash_is_told_once_and_resolved(tmp_path: Path) -> None:
    """From the log's lines through the outbox."""
    moments = played(
        tmp_path,
        Scene("", 120, only(code=Act(Mood.DOWN, 0, log="cuda_oom"))),
        Scene("", 60, only(code=LOADING)),
        Scene("", 900, READY),
    )
    assert [("first", "cuda_oom"), ("resolved", "cuda_oom")] == news(moments)


def test_a_hang_is_seen_while_health_says_200(tmp_path: Path) -> None:
    """One engine of two."""
    moments = played(tmp_path, Scene("", 180, only(chat=Act(Mood.HANGING, engine=1))), Scene("", 300))
    states = {(each.server, each.engine): each.state.value for each in moments[32].engines}
    assert "stalled" == states["chat", "1"]
    assert "stalled" != states["chat", "0"]
    assert [("first", "engine_stalled"), ("resolved", "engine_stalled")] == news(moments)


def _falls_off_the_bus(seconds: float, act: Act) -> Scene:
    """GPU 3, and what its server does meanwhile."""
    return Scene("", seconds, only(code=act), lost=frozenset({3}), xids=((3, 79),))


def test_an_xid_and_the_loss_of_its_gpu_are_told(tmp_path: Path) -> None:
    """Once, whichever is seen first: the engine's end follows from it, and it is over when GPU and server are back."""
    dies, dead, idle = Act(Mood.DOWN, 0, log="gpu_lost"), Act(Mood.DOWN, 0), Act(rate=0)
    back = (Scene("", 60, only(code=LOADING)), Scene("", 600, READY))
    both = played(tmp_path / "both", _falls_off_the_bus(300, dies), *back)
    engine = played(tmp_path / "engine", Scene("", 30, only(code=dies)), _falls_off_the_bus(300, dead), *back)
    later = replace(_falls_off_the_bus(90, dies), xids=())
    gpu = played(tmp_path / "gpu", _falls_off_the_bus(150, idle), later, *back)
    told = [("first", "cuda_error"), ("more", "gpu_lost"), ("resolved", "gpu_lost")]
    assert told == news(both) == news(engine)
    assert [("first", "gpu_lost"), ("resolved", "gpu_lost")] == news(gpu)
    for moments in (both, engine, gpu):
        assert 1 == len({each.incident.key for moment in moments for each in moment.notifications})
        assert {"code"} == {each.incident.server for moment in moments for each in moment.notifications}


def test_while_the_sidecar_is_down_nothing_is_seen(tmp_path: Path) -> None:
    """No page, no news; afterwards it goes on."""
    moments = played(tmp_path, Scene("", 60, watched=False), Scene("", 60), scrape_seconds=0)
    assert [None] * 4 == [moment.text for moment in moments[-8:-4]]
    assert None not in [moment.text for moment in moments[-4:]]


def test_a_page_gets_the_labels_of_its_target_and_a_time() -> None:
    """As a scrape would add them."""
    text = '# HELP a_total A.\n# TYPE a_total counter\na_total{b="c d"} 1.0\ne 2\n'
    target = 'instance="demo:9877",job="vllm-vigil"'
    assert f'a_total{{b="c d",{target}}} 1.0 5.000\ne{{{target}}} 2 5.000\n' == with_target(text, 5.0)


def test_days_are_days() -> None:
    """24 hours each; the first hours of one can be had alone."""
    for day in (ordinary_day(), BAD_DAY):
        assert pytest.approx(24 * HOUR) == sum(scene.seconds for scene in day)
    assert 2 * HOUR == sum(scene.seconds for scene in first(BAD_DAY, 2 * HOUR))


@pytest.mark.no_cover
def test_a_real_prometheus_answers_from_what_was_backfilled(tmp_path: Path) -> None:
    """Rates over the simulated time, with job and instance; and `up`."""
    scenes = (*START, Scene("traffic", 2 * HOUR))
    pages = backfill(tmp_path / "tsdb", Simulation(tmp_path / "work", scenes, step_seconds=60))
    (tmp_path / "prometheus.yml").write_text("global: {}\n")
    port = free_port()
    command = [
        *("prometheus", f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/tsdb"),
        *("--storage.tsdb.retention.time=100y", f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn"),
    ]
    process = subprocess.Popen(command)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
            until(60, "Prometheus is ready", lambda: ready(client))
            asked = 'sum by (server, job, instance) (rate(llm_generation_tokens_total{engine="0"}[10m]))'
            found = client.get("/api/v1/query", params={"query": asked, "time": BEGUN + HOUR}).json()["data"]["result"]
            count = 'count_over_time(up{job="vllm-vigil"}[3h])'
            ups = client.get("/api/v1/query", params={"query": count, "time": BEGUN + 3 * HOUR}).json()["data"][
                "result"
            ]
    finally:
        process.terminate()
        process.wait(30)
    assert {"chat", "code"} == {each["metric"]["server"] for each in found}, json.dumps(found)
    assert {("vllm-vigil", "demo:9877")} == {(each["metric"]["job"], each["metric"]["instance"]) for each in found}
    assert all(float(each["value"][1]) > 10 for each in found)
    assert str(pages) == ups[0]["value"][1]


def ready(client: httpx.Client) -> bool:
    """Whether a server says that it is."""
    try:
        return client.get("/-/ready").status_code == 200
    except httpx.HTTPError:
        return False
