"""The documentation says what is so: every rule, every command, every link to a file."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from vllm_vigil.cli import parser
from vllm_vigil.incidents.rules import RULES

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


BAR = re.compile(r"(?<!\\)\|")


def in_a_cell(text: str) -> str:
    """As it is written in a table."""
    return BAR.sub(r"\|", text)


def test_every_rule_is_documented_with_what_to_do() -> None:
    """Id, title and remedy of each row stand in docs/incidents.md."""
    page = (ROOT / "docs" / "incidents.md").read_text()
    assert [rule.id for rule in RULES.values() if f"| `{rule.id}` {rule.title} |" not in page] == []
    assert [rule.id for rule in RULES.values() if f"| {in_a_cell(rule.remedy)} |" not in page] == []


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_row_of_a_table_has_the_cells_of_its_head(path: Path) -> None:
    """A bar within a cell, between backticks too, would begin the next one."""
    cells, wrong = 0, []
    for line in re.sub(r"^```.*?^```", "", path.read_text(), flags=re.MULTILINE | re.DOTALL).splitlines():
        found = len(BAR.findall(line)) if line.startswith("|") else 0
        if found and cells and found != cells:
            wrong.append(line)
        cells = found and (cells or found)
    assert wrong == []


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_link_to_a_file_leads_to_one(path: Path) -> None:
    """Relative links only; the web is not asked."""
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text())
    assert [link for link in links if not (path.parent / link).exists()] == []


def test_every_command_that_the_readme_shows_exists() -> None:
    """`vigil NAME` in the README is a command."""
    shown = set(re.findall(r"`vigil ([a-z-]+)", (ROOT / "README.md").read_text()))
    known = set(re.findall(r"^    ([a-z-]+)(?: |$)", parser().format_help(), re.MULTILINE))
    assert shown
    assert shown <= known
