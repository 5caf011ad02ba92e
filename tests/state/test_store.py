"""The one SQLite file."""

from __future__ import annotations

import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from vllm_vigil.errors import StateLocked, StateUnusable
from vllm_vigil.model import Incident, IncidentState, Notification, Outcome, Reason, Severity
from vllm_vigil.state.store import FILE, Store, Word

OPEN = Incident(
    key="vigil-1",
    rule="cuda_oom",
    server="llama",
    severity=Severity.CRITICAL,
    state=IncidentState.OPEN,
    title="CUDA out of memory",
    opened=100.0,
    updated=160.0,
    count=3,
    labels=(("gpu", "0"), ("phase", "runtime")),
    evidence=("line \U0001f525", "another"),
)


def test_what_a_transaction_wrote_is_read_back_after_a_restart(tmp_path: Path) -> None:
    """Position, memory, incident and outbox row survive together, field by field."""
    store = Store.open(tmp_path)
    with store.transaction():
        store.save_position("/var/log/a.log", '{"offset": 7}')
        store.remember("windows", "{}")
        store.save_incident(OPEN)
        store.queue(Notification("slack", Reason.FIRST, OPEN), now=200.0)
    store.close()
    store = Store.open(tmp_path)
    assert store.positions() == {"/var/log/a.log": '{"offset": 7}'}
    assert store.memory("windows") == "{}"
    assert store.open_incidents() == [OPEN]
    assert store.waiting() == [(Notification("slack", Reason.FIRST, OPEN, 1, 0, 200.0), 200.0)]
    store.close()


def test_a_transaction_that_fails_leaves_nothing(tmp_path: Path) -> None:
    """Half a step is no step."""
    store = Store.open(tmp_path)
    with pytest.raises(ZeroDivisionError), store.transaction():
        store.save_incident(OPEN)
        _ = 1 / 0
    assert store.open_incidents() == []
    store.close()


def test_a_process_killed_inside_a_transaction_leaves_the_state_before_it(tmp_path: Path) -> None:
    """`kill -9` between two writes of one step loses the whole step, not half of it."""
    program = (
        "import os, sys\nfrom pathlib import Path\nfrom vllm_vigil.state.store import Store\n"
        "store = Store.open(Path(sys.argv[1]))\n"
        "with store.transaction(): store.save_position('a', '1')\n"
        "with store.transaction():\n    store.save_position('a', '2')\n    os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False, timeout=20)
    store = Store.open(tmp_path)
    assert (done.returncode, store.positions()) == (-9, {"a": "1"})
    store.close()


def test_a_second_instance_is_refused_and_the_place_is_free_after_the_first(tmp_path: Path) -> None:
    """The lock goes with its holder, however that ends."""
    first = Store.open(tmp_path)
    with pytest.raises(StateLocked, match="another vigil holds the state directory"):
        Store.open(tmp_path)
    first.close()
    Store.open(tmp_path).close()


def test_only_the_owner_may_read_the_state(tmp_path: Path) -> None:
    """Directory 0700, files 0600: evidence lines and channel names are nobody else's business."""
    directory = tmp_path / "state"
    store = Store.open(directory)
    with store.transaction():
        store.remember("a", "b")
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()}
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert modes == dict.fromkeys(modes, 0o600)
    assert FILE in modes
    store.close()


def test_a_file_that_cannot_be_read_is_moved_aside(tmp_path: Path) -> None:
    """A torn or foreign file costs its content, not the start."""
    (tmp_path / FILE).write_bytes(b"\0" * 5000)
    store = Store.open(tmp_path)
    assert store.positions() == {}
    assert (tmp_path / f"{FILE}.unreadable").stat().st_size == 5000
    store.close()


def test_a_file_of_a_newer_schema_is_left_alone(tmp_path: Path) -> None:
    """A downgrade says so, and breaks nothing."""
    Store.open(tmp_path).close()
    with sqlite3.connect(tmp_path / FILE) as connection:
        connection.execute("PRAGMA user_version=99")
    connection.close()
    with pytest.raises(StateUnusable, match="another version of vigil"):
        Store.open(tmp_path)


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    """The error says which directory, why, and what to do."""
    (tmp_path / "file").touch()
    with pytest.raises(StateUnusable, match=r"cannot use the state directory .*/file/state: Not a directory; give"):
        Store.open(tmp_path / "file" / "state")


def test_an_attempt_is_counted_and_an_ended_row_waits_no_more(tmp_path: Path) -> None:
    """Postponed rows keep their place with a later time; ended rows are what the channel was told."""
    store = Store.open(tmp_path)
    with store.transaction():
        first = store.queue(Notification("slack", Reason.FIRST, OPEN), now=10.0)
        second = store.queue(Notification("pager", Reason.FIRST, OPEN), now=10.0)
        store.postpone(first, 25.0, Outcome.RETRY, "429")
        store.end(second, 11.0, Outcome.DELIVERED, "")
    assert [(row.id, row.attempts, due) for row, due in store.waiting()] == [(first, 1, 25.0)]
    assert store.waiting("pager") == []
    assert store.words(OPEN.key) == [
        Word("slack", Reason.FIRST, 10.0, Outcome.RETRY, waits=True),
        Word("pager", Reason.FIRST, 11.0, Outcome.DELIVERED, waits=False),
    ]
    store.close()


def test_old_news_is_forgotten_but_nothing_that_still_waits(tmp_path: Path) -> None:
    """Delivered rows and resolved incidents go after their time; a page not yet out keeps its incident."""
    store = Store.open(tmp_path)
    done = Incident("vigil-2", "x", "s", Severity.INFO, IncidentState.RESOLVED, "t", 1.0, 2.0, 3.0)
    waits = Incident("vigil-3", "x", "s", Severity.INFO, IncidentState.RESOLVED, "t", 1.0, 2.0, 3.0)
    with store.transaction():
        for incident in (OPEN, done, waits):
            store.save_incident(incident)
        store.end(store.queue(Notification("slack", Reason.FIRST, done), 1.0), 2.0, Outcome.DELIVERED, "")
        store.queue(Notification("slack", Reason.FIRST, waits), 1.0)
        store.forget(before=50.0)
    assert {incident.key for incident in store.recent_incidents(10)} == {OPEN.key, waits.key}
    assert store.words("vigil-2") == []
    store.close()
