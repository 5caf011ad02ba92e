"""All shipped rules at once, on what real servers and recorded GPUs give: none fails, and an idle machine is quiet."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from standins.promtool import TARGET, promtool, write
from standins.shipped import ROOT
from standins.shipped_alerts import ALERTS
from vigil_rules.__main__ import FILES

DATA = ROOT / "tests" / "data"
GPUS = ("a10g", "a100x8-mig", "h100x8", "h200", "rtx3090x2", "gb10")
RAW = {"VllmTargetDown", "VllmRetiredNames"}
NORMAL = {"Watchdog", "GpuMemoryOver90Percent", "GpuPowerCapped"}
"""What a machine that works may fire: it is where it is meant to be."""


def engine_series(page: str, server: str) -> dict[str, str]:
    """What the sidecar makes of a page of vLLM, which stays as it is; all states that it knows are told."""
    found: dict[str, str] = {}
    for line in (DATA / "golden" / f"normalised-metrics-0.32.0-{page}.txt").read_text().splitlines():
        if match := re.fullmatch(r"(\w+)\{(.*)\} (\S+)", line):
            labels = re.sub(r"'((?:[^'\\]|\\.)*)'", r'"\1"', match[2]).replace('server="llama"', f'server="{server}"')
            found[target(match[1], labels)] = f"{match[3]}x40"
    for state in ("idle", "stalled", "dead", "unreachable", "spinning", "starting", "frozen_metrics"):
        labels = f'server="{server}", model_name="tiny", engine="0", state="{state}"'
        found[target("llm_engine_state", labels)] = f"{int(state == 'idle')}x40"
    return found | {target("vigil_source_up", f'source="vllm", server="{server}"'): "1x40"}


def gpu_series(machine: str) -> dict[str, str]:
    """What the sidecar makes of a recorded machine."""
    text = (DATA / "nvml" / f"{machine}.metrics").read_text()
    families = text_string_to_metric_families(re.sub(r"(?m) (stateset|info)$", " gauge", text))
    return {
        target(
            sample.name, ", ".join(f'{name}="{value}"' for name, value in sample.labels.items())
        ): f"{sample.value}x40"
        for family in families
        for sample in family.samples
    } | {target("vigil_source_up", 'source="nvml", server=""'): "1x40"}


def target(name: str, labels: str) -> str:
    """The series as it is scraped."""
    own = f"{labels}, " if labels else ""
    return f'{name}{{{own}job="{TARGET["job"]}", instance="{TARGET["instance"]}"}}'


def try_all(directory: Path, series: dict[str, str], quiet: set[str]) -> None:
    """Let promtool run every rule on the series; fails where a rule fails, or where a quiet alert fires."""
    test = {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "alert_rule_test": [{"eval_time": "35m", "alertname": name, "exp_alerts": []} for name in sorted(quiet)],
    }
    document = {"rule_files": [str(path) for path in FILES], "evaluation_interval": "5m", "tests": [test]}
    write(directory / "test.yml", document)
    promtool("test", "rules", str(directory / "test.yml"))


@pytest.mark.parametrize("machine", GPUS)
def test_an_idle_server_on_a_recorded_machine_is_quiet(machine: str, tmp_path: Path) -> None:
    """Two servers without requests, and GPUs as they were found: no alert but those of normal work."""
    series = engine_series("idle", "llama") | engine_series("idle", "other") | gpu_series(machine)
    try_all(tmp_path, series, {name for name in ALERTS if name not in NORMAL | RAW})


@pytest.mark.parametrize("page", ["busy-preempting", "after-load"])
def test_no_rule_fails_on_a_busy_page(page: str, tmp_path: Path) -> None:
    """A match of many to many would end the rule for all servers."""
    try_all(tmp_path, engine_series(page, "llama") | engine_series(page, "other") | gpu_series("h100x8"), set())
