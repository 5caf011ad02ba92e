"""What vLLM writes at a turn of its life, line by line, after real logs: prefixes, carriage returns, several processes.

Time is an argument. The file's own time is set to it, because a reader of logs may ask the file how old a line is.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

API, CORE, PLAIN = "APIServer", "EngineCore", ""
"""Whose line it is; a plain line is uvicorn's, without process and time."""

_OOM = (
    "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.32 GiB. GPU 0 has a total capacity of 79.15 GiB "
    "of which 1.21 GiB is free. Including non-PyTorch memory, this process has 77.92 GiB memory in use."
)
_DEAD = (
    "vllm.v1.engine.exceptions.EngineDeadError: EngineCore encountered an issue. "
    "See stack trace (above) for the root cause."
)
_LOST = "torch.AcceleratorError: CUDA error: unspecified launch failure"
_NO_BLOCK = (
    "No available shared memory broadcast block found in 60 seconds. This typically happens when some processes are "
    "hanging or doing some time-consuming work (e.g. compilation, weight/kv cache quantization)."
)
_CORE_STACK = (
    "EngineCore encountered a fatal error.",
    "Traceback (most recent call last):",
    '  File "vllm/v1/engine/core.py", line 1122, in run_engine_core',
    "    engine_core.run_busy_loop()",
)
_HANDLER_STACK = (
    "AsyncLLM output_handler failed.",
    "Traceback (most recent call last):",
    '  File "vllm/v1/engine/async_llm.py", line 849, in output_handler',
    "    outputs = await engine_core.get_output_async()",
)

Written = tuple[str, str, str, tuple[str, ...]]
"""Whose, level, place in vLLM's source, and the lines of one record."""

_END: tuple[Written, ...] = (
    (API, "ERROR", "async_llm.py:906", (*_HANDLER_STACK, _DEAD)),
    (PLAIN, "INFO", "", ('10.0.0.22:40122 - "POST /v1/chat/completions HTTP/1.1" 500 Internal Server Error',)),
    (PLAIN, "INFO", "", ("Shutting down",)),
    (PLAIN, "INFO", "", ("Waiting for application shutdown.",)),
    (PLAIN, "INFO", "", ("Application shutdown complete.",)),
    (PLAIN, "INFO", "", ("Finished server process [{pid}]",)),
)

TURNS: dict[str, tuple[Written, ...]] = {
    "start": (
        (API, "INFO", "api_utils.py:347", ("", "       █     █     █▄   ▄█")),
        (API, "INFO", "api_utils.py:347", (" ▄▄ ▄█ █     █     █ ▀▄▀ █  version 0.32.0",)),
        (API, "INFO", "api_utils.py:347", ("  █▄█▀ █     █     █     █  model   {model}",)),
        (API, "INFO", "api_utils.py:286", ("non-default args: {{'model_tag': '{model}', 'max_model_len': 32768}}",)),
        (CORE, "INFO", "core.py:133", ("Initializing a V1 LLM engine (v0.32.0) with config: model='{model}'",)),
        (CORE, "INFO", "gpu_model_runner.py:3391", ("Starting to load model {model}...",)),
    ),
    "ready": (
        (CORE, "INFO", "gpu_model_runner.py:3464", ("Model loading took 65.74 GiB memory and 8.43 seconds",)),
        (CORE, "INFO", "core.py:402", ("init engine (profile, create kv cache, warmup model) took 3.00 s",)),
        (API, "INFO", "entry.py:140", ("Starting vLLM server on http://0.0.0.0:8000",)),
        (PLAIN, "INFO", "", ("Started server process [{pid}]",)),
        (PLAIN, "INFO", "", ("Waiting for application startup.",)),
        (PLAIN, "INFO", "", ("Application startup complete.",)),
    ),
    "cuda_oom": ((CORE, "ERROR", "core.py:1131", (*_CORE_STACK, _OOM)), *_END),
    "gpu_lost": ((CORE, "ERROR", "core.py:1131", (*_CORE_STACK, _LOST)), *_END),
    "no_block": ((CORE, "INFO", "shm_broadcast.py:548", (_NO_BLOCK,)),),
    "sleep": (
        (CORE, "INFO", "cumem.py:231", ("Sleep mode freed 71.20 GiB memory, 1.52 GiB memory is still in use.",)),
    ),
    "stop": (  # wanted: after a crash uvicorn's own lines come alone
        (API, "INFO", "launcher.py:254", ("[shutdown] API server: shutdown triggered",)),
        (CORE, "INFO", "core.py:1454", ("[shutdown] EngineCore: trigger received signal=SIGTERM",)),
        (PLAIN, "INFO", "", ("Shutting down",)),
        (PLAIN, "INFO", "", ("Waiting for application shutdown.",)),
        (PLAIN, "INFO", "", ("Application shutdown complete.",)),
        (PLAIN, "INFO", "", ("Finished server process [{pid}]",)),
    ),
    "error": ((PLAIN, "INFO", "", ('10.0.0.21:51820 - "POST /v1/completions HTTP/1.1" 500 Internal Server Error',)),),
}


@dataclass(slots=True)
class Log:
    """The log of one server. `pid` is that of its API server; the engine's is the next."""

    path: Path
    model: str
    pid: int = 4100

    def turn(self, name: str, now: float) -> None:
        """Append the records of a turn as vLLM would."""
        self._append((self._record(each, now) for each in TURNS[name]), now)

    def figures(self, now: float, lines: Iterable[str]) -> None:
        """Append the line of figures that vLLM writes every ten seconds for each engine."""
        self._append((self._record((API, "INFO", "loggers.py:335", (line,)), now) for line in lines), now)

    def _record(self, written: Written, now: float) -> str:
        """All but a record's last line end in CR LF."""
        process, level, place, lines = written
        stamp = time.strftime("%m-%d %H:%M:%S", time.gmtime(now))
        pid = self.pid + (process == CORE)
        prefix = f"({process} pid={pid}) {level} {stamp} [{place}] " if process else f"{level}:     "
        return "\r\n".join(prefix + line.format(model=self.model, pid=self.pid) for line in lines) + "\n"

    def _append(self, records: Iterable[str], now: float) -> None:
        if text := "".join(records):
            with self.path.open("a", encoding="utf-8", newline="") as log:
                log.write(text)
            os.utime(self.path, (now, now))
