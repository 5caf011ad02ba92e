"""Writes the boards to dashboards/, and panels.json beside them; `--check` only tells what differs.

python -m vigil_boards [--check]
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

from vigil_boards.board import Board
from vigil_boards.gpu_host import GPU_HOST
from vigil_boards.incidents_logs import INCIDENTS_LOGS
from vigil_boards.latency_slo import LATENCY_SLO
from vigil_boards.overview import OVERVIEW
from vigil_boards.queue_kv_cache import QUEUE_KV_CACHE
from vigil_boards.sidecar import SIDECAR

BOARDS: tuple[Board, ...] = (OVERVIEW, LATENCY_SLO, QUEUE_KV_CACHE, GPU_HOST, INCIDENTS_LOGS, SIDECAR)
FOLDER = Path(__file__).parents[1]


def files() -> Iterator[tuple[Path, str]]:
    """Every file that is generated, and what belongs in it."""
    for board in BOARDS:
        yield FOLDER / f"{board.uid}.json", board.json()
    yield FOLDER / "panels.json", json.dumps(index(), indent=2, ensure_ascii=False) + "\n"


def index() -> dict[str, dict[str, str | int]]:
    """Where each panel is, by its title, which no other panel of any board has: links of alerts are checked by it."""
    return {panel.title: {"uid": board.uid, "id": panel.id} for board in BOARDS for panel in board.panels()}


def main() -> int:
    """1 if something differs that was to be checked only."""
    stale = [(path, text) for path, text in files() if not path.exists() or path.read_text() != text]
    if "--check" not in sys.argv:
        for path, text in stale:
            path.write_text(text)
        return 0
    for path, _ in stale:
        print(f"{path.relative_to(FOLDER.parent)} differs from its source: run scripts/dashboards")
    return int(bool(stale))


if __name__ == "__main__":
    sys.exit(main())
