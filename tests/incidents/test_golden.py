"""Every recorded log gives the incidents that a person reading it would name, and no others.

`PYTHONPATH=tests python tests/standins/log_replay.py` writes the golden files anew; read each beside its log.
"""

# ruff: noqa: E501  # a reason is one sentence

from __future__ import annotations

import json
from pathlib import Path

import pytest

from standins.log_replay import DATA, GOLDEN, events_of, golden_of, incidents_of, logs, records_of, replay

LOGS = logs()

NAMED: dict[str, tuple[list[str], str]] = {  # what the reader of each file names, and why
    "client-abort-and-validation-v0.32": (
        [],
        "clients hang up and send nonsense; every ERROR is a refusal of theirs, and nothing of the server's fails",
    ),
    "cuda-oom-serving-v0.19": (
        ["cuda_oom"],
        "one allocation of 2.32 GiB fails in the engine while it serves; the dumps before and the EngineDeadErrors after are its shadow",
    ),
    "cuda-oom-serving-v0.6": (
        ["cuda_oom"],
        "the same on V0: OutOfMemoryError in the engine process, after which the server ends itself",
    ),
    "cuda-oom-startup-tp2-v0.11": (
        ["cuda_oom"],
        "worker TP1 runs out of GPU memory while it is profiled; the engine's and the server's tracebacks re-raise that",
    ),
    "engine-iteration-timeout-v0.6": (
        ["engine_dead"],
        "a step took more than a minute and V0 gave up its loop: the engine is dead, and the log tells no better cause",
    ),
    "engine-killed-v0.32": (
        ["engine_dead"],
        "the engine process is gone without an exception of its own; who killed it is not in this log",
    ),
    "engine-start-failed-v0.10.2": (
        ["startup_failed"],
        "the build lacks an operator, so the engine never starts; said by the record, the child's traceback and the server's",
    ),
    "gpu-xid-dmesg": (
        ["cuda_error", "gpu_xid"],
        "programs that are not vLLM write to wrong addresses (13), one channel is stopped (43): two warnings, no page",
    ),
    "gpu-xid-journal": (
        ["cuda_error", "cuda_error", "cuda_error", "gpu_lost"],
        "three faults of GPU 65 ten minutes apart (31, 13, 48 with 94), then another GPU falls off the bus and takes its worker along",
    ),
    "hang-shm-broadcast-rpc-timeout-v0.17": (
        ["engine_stalled"],
        "four minutes of waiting for workers, then the RPC times out: the hang is the cause and the death its end",
    ),
    "host-oom-kill-journal": (
        ["host_oom_kill", "host_oom_kill"],
        "the kernel kills the engine at 03:05 and a whole server at 04:12: two crashes, an hour apart",
    ),
    "http-4xx-503-rejections-v0.32": (
        ["http_5xx"],
        "nothing is broken, but clients are turned away with 503 by the dozen, which someone should see",
    ),
    "illegal-memory-access-v0.11": (
        ["cuda_error"],
        "a kernel in worker TP1 touched memory that is not its own; watchdog, worker death and engine death follow",
    ),
    "kv-cache-no-memory-startup-v0.32": (
        ["kv_cache_too_small"],
        "nothing is left for the KV cache at start: one ValueError, told three times",
    ),
    "kv-cache-too-small-v0.8": (
        ["kv_cache_too_small"],
        "the longest sequence needs 16.00 GiB and 9.97 are there: one ValueError, told three times",
    ),
    "model-path-missing-v0.32": (
        ["startup_failed"],
        "the path is not there, so it is taken for a repository's name and refused",
    ),
    "model-unsupported-architecture-v0.32": (
        ["startup_failed"],
        "config.json names an architecture that this vLLM does not know",
    ),
    "model-weights-missing-v0.32": (
        ["startup_failed"],
        "the folder holds no weights: worker, engine and server each say so",
    ),
    "mq-engine-rpc-timeout-v0.6": (
        ["engine_dead"],
        "V0's engine process did not answer for ten seconds and is given up; one timeout is what led there",
    ),
    "nccl-init-error-ray-v0.8": (
        ["nccl_failure"],
        "the nodes cannot set NCCL up: the Ray worker's error is the first, the engine's failed start its consequence",
    ),
    "nccl-watchdog-timeout-v0.10": (
        ["nccl_failure"],
        "an ALLREDUCE hung for ten minutes and the watchdog tore rank 1 down; all else is consequence",
    ),
    "port-in-use-v0.32": (
        ["startup_failed"],
        "the port is taken; the orderly stop that follows is that of a server that never listened",
    ),
    "preemption-and-aborts-v0.6": (
        [],
        "busy, not broken: preemptions, a long queue, clients that leave, one prompt that is too long",
    ),
    "shutdown-multi-api-server-v0.32": (
        [],
        "somebody stopped it; the forced kills are how it stops with a limit of 0 s",
    ),
    "shutdown-sigterm-inflight-v0.32": (
        [],
        "somebody stopped it with a stream open; the one that was cut off is expected",
    ),
    "structured-output-fsm-v0.22": (
        [],
        "three requests in a minute end in 500 because their grammar and the tokens disagree: below any burst",
    ),
    "worker-killed-json-v0.32": (
        ["worker_died"],
        "the worker was killed (-9), which the engine's record names first; the engine's death follows from it",
    ),
    "server-0.32.0-engine-killed": (
        ["engine_dead"],
        "a whole life from start to a killed engine process, with nothing before the kill but requests",
    ),
}


@pytest.mark.parametrize("log", LOGS, ids=[log.stem for log in LOGS])
def test_a_log_gives_its_incidents(log: Path) -> None:
    """Rule, severity, title, count, labels and times are those of the golden file."""
    assert (GOLDEN / f"{log.stem}.json").read_text(encoding="utf-8") == golden_of(log)
    assert NAMED[log.stem][0] == [incident.rule for incident in replay(log)]


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
