"""What a real vLLM writes at a turn of its life, line by line: prefixes, carriage returns, several processes."""

from __future__ import annotations

import time
from pathlib import Path

_OOM = (
    "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.32 GiB. GPU 0 has a total capacity of 79.15 GiB "
    "of which 1.21 GiB is free. Including non-PyTorch memory, this process has 77.92 GiB memory in use."
)
_DEAD = (
    "vllm.v1.engine.exceptions.EngineDeadError: EngineCore encountered an issue. "
    "See stack trace (above) for the root cause."
)

# Each record: process, level, place, lines. An empty process is a line of uvicorn's, which has no prefix and no time.
TURNS: dict[str, tuple[tuple[str, str, str, tuple[str, ...]], ...]] = {
    "start": (
        ("APIServer", "INFO", "api_utils.py:339", ("vLLM server version 0.32.0, serving model demo-70b",)),
        (
            "EngineCore",
            "INFO",
            "core.py:110",
            ("Initializing a V1 LLM engine (v0.32.0) with config: model='demo-70b'",),
        ),
    ),
    "ready": (
        ("APIServer", "INFO", "launcher.py:38", ("Starting vLLM server on http://127.0.0.1",)),
        ("", "INFO", "", ("Application startup complete.",)),
    ),
    "cuda_oom": (
        (
            "EngineCore",
            "ERROR",
            "core.py:1131",
            (
                "EngineCore encountered a fatal error.",
                "Traceback (most recent call last):",
                '  File "vllm/v1/engine/core.py", line 1122, in run_engine_core',
                "    engine_core.run_busy_loop()",
                _OOM,
            ),
        ),
        (
            "APIServer",
            "ERROR",
            "async_llm.py:906",
            (
                "AsyncLLM output_handler failed.",
                "Traceback (most recent call last):",
                '  File "vllm/v1/engine/async_llm.py", line 849, in output_handler',
                "    outputs = await engine_core.get_output_async()",
                _DEAD,
            ),
        ),
        ("", "INFO", "", ('127.0.0.1:40122 - "POST /v1/chat/completions HTTP/1.1" 500 Internal Server Error',)),
        ("", "INFO", "", ("Shutting down",)),
        ("", "INFO", "", ("Application shutdown complete.",)),
    ),
}
PIDS = {"APIServer": 4100, "EngineCore": 4217}


def write_turn(path: Path, turn: str) -> None:
    """Append the lines of a turn as vLLM would: all but a record's last line end in CR LF."""
    stamp = time.strftime("%m-%d %H:%M:%S")
    with path.open("a", newline="") as log:
        for process, level, place, lines in TURNS[turn]:
            prefix = f"({process} pid={PIDS[process]}) {level} {stamp} [{place}] " if process else f"{level}:     "
            log.write("\r\n".join(prefix + line for line in lines) + "\n")
