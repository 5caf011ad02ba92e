"""alert_rules/raw/: vLLM's own page, in whatever spelling, becomes the series that the sidecar makes of it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from standins.promtool import promtool, rules_of, write
from standins.shipped import ROOT
from vigil_rules.__main__ import FILES, LAYER
from vigil_rules.raw_vllm import WANTED
from vigil_rules.reach import Shape, known_from, silent
from vllm_vigil.series.spec import Kind
from vllm_vigil.series.vllm import VLLM_ROWS

PAGES = ("idle", "busy-preempting", "after-load")
DATA = ROOT / "tests" / "data"
GIVEN = {rule["record"] for rule in rules_of(LAYER[:1])}
ROWS = {row.spec.name: row for row in VLLM_ROWS if row.spec.name in WANTED}

Sample = tuple[str, dict[str, str], float]


def samples(text: str) -> list[Sample]:
    """Every sample of a page."""
    families = text_string_to_metric_families(text)
    return [(sample.name, sample.labels, sample.value) for family in families for sample in family.samples]


def golden(page: str) -> list[Sample]:
    """What the sidecar makes of a page."""
    lines = (DATA / "golden" / f"normalised-metrics-0.32.0-{page}.txt").read_text().splitlines()
    found = [re.fullmatch(r"(\w+)\{(.*)\} (\S+)", line) for line in lines]
    return [
        (match[1], dict(re.findall(r"(\w+)='((?:[^'\\]|\\.)*)'", match[2])), float(match[3]))
        for match in found
        if match
    ]


def series(name: str, labels: dict[str, str]) -> str:
    """As promtool writes it."""
    return f"{name}{{{', '.join(f'{label}={quoted(value)}' for label, value in sorted(labels.items()))}}}"


def quoted(value: str) -> str:
    """A label's value."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def try_layer(directory: Path, given: list[Sample], wanted: dict[str, list[Sample]]) -> None:
    """Let promtool record these samples, and compare all that come of them under the wanted names."""
    write(
        directory / "test.yml",
        {
            "rule_files": [str(LAYER[0])],
            "evaluation_interval": "1m",
            "tests": [
                {
                    "interval": "1m",
                    "input_series": [
                        {"series": series(name, labels), "values": f"{value!r}x5"} for name, labels, value in given
                    ],
                    "promql_expr_test": [expectation(name, found) for name, found in sorted(wanted.items())],
                }
            ],
        },
    )
    promtool("test", "rules", str(directory / "test.yml"))


def expectation(name: str, wanted: list[Sample]) -> dict[str, Any]:
    """All samples of a name, exactly."""
    samples = [{"labels": series(name, labels), "value": value} for _, labels, value in wanted]
    return {"expr": name, "eval_time": "2m", "exp_samples": samples}


@pytest.mark.parametrize("page", PAGES)
def test_a_captured_page_becomes_what_the_sidecar_makes_of_it(page: str, tmp_path: Path) -> None:
    """Sample by sample, buckets too; only job, instance and server are the raw site's."""
    text = (DATA / "captures" / f"metrics-0.32.0-{page}.txt").read_text()
    target = {"job": "vllm", "instance": "gpu-1:8000"}
    given = [("up", target, 1.0), *((name, labels | target, value) for name, labels, value in samples(text))]
    here = {"job": "raw", "instance": "gpu-1", "server": "gpu-1:8000"}
    wanted: dict[str, list[Sample]] = {}
    for name, labels, value in golden(page):
        if name in GIVEN - {"llm_engine_info", "llm_engine_state"}:
            wanted.setdefault(name, []).append((name, labels | here, value))
    assert len(wanted) > 20
    try_layer(tmp_path, given, wanted)


@pytest.mark.parametrize("name", ROWS)
def test_every_spelling_becomes_the_same_series(name: str, tmp_path: Path) -> None:
    """vLLM's of all releases, Ray's of two ages with its replicas, NIM's; with and without the label of the engine."""
    row = ROWS[name]
    end = "_count" if row.spec.kind is Kind.HISTOGRAM else ""
    known = {old for old, _ in row.renamed}
    labels = {label: "x" for label in row.spec.labels if label not in {"server", "engine", *dict(row.renamed).values()}}
    labels |= dict.fromkeys(known, "x")
    given: list[Sample] = []
    wanted: list[Sample] = []
    for number, spelling in enumerate(spellings(name, end)):
        instance = f"host-{number}:8000"
        ray = {"ReplicaId": "r1"} if spelling.startswith("ray_") else {}
        engine = {"engine": "1"} if number % 2 and "engine" in row.spec.labels else {}
        given.append((spelling, labels | engine | ray | {"instance": instance, "job": "vllm"}, 7.0))
        server = f"{instance}/r1" if ray else instance
        kept = dict.fromkeys(row.spec.labels, "x") | {"server": server}
        if "engine" in row.spec.labels:
            kept["engine"] = engine.get("engine", "0")
        wanted.append((name + end, kept | {"instance": f"host-{number}", "job": "raw"}, 7.0))
    try_layer(tmp_path, given, {name + end: wanted})


def spellings(name: str, end: str) -> list[str]:
    """By the sidecar's own table."""
    names = [f"{upstream.name}{end}" for upstream in ROWS[name].upstream]
    bare = [each.removeprefix("vllm:") for each in names]
    ray = [f"ray_vllm{mark}{each}" for each in bare for mark in "_:"]
    return list(dict.fromkeys((*names, *ray, *bare)))


def test_without_the_sidecar_everything_about_serving_still_alerts() -> None:
    """Objectives, latency, queue and KV cache need nothing that only the sidecar knows, but for vLLM's release."""
    known = known_from(rules_of(LAYER)) | {"up": [Shape()]}
    of_serving = {path.stem: rules_of([path]) for path in FILES if path.stem in {"slo", "latency", "queue-kv"}}
    mute = set(silent(rules_of(FILES), known))
    assert [rule["alert"] for rules in of_serving.values() for rule in rules if rule.get("alert") in mute] == [
        "VllmVersionDrift"
    ]
