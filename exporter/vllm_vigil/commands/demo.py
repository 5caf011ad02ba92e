"""`vigil demo`: a stand-in vLLM that lives through a few minutes of trouble, over and over, until it is stopped."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

from vllm_vigil.demo.script import DAY
from vllm_vigil.demo.server import Play, Server
from vllm_vigil.errors import UsageError


def demo(port: int, log: Path) -> int:
    """Serve on the port and write the log."""
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        log.touch()
        server = Server(port)
        server.open()
        server.shut()
    except OSError as error:
        raise UsageError(f"cannot play on port {port} with the log {log}: {error.strerror}; choose others") from error
    print(f"demo: a stand-in vLLM at http://127.0.0.1:{server.port}, its log is {log}", file=sys.stderr)
    for _ in itertools.count():
        Play(server, log).play(DAY, say=lambda title: print(f"demo: {title}", file=sys.stderr, flush=True))
    return 0
