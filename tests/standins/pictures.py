"""The boards as pictures: Grafana's own components in a headless Chromium, over data of a real Prometheus.

    scripts/pictures     draws docs/images anew

Heat maps, state timelines and log lines are plugins that Grafana does not publish, and are drawn plainly.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loguru import logger

from standins import board_day, loki_lines
from standins.shipped import ROOT
from standins.simulation import INSTANCE
from standins.tsdb import prometheus_on
from vigil_boards.__main__ import BOARDS

RENDER = ROOT / "scripts" / "render"
IMAGES = ROOT / "docs" / "images"
WIDTH, HEIGHT = 1440, 900
YEAR = 2026


@dataclass(frozen=True, slots=True)
class Servers:
    """The addresses that boards are drawn from."""

    prometheus: str
    loki: str


@contextmanager
def servers(directory: Path) -> Iterator[Servers]:
    """A Prometheus with the boards' day, and its log lines; `directory` has been filled by `board_day.fill`."""
    logs = loki_lines.entries(sorted((directory / "play").glob("*.log")), YEAR)
    with prometheus_on(directory) as prometheus, loki_lines.serving(logs) as loki:
        yield Servers(prometheus, loki)


def page(uid: str, theme: str, picture: Path | None, **more: object) -> dict[str, object]:
    """The first screen of a board, of the sidecar that sees trouble."""
    shown = {"from": board_day.BEGIN, "to": board_day.END, "variables": {"instance": INSTANCE}}
    size = {"width": WIDTH, "height": HEIGHT, "picture": str(picture) if picture else None}
    return {"board": uid, "theme": theme} | shown | size | more


def draw(at: Servers, pages: Sequence[dict[str, object]], scratch: Path) -> list[dict[str, Any]]:
    """Draw the pages, and what each of their panels painted."""
    job = {"prometheus": at.prometheus, "loki": at.loki, "boards": str(ROOT / "dashboards"), "pages": pages}
    path = scratch / "job.json"
    path.write_text(json.dumps(job | {"chromium": shutil.which("chromium")}))
    done = subprocess.run(
        ["node", "shoot.mjs", str(path)], cwd=RENDER, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    told: list[dict[str, Any]] = json.loads(done.stdout)
    return told


def main() -> int:
    """Draw docs/images anew: every board in the dark, the first one in the light too."""
    logger.remove()
    IMAGES.mkdir(exist_ok=True)
    pages = [page(board.uid, "dark", IMAGES / f"{board.uid}.png") for board in BOARDS]
    pages.append(page(BOARDS[0].uid, "light", IMAGES / f"{BOARDS[0].uid}-light.png"))
    with tempfile.TemporaryDirectory(prefix="pictures-") as scratch:
        board_day.fill(Path(scratch))
        with servers(Path(scratch)) as at:
            draw(at, pages, Path(scratch))
    return 0


if __name__ == "__main__":
    sys.exit(main())
