"""docs/fleet.md and deploy/fleet/: Prometheus takes the examples, and the figures are those of today."""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from pathlib import Path

import pytest
import yaml

from standins.nvml import StandInNvml
from standins.program import Program, until
from standins.shipped import ROOT, known_metrics
from standins.vllm import StandInVllm

EXAMPLES = sorted((ROOT / "deploy" / "fleet").glob("*.yml"))
DOC = (ROOT / "docs" / "fleet.md").read_text()
PAGE = (ROOT / "tests" / "data" / "captures" / "metrics-0.32.0-busy-preempting.txt").read_text()


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_prometheus_takes_every_example(path: Path) -> None:
    """Syntax alone: their secrets and targets are elsewhere. The page names each of them."""
    command = ["promtool", "check", "config", "--syntax-only", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert 0 == done.returncode, done.stdout + done.stderr
    assert f"(../deploy/fleet/{path.name})" in DOC


def test_what_is_sent_to_mimir_is_all_that_boards_ask_for() -> None:
    """Our series and every recorded one."""
    document = yaml.safe_load((ROOT / "deploy" / "fleet" / "remote-write-mimir.yml").read_text())
    ((kept,),) = (write["write_relabel_configs"] for write in document["remote_write"])
    rules = [yaml.safe_load(path.read_text()) for path in (ROOT / "alert_rules").glob("*.yml")]
    records = {
        rule["record"]
        for file in rules
        for group in file.get("groups", [])
        for rule in group["rules"]
        if "record" in rule
    }
    assert [name for name in {"up"} | records | known_metrics() if not re.fullmatch(kept["regex"], name)] == []


def number(label: str) -> float:
    """The figure that the page's table of measurements gives under that label."""
    found = re.search(rf"^\| {re.escape(label)} \| ([\d.,]+)", DOC, re.MULTILINE)
    assert found, label
    return float(found[1].replace(",", ""))


def counted(program: Program) -> Counter[str]:
    """Its series by the first word of their names."""
    return Counter(name.partition("_")[0] for name, _ in program.samples())


def test_a_sidecar_has_about_as_many_series_as_the_page_says(tmp_path: Path) -> None:
    """Beside one vLLM and eight H100: within a sixth, so that the page is renewed when that is no longer so."""
    gpu = StandInNvml(tmp_path)
    gpu.build()
    gpu.set(machine="h100x8")
    with StandInVllm(PAGE) as vllm:
        config = f"vllm: [{{name: llama, url: '{vllm.url}', interval: 500ms}}]\n"
        said = pytest.approx(number("Series of a sidecar with 8 GPUs"), rel=0.16)
        program = Program(tmp_path, config, {"LD_LIBRARY_PATH": str(tmp_path)}).start()
        try:
            until(60, "as many series as the page says", lambda: sum(counted(program).values()) == said)
            counts = counted(program)
        finally:
            program.close()
    assert number("of which of vLLM (`llm_`)") == pytest.approx(counts["llm"], rel=0.16)


def test_the_tables_arithmetic_is_right() -> None:
    """Samples a second, disk and memory follow from the measured figures above them."""
    series, sample = number("Series of a sidecar with 8 GPUs"), number("Bytes a sample on disk, with the index")
    memory = number("Prometheus' memory for a series, kB")
    rows = re.findall(r"^\| ([\d,]+) \| ([\d,]+) \| ([\d,]+) \| ([\d.]+) GB \| ([\d.]+) GB \|", DOC, re.MULTILINE)
    assert ["1", "10", "100", "1,000"] == [row[0] for row in rows]
    for sidecars, all_series, rate, disk, ram in ([float(cell.replace(",", "")) for cell in row] for row in rows):
        assert all_series == pytest.approx(sidecars * series, rel=0.02)
        assert rate == pytest.approx(all_series / 15, rel=0.02)
        assert disk == pytest.approx(rate * 86_400 * 30 * sample / 1e9, rel=0.05)
        assert ram == pytest.approx(0.1 + all_series * memory / 1e6, rel=0.05)
