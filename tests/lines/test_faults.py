"""A disk that answers with errors, a file that changes between two calls: nothing is lost, and nothing comes twice."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from standins.logs import Logs, descriptors_of
from vllm_vigil.clock import CrankedClock

TELLING = "a line that is long enough for the bytes before the offset to be told from all others\n"


@pytest.fixture
def logs(tmp_path: Path, clock: CrankedClock) -> Iterator[Logs]:
    """A log of which one line was read and committed, and a second waits."""
    made = Logs(tmp_path, clock)
    made.path.touch()
    made.read()
    made.write(TELLING)
    made.read()
    made.commit()
    made.write("two\n")
    yield made
    made.reader.close()


def failing(call: Callable[..., object], code: int, times: int) -> Callable[..., object]:
    """The same call of the system, of which the next so many fail."""
    left = [times]

    def attempt(*arguments: object, **named: object) -> object:
        if left[0]:
            left[0] -= 1
            raise OSError(code, os.strerror(code))
        return call(*arguments, **named)

    return attempt


@pytest.mark.parametrize("times", [1, 2, 5])
@pytest.mark.parametrize("name", ["pread", "fstat", "stat", "open"])
@pytest.mark.parametrize("code", [errno.ESTALE, errno.EIO], ids=["ESTALE", "EIO"])
def test_a_call_that_fails_for_a_while_is_made_again_from_the_mark(
    logs: Logs, monkeypatch: pytest.MonkeyPatch, code: int, name: str, times: int
) -> None:
    """As on a network file system whose server was restarted: the file is let go, found by its mark, and read on."""
    with monkeypatch.context() as patched:
        patched.setattr(os, name, failing(getattr(os, name), code, times))
        got = [text for _ in range(10) for text in logs.texts()]
    assert (["two"], 0, 0) == (got, logs.lost(), logs.lost("gone"))
    assert (1, 1) == (logs.number("vigil_log_readable"), descriptors_of(logs.path))
    logs.write("three\n")
    assert ["three"] == logs.texts()


def test_a_disk_that_stays_broken_is_told_and_keeps_the_place(logs: Logs, monkeypatch: pytest.MonkeyPatch) -> None:
    """No position is given that could be wrong; after it is mended, also by another process, nothing is missing."""
    with monkeypatch.context() as patched:
        patched.setattr(os, "pread", failing(os.pread, errno.EIO, 1_000_000))
        got = [text for _ in range(5) for text in logs.texts()]
        assert ([], 0) == (got, logs.number("vigil_log_readable"))
        assert {} == logs.reader.positions()
        logs.reader.close()
    logs.restart()
    assert (["two"], 1) == (logs.texts(), logs.number("vigil_log_readable"))


def test_a_rotation_between_two_calls_takes_no_identity_from_the_path(
    logs: Logs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The path is rotated after each call of the system that looks at it, in turn: each line comes once."""
    real = {name: getattr(os, name) for name in ("stat", "open", "fstat", "pread")}
    expected = ["two"]
    got: list[str] = []
    rotations = 0

    def rotating(name: str, at: int) -> Callable[..., object]:
        count = 0

        def call(*arguments: object, **named: object) -> object:
            nonlocal count, rotations
            result = real[name](*arguments, **named)
            count += 1
            if count == at:
                rotations += 1
                with logs.path.open("ab") as file:
                    file.write(TELLING.encode())
                logs.path.rename(logs.directory / f"vllm.log.{rotations}")
                logs.path.write_bytes(b"after rotation %d\n" % rotations)
                expected.extend([TELLING.rstrip(), f"after rotation {rotations}"])
            return result

        return call

    for name in real:
        for at in (1, 2, 3):
            with monkeypatch.context() as patched:
                patched.setattr(os, name, rotating(name, at))
                got += logs.texts()
            got += [text for _ in range(4) for text in logs.texts()]
            logs.commit()
    assert expected == got


def test_a_crash_between_read_and_commit_reads_again_in_the_renamed_file(logs: Logs) -> None:
    """What was read is not what was dealt with."""
    assert ["two"] == logs.texts()
    logs.path.rename(logs.directory / "vllm.log.1")
    logs.write("three\n")
    logs.restart()
    assert ["two", "three"] == logs.texts()


def test_silly_renames_of_a_network_file_system_are_no_logs(tmp_path: Path, clock: CrankedClock) -> None:
    """NFS keeps a deleted file that is open as `.nfs...` beside its path: no glob finds it, and it is no sibling."""
    logs = Logs(tmp_path, clock, "*")
    logs.read()
    logs.write("deleted\n", ".nfs000000000001")
    logs.write("here\n")
    assert ["here"] == logs.texts()
    logs.reader.close()


def test_a_file_that_rotates_as_the_kubelet_does_is_followed_through_its_link(
    tmp_path: Path, clock: CrankedClock
) -> None:
    """A link into a pod's directory; there 5 files are kept, all but the newest packed."""
    pod = tmp_path / "pod"
    pod.mkdir()
    logs = Logs(tmp_path, clock, "*.log")
    (pod / "0.log").touch()
    logs.path.symlink_to(pod / "0.log")
    logs.read()
    got = []
    for turn in range(8):
        logs.write(f"turn {turn}: before\n")
        got += logs.texts()
        logs.write(f"turn {turn}: unread\n")
        rotated = pod / f"0.log.20261121-10101{turn}"
        (pod / "0.log").rename(rotated)
        (pod / "0.log").touch()
        for older in sorted(pod.glob("0.log.*"))[:-1]:
            if older.suffix != ".gz":
                older.rename(older.with_name(f"{older.name}.gz"))
        for oldest in sorted(pod.glob("0.log.*.gz"))[:-4]:
            oldest.unlink()
        got += logs.texts()
        logs.commit()
        logs.restart()
    assert [f"turn {turn}: {what}" for turn in range(8) for what in ("before", "unread")] == got
    logs.reader.close()
