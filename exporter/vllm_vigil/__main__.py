"""`vigil`, and `python -m vllm_vigil`: Ctrl-C ends it without a traceback, also while it is still being loaded."""

from __future__ import annotations

import signal
import sys


def start() -> int:
    """Run the command line; give its exit code."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from vllm_vigil.cli import main  # noqa: PLC0415  # loading takes long enough to be interrupted

    signal.signal(signal.SIGINT, signal.default_int_handler)
    return main()


if __name__ == "__main__":
    sys.exit(start())
