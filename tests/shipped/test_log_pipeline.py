"""promtail/: the shipped pipeline, run over vLLM's own logs: a record is one entry, no error is lost, labels stay few.

The stages are read from config.alloy itself and run by tests/standins/log_stages.py, in RE2 and JMESPath. Grafana's own
programs cannot be had where the tests run: what stays unproven is that they read the files as this does.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from standins import log_stages
from standins.alloy import Block, Call, Reference, parse
from standins.log_stages import Entry
from standins.shipped import ROOT

SAMPLES = sorted(Path(__file__).parents[1].glob("data/samples/*-v0*.log"))
PROMTAIL = yaml.safe_load((ROOT / "promtail" / "promtail-config.yaml").read_text())
GRAVE = re.compile(
    r'^(?:\([^()]+\) )?(?:(?:ERROR|CRITICAL) |Traceback \(|[\w.]*Error: |\[rank\d\]:\[E)|"levelname": "ERROR"'
)
LEVELS = {"debug", "info", "warning", "error", "critical"}
# Components and their arguments as the Alloy reference (1.12) names them: a misspelt one stops Alloy at its start.
COMPONENTS = {
    "endpoint": {"url"},
    "local.file_match": {"path_targets"},
    "loki.process": {"forward_to"},
    "loki.relabel": {"forward_to"},
    "loki.source.file": {"targets", "forward_to"},
    "loki.source.journal": {"forward_to", "labels", "matches", "relabel_rules"},
    "loki.write": set(),
    "rule": {"source_labels", "target_label", "regex", "replacement"},
    "stage.decolorize": set(),
    "stage.drop": {"source", "separator", "expression", "drop_counter_reason"},
    "stage.json": {"expressions"},
    "stage.label_drop": {"values"},
    "stage.labels": {"values"},
    "stage.match": {"selector", "action", "drop_counter_reason"},
    "stage.multiline": {"firstline", "max_lines", "max_wait_time"},
    "stage.regex": {"expression"},
    "stage.replace": {"expression", "replace"},
    "stage.sampling": {"rate", "drop_counter_reason"},
    "stage.static_labels": {"values"},
    "stage.structured_metadata": {"values"},
    "stage.template": {"source", "template"},
    "stage.timestamp": {"source", "format", "fallback_formats", "location", "action_on_failure"},
}


def alloy(*names: str) -> list[Block]:
    """The components of those files, as Alloy reads a folder: one namespace."""
    return [block for name in names for block in parse((ROOT / "promtail" / name).read_text()).blocks]


def stages(component: str) -> list[dict[str, Any]]:
    """The stages of a loki.process, in Promtail's form."""
    (block,) = (block for block in alloy("config.alloy") if (block.name, block.label) == ("loki.process", component))
    return [_stage(inner) for inner in block.blocks]


def _stage(block: Block) -> dict[str, Any]:
    name = block.name.removeprefix("stage.").replace("label_drop", "labeldrop")
    options: Any = {
        key: value.arguments[-1] if isinstance(value, Call) else value for key, value in block.attributes.items()
    }
    if set(options) == {"values"}:
        options = options["values"]
    if block.blocks:
        options["stages"] = [_stage(inner) for inner in block.blocks]
    return {name: options}


def shipped(*lines: str, seed: int = 0) -> list[Entry]:
    """What reaches Loki of vLLM's lines."""
    return log_stages.run(stages("vllm"), lines, {"job": "vllm", "server": "llama"}, seed)


def of_sample(path: Path) -> list[Entry]:
    """What reaches Loki of a log file."""
    return shipped(*path.read_bytes().decode().split("\n"))


def test_alloy_reads_nothing_that_its_reference_does_not_name() -> None:
    """Each component, block and argument; each reference leads to a component that is there."""

    def walk(block: Block) -> None:
        assert set(block.attributes) <= COMPONENTS[block.name], block.name
        for inner in block.blocks:
            walk(inner)

    components = alloy("config.alloy", "journal.alloy")
    for block in components:
        walk(block)
    names = {f"{block.name}.{block.label}" for block in components}
    assert len(names) == len(components)
    used = re.findall(r"Reference\(name='([^']+)\.\w+'\)", repr(components))
    assert used
    assert set(used) <= names


def test_alloy_syntax_is_held_strictly() -> None:
    """The reader refuses what Alloy refuses."""
    for wrong in ('a "b" {', "a = [1\n]", 'a = "\\"', "a = {b: 1}", "a = 1 b = 2", "a = 1\na = 2"):
        with pytest.raises(SyntaxError):
            parse(wrong)
    assert parse("a = [\n1,\n]\nb = x.y").attributes == {"a": [1], "b": Reference("x.y")}


