"""deploy/logrotate/: the shipped file, run by logrotate itself beside a writer that does not stop."""

from __future__ import annotations

import gzip
import os
import subprocess
from pathlib import Path

from standins.program import until
from standins.shipped import ROOT

FOLDER = ROOT / "deploy" / "logrotate"
GIGABYTE = 1 << 30


def rotate(directory: Path, *options: str) -> None:
    """Run logrotate with the shipped file, in which nothing but the folders is changed."""
    text = (FOLDER / "vllm").read_text()
    config = directory / "vllm"
    config.write_text(
        text.replace("/var/log/vllm/", f"{directory}/").replace("/var/log/vllm-vigil/", f"{directory}/vigil/")
    )
    config.chmod(0o644)
    subprocess.run(
        ["/usr/sbin/logrotate", "--state", str(directory / "state"), *options, str(config)],
        check=True,
        timeout=60,
        capture_output=True,
    )


def rotated(directory: Path) -> list[Path]:
    """The files that were renamed, oldest first."""
    return sorted(directory.glob("vllm.log-*"))


def age(directory: Path, day: int) -> None:
    """Give the newest renamed file that day's name, as if the rotations were days and not milliseconds apart."""
    (newest,) = (path for path in rotated(directory) if path.suffix != ".gz" and "-17000000" not in path.name)
    newest.rename(newest.with_name(f"vllm.log-202611{day:02d}-17000000{day:02d}"))


def test_a_log_of_a_gigabyte_is_renamed_before_its_day_is_over(tmp_path: Path) -> None:
    """And one byte less waits for the day."""
    tmp_path.chmod(0o755)
    log = tmp_path / "vllm.log"
    log.touch()
    rotate(tmp_path)
    os.truncate(log, GIGABYTE)
    rotate(tmp_path)
    assert rotated(tmp_path) == []
    os.truncate(log, GIGABYTE + 1)
    inode = log.stat().st_ino
    rotate(tmp_path)
    (renamed,) = rotated(tmp_path)
    assert inode == renamed.stat().st_ino, "renamed, not copied"
    assert not log.exists()


def test_seven_are_kept_and_the_last_is_not_compressed(tmp_path: Path) -> None:
    """Whoever still writes or reads in it may finish."""
    tmp_path.chmod(0o755)
    for day in range(1, 11):
        (tmp_path / "vllm.log").write_text(f"day {day}\n")
        rotate(tmp_path, "--force")
        age(tmp_path, day)
    names = [path.name for path in rotated(tmp_path)]
    assert 7 == len(names)
    assert "vllm.log-20261110-1700000010" == names[-1]
    assert all(name.endswith(".gz") for name in names[:-1])


def test_a_writer_behind_append_loses_no_line(tmp_path: Path) -> None:
    """It opens the file anew for each line: three rotations under way, every line once and in order."""
    tmp_path.chmod(0o755)
    log = tmp_path / "vllm.log"
    writer = subprocess.Popen([FOLDER / "append", log], stdin=subprocess.PIPE)
    assert writer.stdin is not None
    written = 0
    for day in range(1, 4):
        for _ in range(500):
            written += 1
            writer.stdin.write(b"line %d \\ of a \tlog\n" % written)
        writer.stdin.flush()
        until(60, "the writer has written", lambda: log.exists() and log.stat().st_size > 2_000)
        rotate(tmp_path, "--force")
        age(tmp_path, day)
    writer.stdin.close()
    assert writer.wait(30) == 0
    parts = [path for path in (*rotated(tmp_path), log) if path.exists()]
    texts = [gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes() for path in parts]
    assert [b"line %d \\ of a \tlog" % number for number in range(1, written + 1)] == b"".join(texts).splitlines()
