"""Moments of the simulation -> which alerts of the shipped rules fire, and when, as Prometheus itself evaluates them.

The samples of the series that the rules read become the input of a rule unit test, and promtool is asked at every step
what `ALERTS` holds: it runs the rules through hours of test time within seconds. A series that a page no longer has is
stale, as it is for a Prometheus that scrapes.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from standins.promql import names
from standins.promtool import Rule, write
from standins.simulation import BEGUN, INSTANCE, JOB, Moment

FIRING = 'count by (alertname, severity, server, model_name, engine, gpu, xid) (ALERTS{alertstate="firing"})'
_TARGET = f'instance="{INSTANCE}",job="{JOB}"'
_EPOCH = re.compile(r"(?:_timestamp_seconds|start_time_seconds)\b")
_BLOCK = re.compile(r'expr: "[^\n]*", time: (\S+),\n\s*exp:.*?\n?\s*got:(.*?)(?=\n\s*expr: "|\Z)', re.DOTALL)
_LABELS = re.compile(r"\{([^}]*)\} [\d.E+]+")
_PAIR = re.compile(r'(\w+)="([^"]*)"')
_STALE = "stale"


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert that fires, with the labels that say where; `severity` is its rule's."""

    name: str
    severity: str
    labels: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        where = ",".join(value for _, value in self.labels)
        return f"{self.name}({where})" if where else self.name


@dataclass(slots=True)
class Samples:
    """Series by name and labels, a value a step; absent steps are None."""

    wanted: frozenset[str]
    steps: int = 0
    series: dict[str, list[str]] = field(default_factory=dict)

    def add(self, moment: Moment) -> None:
        """One scrape."""
        seen = {f"up{{{_TARGET}}}": str(int(moment.text is not None))}
        for line in (moment.text or "").splitlines():
            name = line[: _end_of_name(line)]
            if name in self.wanted and not line.startswith("#"):
                head, _, value = line.rpartition(" ")
                seen[f"{head[:-1]},{_TARGET}}}" if head[-1] == "}" else f"{head}{{{_TARGET}}}"] = _since(name, value)
        for key in self.series.keys() - seen.keys():
            values = self.series[key]
            values.append("_" if values[-1] in (_STALE, "_") else _STALE)
        for key, value in seen.items():
            self.series.setdefault(key, ["_"] * self.steps).append(value)
        self.steps += 1


def firing(moments: Iterable[Moment], rules: Sequence[Rule], directory: Path, every_seconds: int) -> list[set[Alert]]:
    """Which alerts fire after each scrape; those are `every_seconds` apart."""
    read = frozenset(name for rule in rules for name in names(rule["expr"])) - {"up"}
    samples = Samples(read)
    for moment in moments:
        samples.add(moment)
    times = [step * every_seconds for step in range(samples.steps)]
    write(directory / "rules.yml", {"groups": [{"name": "shipped", "rules": list(rules)}]})
    write(directory / "test.yml", _test(samples, times, every_seconds))
    done = subprocess.run(
        ["promtool", "test", "rules", str(directory / "test.yml")],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
        env=os.environ
        | {"GOGC": "800"},  # its short life has memory enough: a quarter of the time went into collecting it
    )
    found = _read(done.stdout + done.stderr)
    assert found or done.returncode == 0, (done.stdout + done.stderr)[:2000]
    return [found.get(time, set()) for time in times]


def _test(samples: Samples, times: Sequence[int], every_seconds: int) -> dict[str, Any]:
    """A unit test that expects nothing to fire, so that promtool says what does."""
    return {
        "rule_files": ["rules.yml"],
        "evaluation_interval": f"{every_seconds}s",
        "tests": [
            {
                "interval": f"{every_seconds}s",
                "input_series": [
                    {"series": key, "values": _shortened(values)} for key, values in samples.series.items()
                ],
                "promql_expr_test": [{"expr": FIRING, "eval_time": f"{time}s", "exp_samples": []} for time in times],
            }
        ],
    }


def _shortened(values: Sequence[str]) -> str:
    """Values in the notation of promtool; repeated ones are told once, which halves the work of reading."""
    words: list[str] = []
    last, count = "", 0
    for value in (*values, ""):
        if value == last:
            count += 1
            continue
        if count:
            words.append(_word(last, count))
        last, count = value, 1
    return " ".join(words)


def _word(value: str, count: int) -> str:
    if count == 1:
        return value
    if value == "_":
        return f"_x{count}"
    return " ".join([value] * count) if value in (_STALE, "NaN", "+Inf", "-Inf") else f"{value}+0x{count - 1}"


def _read(output: str) -> dict[int, set[Alert]]:
    """What promtool has got, by seconds of test time."""
    found = {}
    for time, got in _BLOCK.findall(output):
        alerts = set()
        for pairs in _LABELS.findall(got):
            labels = dict(_PAIR.findall(pairs))
            where = tuple((name, labels[name]) for name in ("server", "engine", "gpu", "xid") if labels.get(name))
            alerts.add(Alert(labels["alertname"], labels.get("severity", ""), where))
        found[_seconds(time)] = alerts
    return found


def _seconds(duration: str) -> int:
    units = {"s": 1, "m": 60, "h": 3600, "d": 86400}
    return sum(int(count) * units[unit] for count, unit in re.findall(r"(\d+)([smhd])", duration))


def _since(name: str, value: str) -> str:
    """Times since the epoch become times of the test, which begins at 0."""
    return repr(float(value) - BEGUN) if _EPOCH.search(name) and float(value) > 0 else value


def _end_of_name(line: str) -> int:
    brace, space = line.find("{"), line.find(" ")
    return min(end for end in (brace, space, len(line)) if end >= 0)