@pytest.mark.parametrize(("job", "component"), [("vllm", "vllm"), ("vllm-vigil", "vigil")])
def test_promtail_has_the_stages_of_alloy(job: str, component: str) -> None:
    """The legacy file cannot fall behind: the same stages with the same options in the same order."""
    (config,) = (config for config in PROMTAIL["scrape_configs"] if config["job_name"] == job)
    assert stages(component) == config["pipeline_stages"]


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_no_error_of_a_log_is_lost(path: Path) -> None:
    """Each line that is no ordinary access line is in an entry, and each ERROR or CRITICAL is in one of that level."""
    entries = of_sample(path)
    grave = "\n".join(entry.line for entry in entries if entry.labels.get("level") in {"error", "critical"})
    for line in re.sub(r"\x1b\[[0-9;]*m|\r", "", path.read_bytes().decode()).split("\n"):
        text = re.sub(r"^(?:\([^()]+\) )?(?:[A-Z]+ \d\d-\d\d \d\d:\d\d:\d\d \[?[^\]]+\] ?)?", "", line).strip()
        if GRAVE.search(line):
            assert text in grave, line
        elif " 200 OK" not in line and '\\" 200"' not in line:
            assert any(text in entry.line for entry in entries), line


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_labels_stay_few(path: Path) -> None:
    """Four names, and closed sets of values; ids are metadata."""
    for entry in of_sample(path):
        assert set(entry.labels) <= {"job", "server", "level"}, entry
        assert entry.labels.get("level", "info") in LEVELS, entry
        assert set(entry.metadata) <= {"process", "pid", "request_id", "status"}, entry


def test_a_record_over_many_lines_is_one_entry_and_the_prefix_stands_once() -> None:
    """vLLM repeats it on every line; two workers that write at once stay apart."""
    entries = of_sample(ROOT / "tests/data/samples/illegal-memory-access-v0.11.log")
    first = next(entry for entry in entries if entry.metadata.get("process") == "Worker_TP1")
    lines = first.line.split("\n")
    assert lines[0] == (
        "(Worker_TP1 pid=1204) ERROR 11-03 23:14:03 [multiproc_executor.py:815] WorkerProc hit an exception."
    )
    assert lines[1] == "  Traceback (most recent call last):"
    assert any(line.startswith("  torch.AcceleratorError: CUDA error: an illegal memory access") for line in lines)
    assert "pid=" not in "".join(lines[1:])
    assert first.labels == {"job": "vllm", "server": "llama", "level": "error"}
    assert first.metadata["pid"] == "1204"


def test_lines_of_two_processes_that_alternate_are_joined_by_process() -> None:
    """The label `writer` keeps them apart and is gone afterwards."""
    prefix = "(Worker_TP{0} pid=1{0}) ERROR 11-03 23:14:03 [x.py:1] "
    lines = [
        prefix.format(rank) + text
        for text in ("Broken", "Traceback (most recent call last):", "OSError: no")
        for rank in (0, 1)
    ]
    entries = shipped(*lines)
    assert [2, 2] == [entry.line.count("\n") for entry in entries]
    assert {"Worker_TP0", "Worker_TP1"} == {entry.metadata["process"] for entry in entries}


def test_a_bare_traceback_is_an_error_of_its_own_and_access_lines_do_not_cut_it() -> None:
    """Since 0.31 uncaught tracebacks have no prefix, and uvicorn writes between their lines."""
    (before, traceback) = shipped(
        "(APIServer pid=7) INFO 11-21 03:05:31 [serve.py:1] Serving",
        "Traceback (most recent call last):",
        '  File "/opt/vllm/bin/vllm", line 8, in <module>',
        'INFO:     127.0.0.1:1 - "GET /health HTTP/1.1" 200 OK',
        "    sys.exit(main())",
        "",
        "RuntimeError: Engine core initialization failed. See root cause above.",
    )
    assert before.labels["level"] == "info"
    assert traceback.labels["level"] == "error"
    assert traceback.line.split("\n")[-1] == "  RuntimeError: Engine core initialization failed. See root cause above."


ACCESS = 'INFO:     10.0.0.9:52000 - "{} HTTP/1.1" {}'
JSON_ACCESS = {"levelname": "INFO", "name": "uvicorn.access", "vllm_process_name": "APIServer", "process": 7}


def as_json(request: str, code: str, **more: str) -> str:
    """The same access line in vLLM's JSON."""
    return json.dumps(JSON_ACCESS | {"message": f'10.0.0.9:52000 - "{request} HTTP/1.1" {code}'} | more)


@pytest.mark.parametrize(
    "line",
    [
        ACCESS.format("GET /health", "200 OK"),
        "(APIServer pid=1) " + ACCESS.format("GET /metrics", "200 OK"),
        as_json("GET /health", "200"),
        as_json("GET /v1/models?x=1", "200"),
    ],
)
def test_a_probe_that_went_well_is_dropped(line: str) -> None:
    """In every format."""
    assert shipped(*[line] * 50) == []


