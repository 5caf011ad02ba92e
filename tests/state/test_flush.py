"""What was committed is synced behind the writer's back, and a disk that did not keep it is left for memory."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from standins.program import until
from vllm_vigil.state import flush as module
from vllm_vigil.state.flush import Flush
from vllm_vigil.state.store import Store


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of what was synced, without a pause between two times."""
    names: list[str] = []
    sync = os.fdatasync

    def noted(descriptor: int) -> None:
        names.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        sync(descriptor)

    monkeypatch.setattr(module, "SYNC_SECONDS", 0.01)
    monkeypatch.setattr(os, "fdatasync", noted)
    return names


def test_what_is_committed_is_synced_in_a_while(tmp_path: Path, synced: list[str]) -> None:
    """The log of the database, once there is something new in it."""
    store = Store.open(tmp_path)
    with store.transaction():
        store.remember("a", "1")
    until(10, "it is synced", lambda: synced)
    assert {"vigil.sqlite3-wal"} == set(synced)
    store.close()


def test_the_log_moves_into_the_file_when_it_is_time(
    tmp_path: Path, synced: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the store is open: without that the log would only grow."""
    monkeypatch.setattr(module, "CHECKPOINT_SECONDS", 0.0)
    store = Store.open(tmp_path)
    with store.transaction():
        store.remember("a", "x" * 100_000)
    until(10, "it is in the file", lambda: b"x" * 3_000 in (tmp_path / "vigil.sqlite3").read_bytes())
    assert synced
    store.close()


def test_a_slow_disk_is_spared_the_move_until_the_log_is_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Because the next writer would wait for it."""
    log, moves = tmp_path / "log", list[int]()
    log.write_bytes(bytes(10))
    monkeypatch.setattr(module, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(module, "QUICK_SECONDS", 0.0)
    flush = Flush(log, lambda: moves.append(1))
    flush.soon()
    flush.close()
    assert not moves
    monkeypatch.setattr(module, "LARGE_BYTES", 9)
    flush.close()
    assert [1] == moves


def test_who_only_reads_waits_for_no_disk(tmp_path: Path, synced: list[str]) -> None:
    """A command that lists what there is leaves without a sync."""
    Store.open(tmp_path).close()
    synced.clear()
    Store.peek(tmp_path).close()
    assert not synced


def test_a_failure_is_told_once(tmp_path: Path) -> None:
    """A log that cannot be opened is one; one that is not there is none."""
    (tmp_path / "log").mkdir()
    flush = Flush(tmp_path / "log", lambda: None)
    flush.soon()
    flush.close()
    assert isinstance(flush.failure(), IsADirectoryError)
    assert flush.failure() is None
    absent = Flush(tmp_path / "none", lambda: None)
    absent.soon()
    absent.close()
    assert absent.failure() is None


def test_a_disk_that_takes_back_what_it_took_is_left_for_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sync that fails says that pages were lost: from the next transaction on all is in memory."""

    def fails(_: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(module, "SYNC_SECONDS", 0.01)
    store = Store.open(tmp_path)
    monkeypatch.setattr(os, "fdatasync", fails)

    def left() -> bool:
        with store.transaction():
            store.remember("a", "1")
        return not store.writable

    until(10, "the disk is left", left)
    assert "1" == store.memory("a")
    monkeypatch.undo()
    store.close()
