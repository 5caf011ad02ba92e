"""Several rotations between two looks are walked, oldest first."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from standins.logs import Logs
from vllm_vigil.clock import CrankedClock

NAMES: dict[str, Callable[[int], str]] = {
    "numbers": lambda count: f"vllm.log.{9 - count}",
    "dates": lambda count: f"vllm.log-2026112{count}",
    "kubelet": lambda count: f"vllm.log.20261121-10101{count}",
    "date inside": lambda count: f"vllm-2026112{count}.log",
}


class Rotated(Logs):
    """A log whose every file is changed one second after the one before."""

    def __init__(self, directory: Path, clock: CrankedClock) -> None:
        super().__init__(directory, clock)
        self.at = clock.wall()
        self.put("start\n")
        self.read()
        self.commit()

    def put(self, text: str) -> None:
        """Write, a second later."""
        self.write(text)
        self.at += 1
        os.utime(self.path, (0, self.at))


@pytest.fixture
def logs(tmp_path: Path, clock: CrankedClock) -> Rotated:
    """A log that was read to its end, and its position stored."""
    return Rotated(tmp_path, clock)


@pytest.mark.parametrize("down", [False, True], ids=["running", "down"])
@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES.keys())
def test_five_rotations_between_two_looks_lose_nothing_and_keep_the_order(
    logs: Rotated, name: Callable[[int], str], *, down: bool
) -> None:
    """Whatever the rotated files are called, while we run or not; a restart afterwards repeats nothing."""
    for count in range(5):
        logs.put(f"line {count}, of a file that was never seen at its path\n")
        logs.path.rename(logs.directory / name(count))
    logs.put("line 5\n")
    if down:
        logs.restart()
    assert [f"line {count}" for count in range(6)] == [text[:6] for text in logs.texts()]
    logs.commit()
    logs.restart()
    assert ([], 0) == (logs.texts(), logs.lost("gone"))


@pytest.mark.parametrize("down", [False, True], ids=["running", "down"])
def test_the_files_between_are_read_also_when_the_first_was_deleted(logs: Rotated, *, down: bool) -> None:
    """A rotation that keeps few files removes the oldest before we come."""
    logs.path.unlink()
    logs.put("between\n")
    logs.path.rename(logs.directory / "vllm.log.1")
    logs.put("now\n")
    if down:
        logs.restart()
    assert ["between", "now"] == logs.texts()


def test_what_was_rotated_before_we_came_stays_unread(logs: Rotated) -> None:
    """Also what is compressed, a copy of what was read, and a file of another name; at any rotation."""
    old = logs.directory / "vllm.log.7"
    old.write_text("from before\n")
    os.utime(old, (0, logs.at - 100))
    for name in ("vllm.log.6.gz", "vllm.logbook", "vllm.notes"):
        (logs.directory / name).write_text("no log of ours\n")
    shutil.copy(logs.path, logs.directory / "vllm.log.5")
    logs.path.rename(logs.directory / "vllm.log.1")
    logs.put("new\n")
    assert ["new"] == logs.texts()


def test_after_a_rotation_while_the_place_was_empty_the_files_between_are_read(logs: Rotated) -> None:
    """Gone at one look, rotated twice at the next."""
    logs.path.rename(logs.directory / "vllm.log.2")
    logs.read()
    logs.put("between\n")
    logs.path.rename(logs.directory / "vllm.log.1")
    logs.put("now\n")
    assert ["between", "now"] == logs.texts()


def test_thirty_targets_of_a_symlink_are_read_at_the_speed_of_looking(tmp_path: Path, clock: CrankedClock) -> None:
    """As the kubelet swings /var/log/containers: 100 lines in each, every line once, in order."""
    logs = Logs(tmp_path, clock)
    (tmp_path / "pods").mkdir()
    logs.read()
    expected, got = [], []
    for target in range(30):
        file = tmp_path / "pods" / f"{target}.log"
        lines = [f"target {target} line {number}" for number in range(100)]
        expected += lines
        swung = tmp_path / "swung"
        file.write_text("".join(f"{line}\n" for line in lines[:50]))
        swung.symlink_to(file)
        swung.replace(logs.path)
        got += logs.texts()
        with file.open("a") as writer:
            writer.write("".join(f"{line}\n" for line in lines[50:]))
    got += [text for _ in range(3) for text in logs.texts()]
    assert expected == got


@pytest.mark.parametrize("down", [False, True], ids=["running", "down"])
def test_what_logrotate_destroys_is_read_if_it_was_open_and_counted_if_it_was_not(logs: Rotated, *, down: bool) -> None:
    """A writer that makes the log between rename and create has it moved aside, onto the one of the same hour."""
    backup = logs.directory / "vllm.log-2026112614.backup"
    logs.put("a line that is long enough to take all that the next read may read\n")
    logs.path.rename(logs.directory / "vllm.log.1")
    logs.put("one that was seen and not read yet\n")
    logs.path.rename(backup)
    logs.put("one at the path\n")
    assert ["a line that is long"] == [text[:19] for text in logs.texts(max_bytes=70)]
    logs.commit()
    backup.unlink()
    if down:
        logs.restart()
    seen = ["one that was seen and not read yet"]
    assert (*([] if down else seen), "one at the path") == (*logs.texts(),)
    assert (35 if down else 0) == logs.lost("gone")


def test_at_first_sight_of_an_empty_log_its_writer_is_followed_in_the_rotated_file(tmp_path: Path) -> None:
    """A server that was not told of the rotation writes on there; what stood there before is old, now and for ever."""
    logs = Logs(tmp_path, CrankedClock())
    logs.stamp = lambda _data, now: now - 60.0
    for name in ("vllm.log.2", "vllm.log.1"):
        logs.write(f"an old line of {name}\n", name)
        os.utime(tmp_path / name, (0, logs.clock.wall() + (60 if name.endswith("1") else 0)))
    logs.path.touch()
    logs.restart()
    assert [("an old line of vllm.log.1", True)] == [(line.data.decode(), line.old) for line in logs.read()]
    logs.write("a new one\n", "vllm.log.1")
    assert [("a new one", False)] == [(line.data.decode(), line.old) for line in logs.read()]
    logs.commit()
    logs.restart()
    (tmp_path / "vllm.log.1").rename(tmp_path / "vllm.log.3")
    logs.path.rename(tmp_path / "vllm.log.1")
    logs.write("at the path\n")
    assert ["at the path"] == logs.texts()
