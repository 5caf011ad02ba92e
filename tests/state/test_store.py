"""The one SQLite file."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from vllm_vigil.errors import StateLocked, StateUnusable
from vllm_vigil.model import Incident, IncidentState, Notification, Outcome, Reason, Severity, Silence
from vllm_vigil.state.documents import incident_to_json
from vllm_vigil.state.rows import Word
from vllm_vigil.state.store import FILE, SCHEMA, Store

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
        store.rows.queue(Notification("slack", Reason.FIRST, OPEN), now=200.0)
    store.close()
    store = Store.open(tmp_path)
    assert store.positions() == {"/var/log/a.log": '{"offset": 7}'}
    assert store.memory("windows") == "{}"
    assert store.open_incidents() == [OPEN]
    assert store.rows.waiting() == [(Notification("slack", Reason.FIRST, OPEN, 1, 0, 200.0), 200.0)]
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
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False, timeout=60)
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


def test_a_path_that_is_no_text_is_remembered(tmp_path: Path) -> None:
    """A log's name may hold any bytes; the others are text as before."""
    names = [os.fsdecode(b"/logs/\xff.log"), "/logs/\u00fc.log"]
    store = Store.open(tmp_path)
    for name in names:
        store.save_position(name, "{}")
        store.save_position(name, '{"offset": 1}')
    assert dict.fromkeys(names, '{"offset": 1}') == store.positions()
    store.close()


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    """The error says which directory, why, and what to do."""
    (tmp_path / "file").touch()
    with pytest.raises(StateUnusable, match=r"cannot use the state directory .*/file/state: Not a directory; set"):
        Store.open(tmp_path / "file" / "state")


def test_an_attempt_is_counted_and_an_ended_row_waits_no_more(tmp_path: Path) -> None:
    """Postponed rows keep their place with a later time; ended rows are what the channel was told."""
    store = Store.open(tmp_path)
    with store.transaction():
        first = store.rows.queue(Notification("slack", Reason.FIRST, OPEN), now=10.0)
        second = store.rows.queue(Notification("pager", Reason.FIRST, OPEN), now=10.0)
        store.rows.postpone(first, 25.0, Outcome.RETRY, "429")
        store.rows.end(second, 11.0, Outcome.DELIVERED, "")
    assert [(row.id, row.attempts, due) for row, due in store.rows.waiting()] == [(first, 1, 25.0)]
    assert store.rows.waiting("pager") == []
    assert store.rows.words(OPEN.key) == [
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
        store.rows.end(store.rows.queue(Notification("slack", Reason.FIRST, done), 1.0), 2.0, Outcome.DELIVERED, "")
        store.rows.queue(Notification("slack", Reason.FIRST, waits), 1.0)
        store.forget(before=50.0)
    assert {incident.key for incident in store.recent_incidents(10)} == {OPEN.key, waits.key}
    assert store.rows.words("vigil-2") == []
    store.close()


def test_a_file_of_the_first_schema_is_brought_up_to_date(tmp_path: Path) -> None:
    """What waited in it is still sent."""
    with contextlib.closing(sqlite3.connect(tmp_path / FILE)) as connection:
        connection.executescript(SCHEMA[0] + "PRAGMA user_version=1;")
        connection.execute(
            "INSERT INTO outbox (channel, incident, reason, body, queued, next_at) "
            "VALUES ('slack', ?, 'first', ?, 5, 5)",
            (OPEN.key, incident_to_json(OPEN)),
        )
        connection.commit()
    store = Store.open(tmp_path)
    assert store.rows.waiting() == [(Notification("slack", Reason.FIRST, OPEN, 1, 0, 5.0), 5.0)]
    store.close()


def test_a_row_keeps_its_numbers_and_its_note(tmp_path: Path) -> None:
    """They are those of the time when it was queued, also after a restart."""
    store = Store.open(tmp_path)
    row = Notification("slack", Reason.LOST, OPEN, facts=(("waiting", "41"),), note="pager refused it")
    with store.transaction():
        store.rows.queue(row, 7.0)
    store.close()
    store = Store.open(tmp_path)
    assert [replace(row, id=1, queued=7.0)] == [found for found, _ in store.rows.waiting()]
    store.close()


def test_a_silence_is_kept_until_it_ends_or_is_ended(tmp_path: Path) -> None:
    """Across a restart; ended once, not twice."""
    store = Store.open(tmp_path)
    silence = Silence(0, (("server", "llama"),), 10.0, 100.0, "kim", "driver")
    with store.transaction():
        id_ = store.silence(silence)
        other = store.silence(replace(silence, ends=50.0))
    store.close()
    store = Store.open(tmp_path)
    assert [other, id_] == [each.id for each in store.silences(20.0)]
    assert [replace(silence, id=id_)] == store.silences(50.0)
    assert [True, False, False] == [store.expire(id_, 60.0), store.expire(id_, 60.0), store.expire(99, 60.0)]
    assert store.silences(60.0) == []
    store.close()


def test_an_outcome_that_may_be_a_delivery_stays_one(tmp_path: Path) -> None:
    """A later refusal of the connection does not say that the first attempt had not arrived."""
    store = Store.open(tmp_path)
    with store.transaction():
        id_ = store.rows.queue(Notification("slack", Reason.FIRST, OPEN), 1.0)
        store.rows.postpone(id_, 2.0, Outcome.RETRY, "503")
    assert not store.rows.heard(OPEN.key, "slack")
    store.rows.postpone(id_, 2.0, Outcome.UNKNOWN, "no answer")
    store.rows.postpone(id_, 2.0, Outcome.RETRY, "503")
    assert store.rows.heard(OPEN.key, "slack")
    store.close()


def test_rows_are_dropped_and_tried_again_by_hand(tmp_path: Path) -> None:
    """What was refused or dropped may wait again; what was delivered does not come back."""
    store = Store.open(tmp_path)
    ids = [store.rows.queue(Notification("slack", Reason.FIRST, replace(OPEN, key=key)), 1.0) for key in "abc"]
    store.rows.end(ids[0], 2.0, Outcome.PERMANENT, "404")
    store.rows.end(ids[1], 2.0, Outcome.DELIVERED, "")
    assert [1, 0] == [store.rows.drop(ids, 3.0), store.rows.drop(ids, 3.0)]
    assert store.rows.waiting() == []
    assert store.rows.retry(ids, 4.0) == 2
    assert ["a", "c"] == [row.incident.key for row, _ in store.rows.waiting()]
    store.close()
