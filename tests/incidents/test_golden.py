"""Every recorded log gives the incidents that a person reading it would name, and no others.

`PYTHONPATH=tests python tests/standins/log_replay.py` writes the golden files anew; read each beside its log.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from standins.log_replay import DATA, GOLDEN, events_of, golden_of, incidents_of, logs, records_of, replay

LOGS = logs()

NAMED = {  # what the reader of the file names
    "client-abort-and-validation-v0.32": [],
    "cuda-oom-serving-v0.19": ["cuda_oom"],
    "cuda-oom-serving-v0.6": ["cuda_oom"],
    "cuda-oom-startup-tp2-v0.11": ["cuda_oom"],
    "engine-iteration-timeout-v0.6": ["engine_dead"],
    "engine-killed-v0.32": ["engine_dead"],
    "engine-start-failed-v0.10.2": ["startup_failed"],
    "gpu-xid-journal": ["cuda_error", "cuda_error", "cuda_error", "gpu_lost"],
    "hang-shm-broadcast-rpc-timeout-v0.17": ["engine_stalled"],
    "host-oom-kill-journal": ["host_oom_kill", "host_oom_kill"],
    "http-4xx-503-rejections-v0.32": ["http_5xx"],
    "illegal-memory-access-v0.11": ["cuda_error"],
    "kv-cache-no-memory-startup-v0.32": ["kv_cache_too_small"],
    "kv-cache-too-small-v0.8": ["kv_cache_too_small"],
    "model-path-missing-v0.32": ["startup_failed"],
    "model-unsupported-architecture-v0.32": ["startup_failed"],
    "model-weights-missing-v0.32": ["startup_failed"],
    "mq-engine-rpc-timeout-v0.6": ["engine_dead"],
    "nccl-init-error-ray-v0.8": ["nccl_failure"],
    "nccl-watchdog-timeout-v0.10": ["nccl_failure"],
    "port-in-use-v0.32": ["startup_failed"],
    "preemption-and-aborts-v0.6": [],
    "shutdown-multi-api-server-v0.32": [],
    "shutdown-sigterm-inflight-v0.32": [],
    "structured-output-fsm-v0.22": [],
    "worker-killed-json-v0.32": ["worker_died"],
    "server-0.32.0-engine-killed": ["engine_dead"],
}


@pytest.mark.parametrize("log", LOGS, ids=[log.stem for log in LOGS])
def test_a_log_gives_its_incidents(log: Path) -> None:
    """Rule, severity, title, count, labels and times are those of the golden file."""
    assert (GOLDEN / f"{log.stem}.json").read_text(encoding="utf-8") == golden_of(log)
    assert NAMED[log.stem] == [incident.rule for incident in replay(log)]


def test_every_log_is_named() -> None:
    """No sample is without a verdict, and no golden without a sample."""
    assert NAMED.keys() == {log.stem for log in LOGS}
    assert NAMED.keys() == {path.stem for path in GOLDEN.glob("*.json")}


def as_json(log: Path) -> bytes:
    """The same records as vLLM's JSON format writes them."""
    lines = []
    for record in records_of(log.read_bytes(), log.name):
        if record.level:
            body = {"levelname": record.level, "message": record.message, "process": record.pid}
            body |= {"vllm_process_name": record.process} | ({"exc_info": record.traceback} if record.traceback else {})
            body |= {"timestamp": f"{record.at:.3f}"} if record.at is not None else {}
            lines.append(json.dumps(body))
        else:  # raw text stays raw between JSON records
            lines += [record.message, *record.traceback.split("\n")] if record.traceback else [record.message]
    return "\n".join(lines).encode() + b"\n"


@pytest.mark.parametrize("log", [log for log in LOGS if "journal" not in log.stem], ids=lambda log: log.stem)
def test_the_same_crash_in_json_gives_the_same_incidents(log: Path) -> None:
    """Rule and count do not depend on the format."""
    plain = [(incident.rule, incident.count) for incident in replay(log)]
    written = incidents_of(events_of(records_of(as_json(log))))
    assert plain == [(incident.rule, incident.count) for incident in written]


def test_an_hour_of_ordinary_log_gives_nothing() -> None:
    """Requests, statistics, clients' mistakes and the server's own warnings are no incident."""
    capture = (DATA / "captures" / "server-0.32.0-engine-killed.log").read_bytes()
    ordinary, _, _ = capture.partition(b"(Worker pid=11442) INFO 11-21 02:37:56")
    assert [] == incidents_of(events_of(records_of(ordinary)))
    hour = b"".join(
        ordinary[-8000:].partition(b"\n")[2].replace(b"11-21 02:36", f"11-21 03:{minute:02}".encode())
        for minute in range(60)
    )
    assert [] == incidents_of(events_of(records_of(hour)))
