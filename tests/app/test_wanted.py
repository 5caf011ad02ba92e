"""What a configuration does not want costs no memory."""

from __future__ import annotations

import subprocess
import sys

import pytest

DEAR = ("httpx", "apprise", "PIL", "certifi", "importlib.metadata")


@pytest.mark.parametrize("dear", DEAR)
def test_a_sidecar_that_wants_nothing_more_does_not_import_what_only_some_need(dear: str) -> None:
    """Clients of other servers, Apprise, Pillow: together half of all else."""
    program = f"import sys, vllm_vigil.commands.run; print({dear!r} in sys.modules)"
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "False\n" == told.stdout
