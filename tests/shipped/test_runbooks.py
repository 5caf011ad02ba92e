"""docs/runbooks/: every rule and every alert has its page, and what a page tells people to type is true.

PromQL runs on a real Prometheus, names series and labels of ours; `vigil` commands are parsed by our own command line,
shell blocks by bash; flags of vLLM are among those that a real 0.32 lists.
"""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from standins.shipped import ROOT, known_metrics, metrics_in
from standins.tsdb import prometheus_on
from vllm_vigil.cli import parser
from vllm_vigil.incidents.rules import RULES
from vllm_vigil.series.catalogue import SPECS

PAGES = sorted((ROOT / "docs" / "runbooks").glob("*.md"))
HEADINGS = ["Meaning", "Impact", "Diagnosis", "Mitigation"]
FLAGS = set((ROOT / "tests" / "data" / "vllm" / "serve-flags-0.32.0.txt").read_text().split())
OF_OTHERS = {"--gpu-reset", "--errorcounters", "--shm-size"}
"""Flags of nvidia-smi and Docker that stand in the text."""


def shipped(kind: str) -> dict[str, dict[str, Any]]:
    """All alerts, or all records, of the rules that Prometheus is shipped with, by name."""
    bodies = [yaml.safe_load(path.read_text()) for path in (ROOT / "alert_rules").rglob("*.yml")]
    rules = [rule for body in bodies for group in body.get("groups", ()) for rule in group["rules"]]
    return {rule[kind]: rule for rule in rules if kind in rule}


def blocks(path: Path, kind: str) -> list[str]:
    """The code blocks of that kind."""
    return re.findall(rf"^```{kind}\n(.*?)^```$", path.read_text(), re.MULTILINE | re.DOTALL)


def queries() -> Iterator[tuple[str, str]]:
    """Every PromQL block, with the page that it stands on."""
    for path in PAGES:
        yield from ((path.name, query.strip()) for query in blocks(path, "promql"))


def test_every_rule_and_every_alert_has_its_page_and_no_page_is_nobody_s() -> None:
    """Links hold both ways."""
    assert set(RULES) | set(shipped("alert")) == {path.stem for path in PAGES} - {"README"}


def test_a_page_says_the_severity_of_its_alert() -> None:
    """Its second paragraph begins with it."""
    said = {path.stem: path.read_text().split("\n")[2].split(".")[0].lower() for path in PAGES}
    assert {name: rule["labels"]["severity"] for name, rule in shipped("alert").items()} == {
        name: said[name] for name in shipped("alert")
    }


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_a_page_has_its_four_parts_and_something_to_type(path: Path) -> None:
    """In this order; the title begins with the id."""
    text = path.read_text()
    if path.stem == "README":
        return
    assert text.startswith(f"# `{path.stem}`: ")
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == HEADINGS
    assert blocks(path, "promql"), "no query"
    assert blocks(path, "sh"), "no command"


@pytest.mark.parametrize(("page", "query"), list(queries()))
def test_a_query_names_series_and_labels_of_ours(page: str, query: str) -> None:
    """A renamed series cannot leave a query behind that finds nothing."""
    recorded = set(re.findall(r"\b[a-z_]+:[a-z0-9_:]+", query))
    assert recorded <= set(shipped("record")), page
    assert metrics_in(re.sub(r"\b[a-z_]+:[a-z0-9_:]+", "", query)) <= known_metrics() | {"up"}, page
    for name, matchers in re.findall(r"([a-z_]+)\{([^}]*)\}", query):
        base = re.sub(r"_(bucket|sum|count)$", "", name)
        if base in SPECS:
            known = {*SPECS[base].labels, "le", "job", "instance"}
            assert {matcher.split("=")[0].rstrip("!").strip() for matcher in matchers.split(",")} <= known, page


def test_every_query_runs_on_a_real_prometheus(tmp_path: Path) -> None:
    """None is refused."""
    with prometheus_on(tmp_path) as address, httpx.Client(trust_env=False) as client:
        for page, query in queries():
            answer = client.get(f"{address}/api/v1/query", params={"query": query})
            assert answer.status_code == 200, f"{page}: {query}: {answer.text}"


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_commands_can_be_typed(path: Path) -> None:
    """bash reads them, and every `vigil` is a command with such options."""
    for block in blocks(path, "sh"):
        checked = subprocess.run(["bash", "-n"], input=block, text=True, capture_output=True, check=False, timeout=60)
        assert checked.returncode == 0, checked.stderr
        for line in block.splitlines():
            words = shlex.split(line, comments=True)
            if words and words[0] == "vigil":
                parser().parse_args(words[1:])


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_flags_of_vllm_are_flags_of_vllm(path: Path) -> None:
    """Of 0.32: what was renamed away helps nobody at night."""
    prose = re.sub(r"^```.*?^```$|`vigil [^`]*`", "", path.read_text(), flags=re.MULTILINE | re.DOTALL)
    found = set(re.findall(r"`(--[a-z][a-z0-9-]+)", prose)) | set(re.findall(r"(?<=[ (])(--[a-z][a-z0-9-]+)", prose))
    assert found - FLAGS - OF_OTHERS == set()
