"""Cases of tests/shipped/rules -> a unit test of promtool, and promtool's answer.

A case tells a story, gives the series, and says of alerts and records what comes of them:

    - case: ten requests wait at one server, twelve at another
      series:
        llm_requests_waiting{server="llama", model_name="m", engine="0"}: 12x20
      alerts:
        VllmQueueOver10:
          silent: [4m]                                   # not before its time
          at: 6m
          fires:
            - labels: {server: llama, model_name: m}
              summary: ...
              description: ...
      records:
        server_model:llm_requests_waiting:sum:
          at: 1m
          is: [{labels: {server: llama, model_name: m}, value: 12}]

What is the same everywhere is left out: each series is scraped by job vigil from gpu-1, each result carries these two
labels (a label of null is taken away), an alert its severity, component and links. promtool compares all of it.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from standins.promql import alerts_in, names

TARGET = {"job": "vigil", "instance": "gpu-1"}
_TEMPLATE = re.compile(r"{{ \$labels\.(\w+) }}")

Rule = dict[str, Any]
Case = dict[str, Any]


def rules_of(paths: Iterable[Path]) -> list[Rule]:
    """Every rule of some files."""
    return [rule for path in paths for group in yaml.safe_load(path.read_text())["groups"] for rule in group["rules"]]


def cases_of(path: Path) -> list[Case]:
    """The cases of a file."""
    cases: list[Case] = yaml.safe_load(path.read_text())
    return cases


def promtool(*arguments: str) -> str:
    """What promtool says; it must have nothing to complain of."""
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def try_case(case: Case, rules: list[Rule], directory: Path) -> None:
    """Let promtool try a case on the rules that it is about, and on those which these read: as they are shipped."""
    about = needed({*case.get("alerts", {}), *case.get("records", {})}, rules)
    write(directory / "rules.yml", {"groups": [{"name": "shipped", "rules": about}]})
    write(directory / "test.yml", unit_test(case, about))
    promtool("test", "rules", str(directory / "test.yml"))


def needed(wanted: set[str], rules: list[Rule]) -> list[Rule]:
    """The rules of these names and all that they are made from, in their order."""
    found: set[str] = set()
    alerts = {rule["alert"] for rule in rules if "alert" in rule}
    while wanted - found:
        found |= wanted
        read = [rule["expr"] for rule in rules if name_of(rule) in found]
        wanted = wanted.union(*(names(each) | alerts_in(each, alerts) for each in read))
    return [rule for rule in rules if name_of(rule) in found]


def name_of(rule: Rule) -> str:
    """An alert's or a record's."""
    return str(rule.get("alert") or rule["record"])


def write(path: Path, document: dict[str, Any]) -> None:
    """As JSON, which is YAML too and is written a hundred times as fast."""
    path.write_text(json.dumps(document, ensure_ascii=False))


def unit_test(case: Case, rules: Iterable[Rule]) -> dict[str, Any]:
    """What `promtool test rules` takes, beside a rules.yml."""
    alerts = {rule["alert"]: rule for rule in rules if "alert" in rule}
    interval = case.get("every", "1m")
    target = case.get("target", TARGET)
    test = {
        "name": case["case"],
        "interval": interval,
        "input_series": [
            {"series": _scraped(series, target), "values": _notation(values)}
            for series, values in case["series"].items()
        ],
        "alert_rule_test": [
            test for name, wanted in case.get("alerts", {}).items() for test in _alert_tests(alerts[name], wanted)
        ],
        "promql_expr_test": [
            test for name, wanted in case.get("records", {}).items() for test in _record_tests(name, wanted)
        ],
    }
    return {"rule_files": ["rules.yml"], "evaluation_interval": interval, "tests": [test]}


def _notation(values: object) -> str:
    """promtool's notation; without quotes YAML takes 0x20 for 32."""
    assert isinstance(values, str), f"put {values!r} into quotes"
    return values


def _scraped(series: str, target: Mapping[str, str]) -> str:
    """The series with the labels that Prometheus puts on it, unless it has its own."""
    name, _, labels = series.removesuffix("}").partition("{")
    own = [label for label in labels.split(", ") if label]
    added = [f'{label}="{value}"' for label, value in target.items() if not re.search(rf"\b{label}=", labels)]
    return f"{name}{{{', '.join(own + added)}}}"


def _alert_tests(rule: Rule, wanted: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for time in wanted.get("silent", ()):
        yield {"eval_time": time, "alertname": rule["alert"], "exp_alerts": []}
    if "at" in wanted:
        alerts = [alert_of(rule, alert) for alert in wanted["fires"]]
        yield {"eval_time": wanted["at"], "alertname": rule["alert"], "exp_alerts": alerts}


def alert_of(rule: Rule, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """An alert that fires, complete."""
    labels = _complete(wanted.get("labels", {}))
    links = {
        name: _TEMPLATE.sub(lambda found: labels.get(found[1], ""), rule["annotations"][name])
        for name in ("runbook_url", "dashboard_url")
    }
    words = {"summary": wanted["summary"], "description": wanted["description"]}
    return {"exp_labels": labels | rule["labels"], "exp_annotations": words | links}


def _record_tests(name: str, wanted: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    samples = [
        {"labels": _selector(_complete(sample.get("labels", {}))), "value": sample["value"]} for sample in wanted["is"]
    ]
    yield {"expr": f"round({name}, 0.0001)", "eval_time": wanted["at"], "exp_samples": samples}


def _complete(labels: Mapping[str, str | None]) -> dict[str, str]:
    return {name: value for name, value in (TARGET | dict(labels)).items() if value is not None}


def _selector(labels: Mapping[str, str]) -> str:
    return "{" + ", ".join(f'{name}="{value}"' for name, value in labels.items()) + "}"
