"""The command line itself: what it does not take, and what it prints where a terminal lacks the characters."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from vllm_vigil.cli import main

VIGIL = Path(sys.executable).with_name("vigil")


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (
            ["check", "vigil.yaml"],
            "check does not take vigil.yaml (a configuration file is given with --config): `vigil check --help`",
        ),
        (["run", "--confg", "x"], "run does not take --confg x: `vigil run --help` says what it takes"),
    ],
)
def test_what_a_command_does_not_take_is_named(
    arguments: list[str], error: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """2, with the command and where its options are told."""
    assert main(arguments) == 2
    assert error in capsys.readouterr().err


def test_a_choice_that_is_missing_is_named_by_what_may_stand_there(capsys: pytest.CaptureFixture[str]) -> None:
    """And not by what our code calls it."""
    with pytest.raises(SystemExit, match="2"):
        main(["export"])
    assert "required: {rules,dashboards,alertmanager}" in capsys.readouterr().err


def test_a_name_that_is_no_text_is_printed_as_an_escape(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file system takes any bytes for a name."""
    path = tmp_path / os.fsdecode(b"\xff.yaml")
    path.write_text("gpu: {enabled: false}\n")
    assert main(["check", "--config", str(path)]) == 0
    assert f"# {tmp_path}/\\udcff.yaml" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["check", "catalogue"])
def test_an_output_that_is_full_is_said(command: str) -> None:
    """Whether it is known at the first line or at the last: no traceback, and 1."""
    with Path("/dev/full").open("wb") as full:
        ended = subprocess.run([VIGIL, command], stdout=full, stderr=subprocess.PIPE, check=False)
    assert (ended.returncode, ended.stderr) == (
        1,
        b"vigil: cannot write to standard output: no space left where it leads to\n",
    )


@pytest.mark.parametrize("command", ["check", "catalogue"])
def test_a_reader_that_has_gone_is_no_trouble(command: str) -> None:
    """As with `| head`, whether it is noticed while writing or at the end."""
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as pipe:
        ended = subprocess.run([VIGIL, command], stdout=pipe, stderr=subprocess.PIPE, check=False)
    assert (ended.returncode, ended.stderr) == (0, b"")
