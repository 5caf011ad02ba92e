"""The process from its first instruction on."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

HALF_LOADED = """
import os, signal, sys
class Interrupted:
    def find_spec(self, name, *_):
        if name == "vllm_vigil.{}":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupted())
sys.argv = ["vigil", "replay", "/dev/null"]
from vllm_vigil.__main__ import start
sys.exit(start())
"""


@pytest.mark.parametrize(
    ("module", "code"),
    [("config.load", -signal.SIGINT), ("commands.replay", 130)],
)
def test_an_interrupt_while_it_is_loaded_leaves_no_traceback(module: str, code: int) -> None:
    """A person who changes their mind at once sees nothing; a shell reads 130 of both."""
    ended = subprocess.run([sys.executable, "-c", HALF_LOADED.format(module)], capture_output=True, check=False)
    assert (code, b"", b"") == (ended.returncode, ended.stdout, ended.stderr)


def test_the_package_runs_as_the_command_does() -> None:
    """`python -m vllm_vigil` takes the same words."""
    ended = subprocess.run([sys.executable, "-m", "vllm_vigil", "--version"], capture_output=True, check=True)
    assert ended.stdout.startswith(b"vllm-vigil ")
