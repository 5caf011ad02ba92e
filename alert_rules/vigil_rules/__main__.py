"""Writes what is generated of alert_rules/, and docs/alerts.md; `--check` only tells what differs.

python -m vigil_rules [--check]
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from vigil_rules import raw_dcgm, raw_vllm
from vigil_rules.links import stamped
from vigil_rules.reach import Shape, known_from, silent
from vigil_rules.table import markdown, rules_of
from vllm_vigil.slo.objectives import SloFile
from vllm_vigil.slo.rules import text as slo_rules

FOLDER = Path(__file__).parents[1]

ORDER = ("site", "records", "availability", "slo", "latency", "queue-kv", "gpu", "host", "monitoring")
FILES = tuple(FOLDER / f"{name}.yml" for name in ORDER)
TARGETS = FOLDER / "raw" / "targets.yml"
LAYER = (FOLDER / "raw" / "vllm.yml", FOLDER / "raw" / "dcgm.yml")


def sources() -> Iterator[tuple[Path, str]]:
    """Every rules file, and what belongs in it."""
    generated = {"slo.yml": slo_rules(SloFile())}
    for path in (*FILES, TARGETS):
        yield path, stamped(generated.get(path.name) or path.read_text())
    yield LAYER[0], raw_vllm.text()
    yield LAYER[1], raw_dcgm.text()


def documents() -> Iterator[tuple[Path, str]]:
    """The page of alerts, which is made from the files above."""
    rules = [rule for path in FILES for rule in rules_of(path)]
    known = known_from(rule for path in LAYER for rule in rules_of(path)) | {"up": [Shape()]}
    of_the_stack = {rule["alert"] for rule in rules if rule.get("labels", {}).get("component") == "monitoring"}
    without = [name for name in silent(rules, known) if name not in of_the_stack]
    yield FOLDER.parent / "docs" / "alerts.md", markdown(FILES, [TARGETS], without)


def main() -> int:
    """1 if something differs that was to be checked only."""
    check = "--check" in sys.argv
    return max(_write(files(), check=check) for files in (sources, documents))


def _write(files: Iterator[tuple[Path, str]], *, check: bool) -> int:
    stale = [(path, text) for path, text in files if not path.exists() or path.read_text() != text]
    for path, text in stale:
        if check:
            print(f"{path.relative_to(FOLDER.parent)} differs from its source: run scripts/rules")
        else:
            path.write_text(text)
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
