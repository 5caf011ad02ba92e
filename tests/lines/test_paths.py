"""What is said of a glob that leads nowhere."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from vllm_vigil.lines.paths import nothing_at


def test_a_glob_that_finds_nothing_is_told_from_one_that_may_not_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The directory that is closed is named, also where the one that was written is behind it."""
    pattern = f"{tmp_path}/later/*.log"
    assert errno.ENOENT == nothing_at(pattern).errno
    monkeypatch.setattr(os, "access", lambda path, _mode: path != tmp_path)  # as root everything is open
    closed = nothing_at(pattern)
    assert (errno.EACCES, str(tmp_path)) == (closed.errno, closed.filename)
