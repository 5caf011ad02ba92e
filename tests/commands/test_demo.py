"""`vigil demo` where it cannot play."""

from __future__ import annotations

from pathlib import Path

import pytest

from vllm_vigil.cli import main


@pytest.mark.parametrize(
    ("port", "directory", "error"),
    [
        ("65535", "here", "--port: must be from 1 to 65534, with the next one free too, not 65535"),
        ("18000", "file", "cannot play on port 18000 and the next, in "),
    ],
)
def test_what_it_cannot_use_is_named(
    port: str, directory: str, error: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """2, before anything is played."""
    (tmp_path / "file").touch()
    assert main(["demo", "--port", port, "--directory", str(tmp_path / directory)]) == 2
    assert error in capsys.readouterr().err