@pytest.mark.parametrize(
    "line",
    [ACCESS.format("POST /v1/chat/completions", "200 OK"), as_json("POST /v1/chat/completions", "200")],
)
def test_of_ordinary_requests_one_in_ten_is_kept(line: str) -> None:
    """Of a thousand about a hundred."""
    assert 60 < len(shipped(*[line] * 1000)) < 140


@pytest.mark.parametrize(
    "line",
    [
        ACCESS.format("GET /health", "503 Service Unavailable"),
        ACCESS.format("POST /v1/chat/completions", "500 Internal Server Error"),
        ACCESS.format("POST /v1/chat/completions", "404 Not Found"),
        ACCESS.format("POST /v1/chat/completions", "200 OK 31.702s"),
        as_json("GET /health", "503"),
        as_json("POST /v1/completions", "400"),
        as_json("POST /v1/completions", "200", duration="31.7"),
    ],
)
def test_failed_requests_and_those_with_a_duration_are_always_kept(line: str) -> None:
    """With the status as metadata."""
    entries = shipped(*[line] * 50)
    assert len(entries) == 50
    assert {entry.metadata["status"] for entry in entries} == {re.findall(r'" (\d{3})', line)[0]}


def test_plain_and_json_records_are_read_alike() -> None:
    """Level, process, pid, request id and the time in it."""
    plain = "(EngineCore pid=9) ERROR 06-13 10:01:02 [scheduler.py:1423] Request chatcmpl-00aa-bb11 failed"
    record = {
        "asctime": "2026-06-13 10:01:02,395",
        "levelname": "ERROR",
        "name": "vllm.v1",
        "process": 9,
        "message": "Request chatcmpl-00aa-bb11 failed",
        "vllm_process_name": "EngineCore",
    }
    first, second = shipped(plain, json.dumps(record))
    assert (
        {"process": "EngineCore", "pid": "9", "request_id": "chatcmpl-00aa-bb11"} == first.metadata == second.metadata
    )
    assert first.labels["level"] == second.labels["level"] == "error"
    assert "2026-06-13T10:01:02+00:00" == first.time.isoformat()
    assert "2026-06-13T10:01:02.395000+00:00" == second.time.isoformat()


def test_a_progress_bar_and_a_watchdog_block_are_one_entry_each() -> None:
    """Carriage returns keep what was shown last; C++ lines join their frames."""
    bar, watchdog = shipped(
        "Loading shards:   0% Completed\rLoading shards: 100% Completed\r",
        "[rank1]:[E918 06:41:27.512047193 ProcessGroupNCCL.cpp:685] [Rank 1] Watchdog caught a timeout",
        "Exception raised from checkTimeout at ProcessGroupNCCL.cpp:1",
        "frame #0: c10::Error::Error",
    )
    assert bar.line == "Loading shards: 100% Completed"
    assert watchdog.labels["level"] == "error"
    assert watchdog.line.count("\n") == 2


def test_the_sidecars_own_log_is_read_as_it_writes_it() -> None:
    """One JSON object a line, with a zone in its time."""
    line = (
        '{"time": "2026-11-26T10:54:38.002+00:00", "level": "warning", "logger": "vllm_vigil.app.life", "message": "x"}'
    )
    (entry,) = log_stages.run(stages("vigil"), [line], {"job": "vllm-vigil", "server": "llama"})
    assert entry.labels == {"job": "vllm-vigil", "server": "llama", "level": "warning"}
    assert entry.metadata == {"logger": "vllm_vigil.app.life"}
    assert entry.time.isoformat() == "2026-11-26T10:54:38.002000+00:00"


def test_loki_keeps_structured_metadata_deletes_what_is_old_and_calls_nobody() -> None:
    """Each of these settings is the usual one to forget."""
    loki = yaml.safe_load((ROOT / "promtail" / "loki-config.yaml").read_text())
    (schema,) = loki["schema_config"]["configs"]
    assert (schema["store"], schema["schema"], schema["index"]["period"]) == ("tsdb", "v13", "24h")
    assert loki["limits_config"]["allow_structured_metadata"]
    assert loki["limits_config"]["retention_period"] == "30d"
    assert loki["compactor"]["retention_enabled"]
    assert loki["compactor"]["delete_request_store"] == schema["object_store"] == "filesystem"
    assert loki["analytics"] == {"reporting_enabled": False}


def test_the_samples_shrink_to_what_a_person_reads() -> None:
    """What the pipeline is for: hundreds of lines become entries, most of them whole records."""
    counts = Counter[str]()
    for path in SAMPLES:
        counts["lines"] += path.read_bytes().count(b"\n")
        counts["entries"] += len(of_sample(path))
    assert counts["lines"] > 2 * counts["entries"] > 0
