"""Real logrotate, in both modes, under a writer that goes on."""

from __future__ import annotations

import os
import subprocess
import threading
from itertools import pairwise
from pathlib import Path

import pytest

from standins.logs import Logs
from vllm_vigil.clock import CrankedClock

ROTATIONS = 4
CONFIG = """
{log} {{
    rotate 20
    missingok
    {mode}
}}
"""


class Writer(threading.Thread):
    """Writes numbered lines as fast as it may, and goes over to a new file when the path has one.

    It never makes the file itself. One that does so between logrotate's rename and its create has that file moved to
    `vllm.log-DATEHOUR.backup`, onto the one before of the same hour: logrotate then destroys lines (test_rotation).
    """

    def __init__(self, path: Path) -> None:
        super().__init__(daemon=True)
        self.path = path
        self.count = 0
        self.enough = threading.Event()

    def run(self) -> None:
        """Write until it is enough."""
        while not self.enough.is_set():
            try:
                descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND)
            except FileNotFoundError:
                continue  # renamed, and not made anew yet
            with os.fdopen(descriptor, "ab", buffering=0) as file:
                for _ in range(50):
                    self.count += 1
                    file.write(b"line %08d of a log that is being rotated all the time\n" % self.count)


def rotate(directory: Path, log: Path, mode: str) -> None:
    """Run logrotate once, as cron does."""
    config = directory / "logrotate.conf"
    config.write_text(CONFIG.format(log=log, mode=mode))
    config.chmod(0o600)
    subprocess.run(["/usr/sbin/logrotate", "-s", str(directory / "state"), "-f", str(config)], check=True, timeout=60)


def follow(directory: Path, mode: str) -> tuple[list[int], int]:
    """Numbers of the lines read while logrotate ran, with a restart at every rotation; and how many were written.

    Between two rotations something is read: files that came and went without a look are not walked.
    """
    logs = Logs(directory, CrankedClock())
    logs.path.touch()
    got = logs.texts()
    logs.commit()
    writer = Writer(logs.path)
    writer.start()
    try:
        for _ in range(ROTATIONS):
            enough = len(got) + 500
            while len(got) < enough:
                got += logs.texts(max_bytes=10_000)
            rotate(directory, logs.path, mode)
            logs.commit()
            logs.restart()
    finally:
        writer.enough.set()
        writer.join()
    while batch := logs.texts():
        got += batch
    logs.reader.close()
    return [int(text.split()[1]) for text in got if text.endswith("all the time")], writer.count


def test_rename_rotation_by_logrotate_loses_nothing_and_repeats_nothing(tmp_path: Path) -> None:
    """Also with a restart of ours after each rotation, before the old file was read to its end."""
    numbers, written = follow(tmp_path, "create")
    assert list(range(1, written + 1)) == numbers


def test_copytruncate_by_logrotate_loses_at_most_one_stretch_a_rotation_and_repeats_nothing(tmp_path: Path) -> None:
    """What is written between copy and truncation is gone for everyone; the copy saves what came before."""
    numbers, written = follow(tmp_path, "copytruncate")
    gaps = sum(after != before + 1 for before, after in pairwise(numbers))
    assert (numbers, written) == (sorted({*numbers}), numbers[-1])
    assert gaps <= ROTATIONS


@pytest.mark.parametrize("mode", ["create", "copytruncate"])
def test_without_writing_at_that_moment_both_modes_lose_nothing(tmp_path: Path, mode: str) -> None:
    """Unread lines wait in the renamed file, or in the copy."""
    logs = Logs(tmp_path, CrankedClock())
    logs.path.touch()
    logs.read()
    got = []
    for number in range(10):
        for part in ("read before", "read after"):
            logs.write(f"round {number}: this is {part} the rotation, whichever way it is done\n")
            got += logs.texts() if part == "read before" else []
        rotate(tmp_path, logs.path, mode)
    got += [text for _ in range(3) for text in logs.texts()]
    assert 20 == len(got) == len({*got})
