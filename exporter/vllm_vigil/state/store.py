"""The one SQLite file: positions, memory, incidents, silences and the outbox (`rows`), changed together or not at all.

Promise: what `transaction()` wrote outlives the process when it returns, however that ends, or none of it does. After a
power cut all is as it was about a second before: positions with incidents, so that lines are read again. A second
process on the same directory is refused by `flock`, which the kernel releases however the first one ends. A file that
cannot be read is moved aside and a new one begun: a sidecar that does not start watches nothing. When the disk is full
or read-only, state goes on in memory until it can be written again: see `disk`.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
from pathlib import Path

from vllm_vigil.errors import StateLocked, StateUnusable
from vllm_vigil.model import Incident, IncidentState, Silence
from vllm_vigil.state.disk import Disk
from vllm_vigil.state.documents import incident_from_json, incident_to_json
from vllm_vigil.state.rows import Rows

FILE = "vigil.sqlite3"
NO_DISK = frozenset({errno.EROFS, errno.ENOSPC, errno.EDQUOT})
"""A directory that nothing can be written to, whoever asks; what is no permission is a mistake to mend."""
SCHEMA = (
    """
CREATE TABLE position (name TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE memory (name TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE incident (key TEXT PRIMARY KEY, state TEXT NOT NULL, opened REAL NOT NULL, body TEXT NOT NULL);
CREATE INDEX incident_by_state ON incident (state, opened);
CREATE TABLE outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    channel TEXT NOT NULL, incident TEXT NOT NULL, reason TEXT NOT NULL, body TEXT NOT NULL,
    queued REAL NOT NULL, next_at REAL NOT NULL, attempts INTEGER NOT NULL DEFAULT 0,
    outcome TEXT, detail TEXT NOT NULL DEFAULT '', ended REAL
);
CREATE INDEX outbox_waiting ON outbox (channel, id) WHERE ended IS NULL;
CREATE INDEX outbox_by_incident ON outbox (incident, channel, id);
""",
    """
ALTER TABLE outbox ADD COLUMN facts TEXT NOT NULL DEFAULT '[]';
ALTER TABLE outbox ADD COLUMN note TEXT NOT NULL DEFAULT '';
ALTER TABLE outbox ADD COLUMN severity TEXT NOT NULL DEFAULT 'critical';
ALTER TABLE outbox ADD COLUMN server TEXT NOT NULL DEFAULT '';
CREATE INDEX outbox_by_time ON outbox (channel, queued);
CREATE TABLE tally (
    channel TEXT, rule TEXT, server TEXT, severity TEXT,
    count INTEGER NOT NULL, first REAL NOT NULL, last REAL NOT NULL,
    PRIMARY KEY (channel, rule, server, severity)
) WITHOUT ROWID;
CREATE TABLE silence (
    id INTEGER PRIMARY KEY AUTOINCREMENT, match TEXT NOT NULL, begins REAL NOT NULL, ends REAL NOT NULL,
    author TEXT NOT NULL, comment TEXT NOT NULL
);
""",
    "CREATE TABLE wish (key TEXT PRIMARY KEY, at REAL NOT NULL) WITHOUT ROWID;\n",
)
"""What makes each version of the file from the one before; an older file is brought up to date when it is opened."""


class Store:
    """All reading and writing of state. Used from the loop's thread only, or by a command of its own."""

    def __init__(self, disk: Disk, lock: int | None) -> None:
        self.rows = Rows(disk)
        self._disk = disk
        self._lock = lock

    @property
    def writable(self) -> bool:
        """Whether what is written reaches the disk; if not, it is kept in memory."""
        return self._disk.writable

    # --- life

    @classmethod
    def open(cls, directory: Path) -> Store:
        """Take the directory for this process, and its file, made on first use.

        Raises `StateLocked` if another instance holds it, `StateUnusable` if it may not be written. A disk that is
        full or read-only is none of both: then state is kept in memory.
        """
        disk = Disk(directory / FILE, SCHEMA)
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            if error.errno in NO_DISK:
                disk.stay_in_memory(error.strerror or "", owned=False)
                return cls(disk, None)
            reason = "it is no directory" if isinstance(error, FileExistsError) else error.strerror
            raise StateUnusable(
                f"cannot use the state directory {directory}: {reason}; set state_dir to one that this user may write"
            ) from error
        _hold(lock, directory)
        disk.open()
        disk.flush_behind()
        return cls(disk, lock)

    @classmethod
    def peek(cls, directory: Path) -> Store:
        """Open the file of an instance that may be running, for a command that lists or edits a row."""
        path = directory / FILE
        if not path.exists():
            raise StateUnusable(
                f"no state in {directory}: give --config or --state-dir as the sidecar has it, if it has run"
            )
        disk = Disk(path, SCHEMA)
        disk.open()
        return cls(disk, None)

    def close(self) -> None:
        """Give up file and directory."""
        self._disk.close()
        if self._lock is not None:
            os.close(self._lock)

    def transaction(self) -> contextlib.AbstractContextManager[None]:
        """Everything written inside is kept together, or none of it is."""
        return self._disk.transaction()

    # --- positions and memory: JSON texts of those who own them

    def positions(self) -> dict[str, str]:
        """Where each followed file was left, as `lines/` wrote it."""
        return {os.fsdecode(name): body for name, body in self._disk.execute("SELECT name, body FROM position")}

    def save_position(self, name: str, body: str) -> None:
        """Remember where a file was left."""
        self._disk.execute("INSERT OR REPLACE INTO position VALUES (?, ?)", (_kept(name), body))

    def memory(self, name: str) -> str | None:
        """What a part wanted to know after a restart, or None."""
        row = self._disk.execute("SELECT body FROM memory WHERE name = ?", (name,)).fetchone()
        return row[0] if row else None

    def remember(self, name: str, body: str) -> None:
        """Keep what a part wants to know after a restart."""
        self._disk.execute("INSERT OR REPLACE INTO memory VALUES (?, ?)", (name, body))

    # --- incidents

    def save_incident(self, incident: Incident) -> None:
        """Write the incident as it is now."""
        self._disk.execute(
            "INSERT OR REPLACE INTO incident VALUES (?, ?, ?, ?)",
            (incident.key, incident.state, incident.opened, incident_to_json(incident)),
        )

    def open_incidents(self) -> list[Incident]:
        """Those not resolved, oldest first."""
        rows = self._disk.execute("SELECT body FROM incident WHERE state = ? ORDER BY opened", (IncidentState.OPEN,))
        return [incident_from_json(body) for (body,) in rows]

    def recent_incidents(self, limit: int) -> list[Incident]:
        """The newest, open or resolved, newest first."""
        rows = self._disk.execute("SELECT body FROM incident ORDER BY opened DESC LIMIT ?", (limit,))
        return [incident_from_json(body) for (body,) in rows]

    def incident(self, key: str) -> Incident | None:
        """The incident of that key, None if there is none."""
        row = self._disk.execute("SELECT body FROM incident WHERE key = ?", (key,)).fetchone()
        return incident_from_json(row[0]) if row else None

    # --- incidents that somebody wants resolved: a command writes them, the process that owns the incidents takes them

    def wish(self, key: str, now: float) -> None:
        """Ask that an incident be resolved."""
        self._disk.execute("INSERT OR REPLACE INTO wish VALUES (?, ?)", (key, now))

    def wishes(self) -> list[str]:
        """The keys of what is to be resolved, first asked first."""
        return [key for (key,) in self._disk.execute("SELECT key FROM wish ORDER BY at, key")]

    def granted(self, key: str) -> None:
        """Forget a wish."""
        self._disk.execute("DELETE FROM wish WHERE key = ?", (key,))

    # --- silences

    def silence(self, silence: Silence) -> int:
        """Keep a silence; give its id, which it did not have before."""
        body = json.dumps([list(pair) for pair in silence.match])
        cursor = self._disk.execute(
            "INSERT INTO silence (match, begins, ends, author, comment) VALUES (?, ?, ?, ?, ?)",
            (body, silence.begins, silence.ends, silence.author, silence.comment),
        )
        return int(cursor.lastrowid or 0)

    def silences(self, now: float) -> list[Silence]:
        """Those that have not ended, in the order in which they will."""
        rows = self._disk.execute(
            "SELECT id, match, begins, ends, author, comment FROM silence WHERE ends > ? ORDER BY ends, id", (now,)
        )
        return [
            Silence(id_, tuple((name, value) for name, value in json.loads(match)), begins, ends, author, comment)
            for id_, match, begins, ends, author, comment in rows
        ]

    def expire(self, id_: int, now: float) -> bool:
        """End a silence; whether there was one to end."""
        return self._disk.execute("UPDATE silence SET ends = ? WHERE id = ? AND ends > ?", (now, id_, now)).rowcount > 0

    # --- housekeeping

    def forget(self, before: float) -> None:
        """Drop what ended before a moment: delivered rows, and resolved incidents with them."""
        self.rows.forget(before)
        self._disk.execute("DELETE FROM silence WHERE ends < ?", (before,))
        self._disk.execute(
            "DELETE FROM incident WHERE state = ? AND opened < ? "
            "AND key NOT IN (SELECT incident FROM outbox WHERE ended IS NULL)",
            (IncidentState.RESOLVED, before),
        )


def _kept(name: str) -> str | bytes:
    """A path as SQLite takes it: one that is no text, as its bytes."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return os.fsencode(name)
    return name


def _hold(lock: int, directory: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(lock)
        raise StateLocked(
            f"another vigil holds the state directory {directory}: stop it, or give this one another state_dir"
        ) from error
