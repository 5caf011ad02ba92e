"""A disk that is full or read-only stops nothing: state goes on in memory and comes back to the disk."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

MOUNT = 'mount -t tmpfs -o size=640k tmpfs "$1" && mkdir "$1/state" && exec "$2" "$3" "$1"'


def on_a_small_disk(directory: Path, program: str) -> str:
    """What a program prints whose `disk` is a file system of 640 KiB of its own."""
    script = directory / "program.py"
    script.write_text(
        "import sys, os, subprocess\nfrom pathlib import Path\nfrom vllm_vigil.state.store import Store\n"
        "from vllm_vigil.state import disk as disk_module\ndisk = Path(sys.argv[1])\n" + textwrap.dedent(program)
    )
    place = directory / "disk"
    place.mkdir()
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", MOUNT, "sh", str(place), sys.executable, str(script)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=os.environ,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_a_disk_that_fills_up_is_left_for_memory_and_taken_up_again(tmp_path: Path) -> None:
    """No write fails, none is lost while the process lives, and the disk has all of it once it has room."""
    said = on_a_small_disk(
        tmp_path,
        """
        now = [0.0]
        store = Store.open(disk / "state")
        store._disk._monotonic = lambda: now[0]
        with store.transaction():
            store.save_position("a", "1")
        filler = (disk / "filler").open("wb", buffering=0)
        try:
            while True:
                filler.write(bytes(4096))
        except OSError as error:
            assert error.errno == 28, error
        for number in range(40):
            with store.transaction():
                store.save_position("a", str(number))
                store.remember(str(number), "x" * 20_000)
        assert not store.writable
        assert (store.positions(), store.memory("39")) == ({"a": "39"}, "x" * 20_000)
        os.truncate(disk / "filler", 0)
        with store.transaction():
            for number in range(1, 40):
                store.remember(str(number), "")
        assert not store.writable
        now[0] = 31.0
        with store.transaction():
            pass
        print("small enough" if store.writable else "still too big")
        subprocess.run(["mount", "-o", "remount,size=8m", str(disk)], check=True)
        now[0] = 62.0
        with store.transaction():
            store.save_position("a", "back")
        assert store.writable
        store.close()
        store = Store.open(disk / "state")
        assert (store.positions(), len(store.memory("0"))) == ({"a": "back"}, 20_000)
        """,
    )
    assert 1 == said.count("state cannot be written to")
    assert (1, True) == (said.count("is written to"), "still too big" in said)


def test_a_transaction_that_fails_in_memory_leaves_nothing_either(tmp_path: Path) -> None:
    """Half a step is no step, wherever it is kept; what was written before it stays."""
    on_a_small_disk(
        tmp_path,
        """
        store = Store.open(disk / "state")
        with store.transaction():
            store.save_position("a", "1")
        try:
            with store.transaction():
                store.save_position("a", "2")
                for number in range(100):
                    store.remember(str(number), "x" * 20_000)
                raise ZeroDivisionError
        except ZeroDivisionError:
            pass
        assert (store.positions(), store.memory("0")) == ({"a": "1"}, None)
        """,
    )


def test_a_disk_that_is_full_at_the_start_does_not_stop_it(tmp_path: Path) -> None:
    """Begun in memory with nothing; the file is made when there is room."""
    on_a_small_disk(
        tmp_path,
        """
        filler = (disk / "filler").open("wb", buffering=0)
        try:
            while True:
                filler.write(bytes(4096))
        except OSError:
            pass
        store = Store.open(disk / "state")
        with store.transaction():
            store.save_position("a", "1")
        assert (store.writable, store.positions()) == (False, {"a": "1"})
        os.truncate(disk / "filler", 0)
        store.close()
        """,
    )


def test_a_directory_that_is_read_only_is_read_and_state_kept_in_memory(tmp_path: Path) -> None:
    """What it holds is known, what comes is kept as long as the process lives, and nothing is written."""
    on_a_small_disk(
        tmp_path,
        """
        subprocess.run(["mount", "-o", "remount,size=8m", str(disk)], check=True)
        store = Store.open(disk / "state")
        with store.transaction():
            store.save_position("a", "1")
        store.close()
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        store = Store.open(disk / "state")
        assert (store.writable, store.positions()) == (False, {"a": "1"})
        with store.transaction():
            store.save_position("a", "2")
        assert (store.writable, store.positions()) == (False, {"a": "2"})
        store.close()
        """,
    )
