"""Run every benchmark and print one table: figure, ours, the peer's, the ratio."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from benchmarks import daemon, day, gpu, logs, notify, pages, recorder, scrapes
from benchmarks.figure import Figure


def main() -> int:
    """Print as they come."""
    print(f"{'figure':<44} {'ours':>12} {'peer':>12} {'ratio':>8}  peer", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        for subject in (pages, daemon, scrapes, logs, gpu, notify, recorder, day):
            for figure in subject.measure(Path(scratch)):
                print(_row(figure), flush=True)
    return 0


def _row(figure: Figure) -> str:
    ours = f"{figure.ours:.4g} {figure.unit}"
    if figure.peer is None:
        return f"{figure.name:<44} {ours:>12}"
    peer = f"{figure.peer:.4g} {figure.unit}"
    return f"{figure.name:<44} {ours:>12} {peer:>12} {figure.ours / figure.peer:>8.2f}  {figure.peer_name}"


if __name__ == "__main__":
    sys.exit(main())
