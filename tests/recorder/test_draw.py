"""The picture is a PNG of a phone's width, whatever was recorded, drawn by a process of its own."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from standins.flights import INCIDENT, frozen
from vllm_vigil.model import Severity
from vllm_vigil.recorder import bundle
from vllm_vigil.recorder.bundle import CHART, DOCUMENT
from vllm_vigil.recorder.draw import ALARM, WIDTH, main


def drawn(directory: Path, **shape: int) -> Path:
    """A picture, made in this process."""
    written = bundle.write(directory, frozen(**shape))
    assert main([str(written / DOCUMENT), str(written / CHART)]) == 0
    return written / CHART


@pytest.fixture(autouse=True)
def kind(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests go on after a picture as they are."""
    monkeypatch.setattr("os.nice", lambda _by: 0)


@pytest.mark.parametrize(
    "shape", [{}, {"gpus": 8, "engines": 8}, {"gpus": 0}, {"moments": 0}, {"moments": 1}, {"moments": 20}]
)
def test_whatever_was_recorded_there_is_a_picture(tmp_path: Path, shape: dict[str, int]) -> None:
    """Wide as it should be, small enough to be sent, and nobody else's business."""
    path = drawn(tmp_path, **shape)
    with Image.open(path) as image:
        assert (image.format, image.width) == ("PNG", WIDTH)
        assert 200 < image.height < 2000
    assert path.stat().st_size < 200_000
    assert path.stat().st_mode & 0o777 == 0o600


def test_where_it_began_is_marked(tmp_path: Path) -> None:
    """A line in the colour of alarm, near the right edge, below the strip of states."""
    with Image.open(drawn(tmp_path)) as image:
        pixels, height = image.convert("RGB"), image.height
        column = [pixels.getpixel((x, y)) for x in range(990, 1010) for y in range(300, height - 100)]
    assert tuple(int(ALARM[at : at + 2], 16) for at in (1, 3, 5)) in column


def test_a_title_without_end_is_cut(tmp_path: Path) -> None:
    """And of any severity, of the host too."""
    for severity in Severity:
        incident = replace(INCIDENT, title="word " * 100, server="", severity=severity)
        written = bundle.write(tmp_path, replace(frozen(moments=30), incident=incident))
        assert main([str(written / DOCUMENT), str(written / CHART)]) == 0


def test_it_runs_as_a_program_and_fails_as_one(tmp_path: Path) -> None:
    """What is no bundle gives no picture and no half of one."""
    broken = tmp_path / DOCUMENT
    broken.write_text("{}")
    command = (sys.executable, "-P", "-m", "vllm_vigil.recorder.draw", str(broken), str(tmp_path / CHART))
    assert subprocess.run(command, capture_output=True, check=False, timeout=50).returncode != 0
    assert not (tmp_path / CHART).exists()


def test_what_began_after_the_last_moment_is_marked_at_the_end(tmp_path: Path) -> None:
    """The usual case: the log is read between two ticks."""
    later = replace(INCIDENT, opened=INCIDENT.opened + 100)
    written = bundle.write(tmp_path, replace(frozen(), incident=later))
    assert main([str(written / DOCUMENT), str(written / CHART)]) == 0
    with Image.open(written / CHART) as image:
        pixels, height = image.convert("RGB"), image.height
        edge = [pixels.getpixel((WIDTH - 48, y)) for y in range(300, height - 100)]
    assert tuple(int(ALARM[at : at + 2], 16) for at in (1, 3, 5)) in edge
