"""The facts as one document."""

from __future__ import annotations

import json

from standins.scenes import incident, night, quiet, series, snapshot_of
from standins.sidecar import NOW, StandInSidecar
from vllm_vigil import __version__
from vllm_vigil.exposition.figures import GpuFigures, ServerFigures, gpu_figures, server_figures
from vllm_vigil.exposition.status import NAMED_FAMILIES, Config, File, Source, observe
from vllm_vigil.model import Point, Silence, Snapshot, labels

SCHEMA = {
    "version": {},
    "at": {},
    "started": {},
    "uptime_seconds": {},
    "headline": {"serving", "text", "why", "since", "troubled"},
    "config": {"path", "reloaded", "successful", "error"},
    "incidents": {"open", "resolved"},
    "engines": {"server", "engine", "model_name", "state", "serving", "since", "reasons"},
    "servers": {"server", "requests_running", "requests_waiting", "kv_cache_usage_ratio"},
    "gpus": {
        "gpu",
        "uuid",
        "name",
        "utilization_ratio",
        "memory_used_bytes",
        "memory_total_bytes",
        "temperature_celsius",
        "power_watts",
    },
    "sources": {
        "source",
        "server",
        "up",
        "error",
        "age_seconds",
        "duration_seconds",
        "facts",
        "unknown_families",
        "blank",
    },
    "files": {"file", "server", "readable", "lag_bytes"},
    "channels": {"name", "pending", "oldest_seconds"},
    "silences": {"id", "match", "begins", "ends", "author", "comment"},
}
TROUBLE = {
    "key",
    "rule",
    "server",
    "severity",
    "title",
    "opened",
    "updated",
    "resolved",
    "count",
    "labels",
    "evidence",
    "fix",
    "advice",
    "runbook",
}


def test_the_document_keeps_its_fields() -> None:
    """Scripts rely on these names: a change here needs a CHANGELOG entry."""
    body = json.loads(json.dumps(observe(night()).to_json(), allow_nan=False))
    assert set(SCHEMA) == set(body)
    for name, fields in SCHEMA.items():
        entry = body[name][0] if isinstance(body[name], list) else body[name]
        assert set(fields) == (set(entry) if isinstance(entry, dict) else set())
    for trouble in (body["incidents"]["open"][0], body["incidents"]["resolved"][0]):
        assert trouble.keys() == TROUBLE


def test_the_document_says_what_the_sidecar_says() -> None:
    """Version, times, and an incident with what to do about it."""
    status = observe(night())
    assert (__version__, NOW, 7500.0) == (status.version, status.at, status.uptime_seconds)
    (trouble,) = status.open
    assert ("cuda_oom", "critical", {"gpu": "0", "phase": "serving"}, "Look at the runbook of cuda_oom.") == (
        trouble.rule,
        trouble.severity,
        trouble.labels,
        trouble.advice,
    )


def test_a_sidecar_that_knows_nothing_yet_has_a_document_too() -> None:
    """Before the first tick everything is empty or null, and nothing is 0."""
    status = observe(StandInSidecar())
    assert (ServerFigures("llama", None, None, None),) == status.servers
    assert () == status.gpus
    assert status.headline.serving is None


def test_texts_of_others_are_masked() -> None:
    """No secret and no escape code of a log, a label, an error or a file name gets out."""
    secret = "hf_abcdefghijklmnop"
    hostile = f"\x1b[31m{secret}\u202e"
    sidecar = quiet()
    sidecar.open = (incident(title=hostile, evidence=(hostile,), labels=labels(phase=hostile)),)
    sidecar.source_facts = (Source("vllm", "llama", up=False, error=hostile, facts={"version": hostile}),)
    sidecar.file_facts = (File(f"/var/log/{hostile}", "llama", readable=True),)
    sidecar.config_facts = Config(None, NOW, successful=False, error=hostile)
    sidecar.silence_facts = (Silence(1, (("server", hostile),), NOW, NOW + 60, hostile, hostile),)
    text = json.dumps(observe(sidecar).to_json())
    for hidden in (secret, "\\u001b", "\\u202e"):
        assert hidden not in text


def test_requests_are_summed_and_the_fullest_cache_speaks() -> None:
    """Over the engines of one server, leaving other servers out."""
    points = [
        Point(labels(server=server, engine=engine), value)
        for server, engine, value in (("a", "0", 0.5), ("a", "1", 0.25), ("b", "0", 9.0))
    ]
    names = ("llm_requests_running", "llm_requests_waiting", "llm_kv_cache_usage_ratio")
    snapshot = snapshot_of(*(series(name, *points) for name in names))
    assert ServerFigures("a", 0.75, 0.75, 0.5) == server_figures(snapshot, "a")


def test_gpus_come_by_number_with_what_is_known_of_them() -> None:
    """GPU 10 after GPU 2; what NVML does not say is None; the memory's temperature is not the GPU's."""
    snapshot = snapshot_of(
        series("gpu_info", *(Point(labels(gpu=gpu, uuid=f"u{gpu}", name="H100"), 1.0) for gpu in ("10", "2"))),
        series(
            "gpu_temperature_celsius",
            Point(labels(gpu="2", sensor="memory"), 90.0),
            Point(labels(gpu="10", sensor="gpu"), 60.0),
        ),
        series("gpu_power_watts", Point(labels(gpu="2"), float("nan"))),
    )
    assert (
        GpuFigures("2", "u2", "H100", None, None, None, None, None),
        GpuFigures("10", "u10", "H100", None, None, None, 60.0, None),
    ) == gpu_figures(snapshot)
    assert () == gpu_figures(Snapshot())


def test_unknown_families_are_named_up_to_a_bound() -> None:
    """A page of ten thousand strange names does not become the status."""
    sidecar = quiet()
    strange = tuple(f"family_{number:05}" for number in range(10_000))
    sidecar.source_facts = (
        Source("vllm", "llama", up=True, unknown_families=strange, blank={"llm_x": "no traffic yet"}),
    )
    (source,) = observe(sidecar).sources
    assert strange[:NAMED_FAMILIES] == source.unknown_families
    assert {"llm_x": "no traffic yet"} == source.blank
