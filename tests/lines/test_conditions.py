"""Few descriptors, no permission, our own log, a line without end, and lag: reading goes on, and says so."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from standins.logs import Logs, as_nobody
from vllm_vigil.clock import CrankedClock
from vllm_vigil.lines.follower import UNENDED_SECONDS

FEW_FILES = """
import json, resource, sys
from pathlib import Path
from standins.logs import Logs
from vllm_vigil.clock import CrankedClock

resource.setrlimit(resource.RLIMIT_NOFILE, (32, 32))
directory = Path(sys.argv[1])
names = [f"{number:03d}.log" for number in range(200)]
for name in names:
    (directory / name).touch()
logs = Logs(directory, CrankedClock(), "*.log")
got = {name: [] for name in names}
def read():
    while True:
        batch = logs.reader.read(1 << 20)
        for line in batch.lines:
            got[Path(line.file).name].append(line.data.decode())
        if not batch.more:
            return
read()
logs.commit()
for turn in range(4):
    for name in names[turn % 2 :: 2]:
        logs.write(f"turn {turn}\\n", name)
    if turn == 2:
        for name in names[:10:2]:
            (directory / name).rename(directory / f"{name}.1")
            logs.write("after\\n", name)
    read()
    logs.commit()
logs.restart()
read()
print(json.dumps(got))
"""


@pytest.fixture
def logs(tmp_path: Path, clock: CrankedClock) -> Iterator[Logs]:
    """An empty vllm.log that was seen once."""
    made = Logs(tmp_path, clock)
    made.path.touch()
    made.read()
    yield made
    made.reader.close()


def test_two_hundred_files_are_followed_with_thirty_two_descriptors(tmp_path: Path) -> None:
    """Who is quiet gives its descriptor back and is found again by its mark: nothing lost, nothing twice."""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, "-c", FEW_FILES, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=environment)
    assert 0 == done.returncode, done.stderr
    expected = {
        f"{number:03d}.log": [f"turn {number % 2}", f"turn {number % 2 + 2}"] + ["after"] * (number in range(0, 10, 2))
        for number in range(200)
    }
    assert expected == json.loads(done.stdout)


def test_without_a_descriptor_left_the_place_is_kept(logs: Logs) -> None:
    """No open succeeds for a while, not even after a restart; then reading goes on where it was."""
    logs.write("one\n")
    assert ["one"] == logs.texts()
    logs.commit()
    logs.write("two\n")
    logs.restart()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        assert ([], {}) == (logs.texts(), logs.reader.positions())
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert (["two"], 0) == (logs.texts(), logs.lost("gone"))


def test_permission_lost_and_given_again_loses_nothing(clock: CrankedClock) -> None:
    """What is open is read on; after a restart, and in the place of a new file, it is waited for, and told."""
    with as_nobody() as directory:
        logs = Logs(directory, clock)
        logs.path.touch()
        logs.read()
        with logs.path.open("a") as writer:
            logs.path.chmod(0)
            print("open still", file=writer, flush=True)
            assert (["open still"], 1) == (logs.texts(), logs.number("vigil_log_readable"))
            logs.commit()
            print("unread", file=writer, flush=True)
            logs.restart()
            assert ([], 0) == (logs.texts(), logs.number("vigil_log_readable"))
        logs.path.chmod(0o600)
        assert (["unread"], 1) == (logs.texts(), logs.number("vigil_log_readable"))
        logs.path.rename(directory / "vllm.log.1")
        logs.write("new\n")
        logs.path.chmod(0)
        assert ([], 0) == (logs.texts(), logs.number("vigil_log_readable"))
        logs.path.chmod(0o600)
        assert (["new"], 1) == (logs.texts(), logs.number("vigil_log_readable"))
        logs.reader.close()


def test_our_own_log_is_refused(tmp_path: Path) -> None:
    """Under its own name, under a link and in a glob: what we say about a log must not be read as one."""
    program = (
        "import sys\nfrom pathlib import Path\nfrom standins.logs import Logs\n"
        "from vllm_vigil.clock import CrankedClock\n"
        "logs = Logs(Path(sys.argv[1]), CrankedClock(), 'vigil.log', 'link.log', '*.txt')\n"
        "logs.read(); print('ERROR what we say', file=sys.stderr, flush=True); print(len(logs.read()))\n"
    )
    (tmp_path / "link.log").symlink_to("vigil.log")
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    with (tmp_path / "vigil.log").open("ab") as own:
        done = subprocess.run(
            [sys.executable, "-c", program, str(tmp_path)],
            stdout=subprocess.PIPE,
            stderr=own,
            timeout=60,
            check=True,
            env=environment,
        )
    said = (tmp_path / "vigil.log").read_text()
    assert ("0", True) == (done.stdout.decode().strip(), "it would feed on itself" in said)


def test_a_line_without_end_is_given_after_a_while_and_not_again_with_its_end(logs: Logs) -> None:
    """Also across a restart, before which and after which it was given once."""
    logs.write("whole\nFatal Python error: Abor")
    assert ["whole"] == logs.texts()
    asyncio.run(logs.clock.crank(UNENDED_SECONDS))
    assert (["Fatal Python error: Abor"], []) == (logs.texts(), logs.texts())
    logs.commit()
    logs.restart()
    assert [] == logs.texts()
    asyncio.run(logs.clock.crank(UNENDED_SECONDS))
    assert [] == logs.texts()
    logs.write("\nnext\n")
    assert ["next"] == logs.texts()


def test_a_line_that_goes_on_after_it_was_given_is_given_whole(logs: Logs) -> None:
    """Half of it may not have been enough to know it."""
    logs.write("CUDA out of ")
    logs.read()
    asyncio.run(logs.clock.crank(UNENDED_SECONDS))
    [half] = logs.read()
    logs.write("memory\n")
    [whole] = logs.read()
    assert (b"CUDA out of ", b"CUDA out of memory") == (half.data, whole.data)
    assert (half.offset, half.generation) == (whole.offset, whole.generation)


def test_an_unended_line_that_is_held_is_given_again_after_a_restart(logs: Logs) -> None:
    """What nobody has dealt with is not done."""
    logs.write("half")
    logs.read()
    asyncio.run(logs.clock.crank(UNENDED_SECONDS))
    lines = logs.read()
    logs.commit(held=lines)
    logs.restart()
    logs.read()
    asyncio.run(logs.clock.crank(UNENDED_SECONDS))
    assert ["half"] == logs.texts()


def test_lag_is_told_in_bytes_and_in_seconds(logs: Logs) -> None:
    """The seconds are those since the oldest unread byte was first seen."""
    for _ in range(3):
        logs.write("x" * 99 + "\n")
        logs.read(max_bytes=0)
        asyncio.run(logs.clock.crank(10))
    logs.read(max_bytes=0)
    assert (300, 30) == (logs.number("vigil_log_lag_bytes"), logs.number("vigil_log_lag_seconds"))
    logs.read(max_bytes=100)
    assert (200, 20) == (logs.number("vigil_log_lag_bytes"), logs.number("vigil_log_lag_seconds"))
    logs.read()
    assert (0, 0) == (logs.number("vigil_log_lag_bytes"), logs.number("vigil_log_lag_seconds"))


def test_twice_as_much_as_we_can_read_for_a_minute_is_behind_and_then_caught_up(logs: Logs) -> None:
    """Lag is told while it grows, what we hold does not grow with it, and not a line is missing at the end."""
    written, got, lags = 0, 0, []
    for _ in range(60):
        logs.write("".join(f"line {number:06d} {'x' * 87}\n" for number in range(written, written + 200)))
        written += 200
        batch = logs.texts(max_bytes=10_000)
        assert len(batch) <= 100
        got += len(batch)
        asyncio.run(logs.clock.crank(1.0))
        lags.append((logs.number("vigil_log_lag_bytes") or 0, logs.number("vigil_log_lag_seconds") or 0))
    assert lags == sorted(lags)
    assert (600_000, True) == (lags[-1][0], 15 < lags[-1][1] < 60)
    rest = [text for _ in range(70) for text in logs.texts(max_bytes=10_000)]
    assert [f"line {number:06d}" for number in range(got, written)] == [text[:11] for text in rest]
    assert (0, 0, 0) == (logs.number("vigil_log_lag_bytes"), logs.number("vigil_log_lag_seconds"), logs.lost())
