"""Run every benchmark and print one table: figure, ours, the peer's, the ratio."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from benchmarks import daemon, day, gpu, logs, notify, pages, quiet, recorder, replay, scrapes


def main() -> int:
    """Print as they come."""
    print(f"{'figure':<44} {'ours':>12} {'peer':>12} {'ratio':>8}  peer", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        for subject in (pages, daemon, scrapes, replay, logs, quiet, gpu, notify, recorder, day):
            for figure in subject.measure(Path(scratch)):
                print(figure.row, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
