"""A disk that takes a minute to sync delays nothing: the program answers and pages, and a kill loses nothing."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from standins.channels import PAGERDUTY, PAGERDUTY_HOST, Channels
from standins.program import Program, until
from standins.slow_disk import SlowDisk
from standins.vllm import StandInVllm

DATA = Path(__file__).parent / "data"
PAGE = (DATA / "captures" / "metrics-0.32.0-busy-preempting.txt").read_text()
CRASH = (DATA / "captures" / "server-0.32.0-engine-killed.log").read_bytes()
CONFIG = """
vllm: [{{name: llama, url: {url}, interval: 200ms, logs: [{{path: {log}}}]}}]
gpu: {{enabled: false}}
notify: {{channels: {{pagerduty: {{url: "{pagerduty}"}}}}}}
"""
STANDS_SECONDS = 4.0
"""Within these the thread that syncs meets a disk that stands still, whatever was written before."""


@pytest.fixture
def disk(tmp_path: Path) -> SlowDisk:
    """One that works until it is told to stand still."""
    return SlowDisk(tmp_path)


@pytest.fixture
def program(disk: SlowDisk, channels: Channels, log: Path, tmp_path: Path) -> Iterator[Program]:
    """The sidecar on that disk, beside a vLLM."""
    with StandInVllm(PAGE) as vllm:
        text = CONFIG.format(url=vllm.url, log=log, pagerduty=PAGERDUTY)
        sidecar = Program(tmp_path, text, channels.environment | disk.environment)
        sidecar.start()
        until(30, "ready", lambda: sidecar.get("/-/ready").status_code == 200)
        yield sidecar
        sidecar.close()


def syncs_wait(disk: SlowDisk, directory: Path) -> bool:
    """Whether the switch works at all: a process that syncs a file does not end."""
    code = f"import os; os.fsync(os.open({str(directory)!r}, os.O_RDONLY))"
    with subprocess.Popen([sys.executable, "-c", code], env=os.environ | disk.environment) as process:
        try:
            process.wait(1)
        except subprocess.TimeoutExpired:
            return True
        finally:
            process.kill()
        return False


def slowest_answer(program: Program) -> float:
    """Of all questions within `STANDS_SECONDS`, one after the other: in seconds."""
    seconds, began = [], time.monotonic()
    while (asked := time.monotonic()) < began + STANDS_SECONDS:
        assert program.answers()
        seconds.append(time.monotonic() - asked)
    return max(seconds)


def test_a_page_comes_and_every_question_is_answered_while_the_disk_stands(
    disk: SlowDisk, channels: Channels, program: Program, log: Path, tmp_path: Path
) -> None:
    """No sync returns from before the crash until after the kill; the next process knows of the incident."""
    with disk.stands():
        assert syncs_wait(disk, tmp_path)
        with log.open("ab") as stream:
            stream.write(CRASH)
        (page,) = channels.wait_for(PAGERDUTY_HOST, 1, seconds=30)
        until(30, "it is written down", lambda: program.value("vigil_deliveries_total", outcome="delivered"))
        assert slowest_answer(program) < STANDS_SECONDS / 2
        program.kill()
    program.start()
    (incident,) = program.status()["incidents"]["open"]
    assert (incident["rule"], incident["key"]) == ("engine_dead", page.document["dedup_key"])
    assert len(channels.received(PAGERDUTY_HOST)) == 1


def test_the_program_ends_in_time_while_the_disk_stands(disk: SlowDisk, program: Program, log: Path) -> None:
    """And has kept what it knew."""
    with disk.stands():
        with log.open("ab") as stream:
            stream.write(CRASH)
        until(30, "it is known", lambda: program.status()["incidents"]["open"])
        assert program.stop() < 20
    program.start()
    assert program.status()["incidents"]["open"]
