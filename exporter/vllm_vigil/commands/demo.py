"""`vigil demo`: stand-in vLLMs and GPUs that live through a few minutes of trouble, over and over."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

from vllm_vigil.demo.play import Play
from vllm_vigil.demo.script import DAY
from vllm_vigil.errors import UsageError

LAST_PORT = 65534


def demo(port: int, directory: Path) -> int:
    """Serve on the port and the next, and keep logs, machine file and the sidecar's configuration in the directory."""
    if not 1 <= port <= LAST_PORT:
        raise UsageError(f"--port: must be from 1 to {LAST_PORT}, with the next one free too, not {port}")
    play = Play(directory.absolute(), port)
    try:
        config = play.prepare()
    except OSError as error:
        words = f"{error.strerror}; choose others"
        raise UsageError(f"cannot play on port {port} and the next, in {directory}: {words}") from error
    for name, each in play.ports.items():
        print(f"demo: {name} is a stand-in vLLM at http://127.0.0.1:{each.port}", file=sys.stderr)
    print(f"demo: watch it with: vigil run --config {config}", file=sys.stderr)
    for _ in itertools.count():
        play.play(DAY, say=lambda title: print(f"demo: {title}", file=sys.stderr, flush=True))
    return 0
