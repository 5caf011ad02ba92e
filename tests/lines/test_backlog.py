"""The first sight looks back a little, and what was written while we were away is known to be late."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from standins.logs import Logs
from vllm_vigil.clock import CrankedClock
from vllm_vigil.lines.backlog import LOOK_BACK_BYTES

HOUR = 3600.0
TIME = re.compile(rb"t=(\d+)")


def stamp(data: bytes, _now: float) -> float | None:
    """The time in a line of these tests."""
    found = TIME.search(data)
    return float(found[1]) if found else None


def stand(directory: Path, clock: CrankedClock, *ages: float | None, zone: float = 0.0, modified: float = 0.0) -> Logs:
    """A log with one line of each age (seconds), last changed `modified` seconds ago; not looked at yet."""
    logs = Logs(directory, clock)
    logs.stamp = stamp
    logs.path.touch()
    for age in ages:
        logs.write("no time\n" if age is None else f"t={clock.wall() - age + zone:.0f} age {age:.0f}\n")
    os.utime(logs.path, (0, clock.wall() - modified))
    logs.restart()
    return logs


@pytest.mark.parametrize("zone", [0.0, -8 * HOUR, 5.5 * HOUR])
def test_the_last_ten_minutes_are_read_as_old_whatever_the_zone_of_the_log(
    tmp_path: Path, clock: CrankedClock, zone: float
) -> None:
    """They warm the windows; a line without a time is as old as the one before it."""
    logs = stand(tmp_path, clock, 3 * HOUR, 700, 590, None, 10, 0, zone=zone)
    lines = logs.read()
    assert [(590, True), (590, True), (10, True), (0, True)] == [(round(line.late_seconds), line.old) for line in lines]
    logs.write("new\n")
    assert [(b"new", False, 0.0)] == [(line.data, line.old, line.late_seconds) for line in logs.read()]


def test_a_file_that_was_quiet_for_ten_minutes_is_not_looked_back_into(tmp_path: Path, clock: CrankedClock) -> None:
    """Its last lines are old trouble, however near the end."""
    assert [] == stand(tmp_path, clock, 1300, 1200, modified=1200).texts()


def test_lines_without_times_are_not_looked_back_into(tmp_path: Path, clock: CrankedClock) -> None:
    """Nobody can say how old they are."""
    assert [] == stand(tmp_path, clock, None, None).texts()


def test_a_line_that_was_half_written_at_first_sight_is_new(tmp_path: Path, clock: CrankedClock) -> None:
    """It ends after we came: what it says has just happened."""
    logs = stand(tmp_path, clock, 10)
    logs.write(f"t={clock.wall():.0f} the engine is")
    assert [("age 10", True)] == [(line.data.decode()[-6:], line.old) for line in logs.read()]
    logs.write(" dead\n")
    assert [("is dead", False)] == [(line.data.decode()[-7:], line.old) for line in logs.read()]


def test_a_huge_file_is_looked_back_into_by_size_and_found_by_bisection(tmp_path: Path, clock: CrankedClock) -> None:
    """Of 10 GiB some hundred KB are looked at: first the ten minutes, and no more than 64 MiB however many they are."""
    size = 10 << 30
    logs = stand(tmp_path, clock)
    block = "".join(f"t={clock.wall() - 30:.0f} {number:07d}\n" for number in range(40_000))
    with logs.path.open("wb") as writer:
        writer.truncate(size)
        writer.seek(size)
        writer.write(b"\n" + block.encode())
    os.utime(logs.path, (0, clock.wall() - 30))
    logs.read(max_bytes=0)
    assert logs.number("vigil_log_lag_bytes") <= LOOK_BACK_BYTES  # type: ignore[operator]  # a number, or this fails
    got: list[str] = []
    while len(got) < 40_000 and (lines := logs.texts()):
        got += [text for text in lines if text]
    assert (40_000, True) == (len(got), got[-1].endswith("0039999"))


def test_what_was_written_while_we_were_away_is_late_by_its_own_time(tmp_path: Path, clock: CrankedClock) -> None:
    """And not old: it pages, and says so. A minute is not worth telling."""
    logs = stand(tmp_path, clock)
    logs.read()
    logs.commit()
    logs.write("".join(f"t={clock.wall() - age:.0f}\n" for age in (7200, 300, 30)))
    os.utime(logs.path, (0, clock.wall()))
    logs.restart()
    assert [(7200, False), (300, False), (0, False)] == [(round(x.late_seconds), x.old) for x in logs.read()]


def test_a_rotation_while_we_were_away_is_late_too(tmp_path: Path, clock: CrankedClock) -> None:
    """The rest of the old file and the new one alike; without times it is the age of the file's last change."""
    logs = stand(tmp_path, clock)
    logs.read()
    logs.commit()
    logs.write("old one\n")
    os.utime(logs.path, (0, clock.wall() - 600))
    logs.path.rename(tmp_path / "vllm.log.1")
    logs.write("new one\n")
    os.utime(logs.path, (0, clock.wall() - 120))
    logs.restart()
    assert [(b"old one", 600), (b"new one", 120)] == [(line.data, round(line.late_seconds)) for line in logs.read()]
