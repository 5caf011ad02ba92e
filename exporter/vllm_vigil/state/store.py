"""The one SQLite file: positions, incidents, memory and outbox, changed together or not at all.

Promise: what `transaction()` wrote is on the disk when it returns, or none of it is (WAL, `synchronous=FULL`). A
second process on the same directory is refused by `flock`, which the kernel releases however the first one ends.
A file that cannot be read is moved aside and a new one begun: a sidecar that does not start watches nothing.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from loguru import logger

from vllm_vigil.errors import StateLocked, StateUnusable
from vllm_vigil.model import Incident, IncidentState, Notification, Outcome, Reason
from vllm_vigil.state.documents import incident_from_json, incident_to_json

FILE = "vigil.sqlite3"
SCHEMA_VERSION = 1
SCHEMA = """
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
"""

HEADS = """
FROM outbox AS head WHERE ended IS NULL AND channel = :channel AND NOT EXISTS (
    SELECT 1 FROM outbox AS earlier WHERE earlier.incident = head.incident AND earlier.channel = head.channel
    AND earlier.id < head.id AND earlier.ended IS NULL)
"""  # the oldest waiting row of each incident: the only ones that may be sent


@dataclass(frozen=True, slots=True)
class Word:
    """One row of the outbox, as far as it matters for what to say next.

    `at` is when it ended, or when it was queued while it `waits`; `outcome` is that of its last attempt.
    """

    channel: str
    reason: Reason
    at: float
    outcome: Outcome | None
    waits: bool


class Store:
    """All reading and writing of state. Used from the loop's thread only, or by a command of its own."""

    def __init__(self, connection: sqlite3.Connection, lock: int | None) -> None:
        self._connection = connection
        self._lock = lock

    # --- life

    @classmethod
    def open(cls, directory: Path) -> Store:
        """Take the directory for this process, and its file, made on first use.

        Raises `StateLocked` if another instance holds it, `StateUnusable` if it cannot be written.
        """
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StateUnusable(
                f"cannot use the state directory {directory}: {error.strerror}; "
                "give this user write access to it, or set state_dir to another"
            ) from error
        _hold(lock, directory)
        return cls(_connect_or_begin_anew(directory / FILE), lock)

    @classmethod
    def peek(cls, directory: Path) -> Store:
        """Open the file of an instance that may be running, for a command that lists or edits a row."""
        path = directory / FILE
        if not path.exists():
            raise StateUnusable(f"no state in {directory}: the sidecar has not run with this state_dir yet")
        return cls(_connect(path), None)

    def close(self) -> None:
        """Give up file and directory."""
        self._connection.close()
        if self._lock is not None:
            os.close(self._lock)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Everything written inside becomes durable together, or none of it does."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    # --- positions and memory: JSON texts of those who own them

    def positions(self) -> dict[str, str]:
        """Where each followed file was left, as `lines/` wrote it."""
        return dict(self._connection.execute("SELECT name, body FROM position"))

    def save_position(self, name: str, body: str) -> None:
        """Remember where a file was left."""
        self._connection.execute("INSERT OR REPLACE INTO position VALUES (?, ?)", (name, body))

    def memory(self, name: str) -> str | None:
        """What a part wanted to know after a restart, or None."""
        row = self._connection.execute("SELECT body FROM memory WHERE name = ?", (name,)).fetchone()
        return row[0] if row else None

    def remember(self, name: str, body: str) -> None:
        """Keep what a part wants to know after a restart."""
        self._connection.execute("INSERT OR REPLACE INTO memory VALUES (?, ?)", (name, body))

    # --- incidents

    def save_incident(self, incident: Incident) -> None:
        """Write the incident as it is now."""
        self._connection.execute(
            "INSERT OR REPLACE INTO incident VALUES (?, ?, ?, ?)",
            (incident.key, incident.state, incident.opened, incident_to_json(incident)),
        )

    def open_incidents(self) -> list[Incident]:
        """Those not resolved, oldest first."""
        rows = self._connection.execute(
            "SELECT body FROM incident WHERE state = ? ORDER BY opened", (IncidentState.OPEN,)
        )
        return [incident_from_json(body) for (body,) in rows]

    def recent_incidents(self, limit: int) -> list[Incident]:
        """The newest, open or resolved, newest first."""
        rows = self._connection.execute("SELECT body FROM incident ORDER BY opened DESC LIMIT ?", (limit,))
        return [incident_from_json(body) for (body,) in rows]

    # --- outbox

    def queue(self, notification: Notification, now: float) -> int:
        """Add a row that is due at once; give its id."""
        cursor = self._connection.execute(
            "INSERT INTO outbox (channel, incident, reason, body, queued, next_at) VALUES (?, ?, ?, ?, ?, ?)",
            (
                notification.channel,
                notification.incident.key,
                notification.reason,
                incident_to_json(notification.incident),
                now,
                now,
            ),
        )
        return int(cursor.lastrowid or 0)

    def waiting(self, channel: str | None = None) -> list[tuple[Notification, float]]:
        """Rows not ended, oldest first, each with the time when its next attempt is due."""
        rows = self._connection.execute(
            "SELECT id, channel, reason, body, queued, attempts, next_at FROM outbox "
            "WHERE ended IS NULL AND (? IS NULL OR channel = ?) ORDER BY id",
            (channel, channel),
        )
        return [
            (Notification(channel_, Reason(reason), incident_from_json(body), id_, attempts, queued), next_at)
            for id_, channel_, reason, body, queued, attempts, next_at in rows
        ]

    def words(self, key: str) -> list[Word]:
        """Every row ever queued for an incident, with how it fared; oldest first."""
        rows = self._connection.execute(
            "SELECT channel, reason, COALESCE(ended, queued), outcome, ended IS NULL FROM outbox "
            "WHERE incident = ? ORDER BY id",
            (key,),
        )
        return [
            Word(channel, Reason(reason), at, Outcome(outcome) if outcome else None, bool(waits))
            for channel, reason, at, outcome, waits in rows
        ]

    def due(self, channel: str, now: float, horizon_seconds: float) -> Notification | None:
        """The oldest row of a channel that may be sent now: it is due, and no earlier row of its incident waits.

        A row that is due later than any backoff could put it (`horizon_seconds`) is due: the wall clock was set back.
        """
        row = self._connection.execute(
            f"SELECT id, reason, body, queued, attempts {HEADS} "
            "AND (next_at <= :now OR next_at > :now + :horizon) ORDER BY id LIMIT 1",
            {"channel": channel, "now": now, "horizon": horizon_seconds},
        ).fetchone()
        if row is None:
            return None
        id_, reason, body, queued, attempts = row
        return Notification(channel, Reason(reason), incident_from_json(body), id_, attempts, queued)

    def next_due(self, channel: str) -> float | None:
        """When the next row of a channel may be sent, None if none waits."""
        row = self._connection.execute(f"SELECT MIN(next_at) {HEADS}", {"channel": channel}).fetchone()
        return None if row[0] is None else float(row[0])

    def backlog(self, channel: str) -> tuple[int, float | None]:
        """How many rows of a channel wait, and when the oldest of them was queued."""
        row = self._connection.execute(
            "SELECT COUNT(*), MIN(queued) FROM outbox WHERE ended IS NULL AND channel = ?", (channel,)
        ).fetchone()
        return int(row[0]), row[1]

    def postpone(self, id_: int, next_at: float, outcome: Outcome, detail: str) -> None:
        """Write down an attempt that is to be made again."""
        self._connection.execute(
            "UPDATE outbox SET attempts = attempts + 1, next_at = ?, outcome = ?, detail = ? WHERE id = ?",
            (next_at, outcome, detail, id_),
        )

    def end(self, id_: int, now: float, outcome: Outcome, detail: str) -> None:
        """Write down the attempt that ended the row."""
        self._connection.execute(
            "UPDATE outbox SET attempts = attempts + 1, ended = ?, outcome = ?, detail = ? WHERE id = ?",
            (now, outcome, detail, id_),
        )

    def forget(self, before: float) -> None:
        """Drop what ended before a moment: delivered rows, and resolved incidents with them."""
        self._connection.execute("DELETE FROM outbox WHERE ended < ?", (before,))
        self._connection.execute(
            "DELETE FROM incident WHERE state = ? AND opened < ? "
            "AND key NOT IN (SELECT incident FROM outbox WHERE ended IS NULL)",
            (IncidentState.RESOLVED, before),
        )


def _hold(lock: int, directory: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(lock)
        raise StateLocked(
            f"another vigil holds the state directory {directory}: stop it, or give this one another state_dir"
        ) from error


def _connect_or_begin_anew(path: Path) -> sqlite3.Connection:
    try:
        return _connect(path)
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):
            raise StateUnusable(f"cannot open {path}: {error}; free space or mend its permissions") from error
        aside = path.with_name(f"{path.name}.unreadable")
        path.replace(aside)
        for leftover in ("-wal", "-shm"):
            path.with_name(path.name + leftover).unlink(missing_ok=True)
        logger.error(
            "the state file {} cannot be read ({}); moved to {}, starting with an empty one", path, error, aside
        )
        return _connect(path)


def _connect(path: Path) -> sqlite3.Connection:
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    connection = sqlite3.connect(path, isolation_level=None, timeout=5.0)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version == 0:
        connection.executescript(f"BEGIN; {SCHEMA} PRAGMA user_version={SCHEMA_VERSION}; COMMIT;")
    elif version != SCHEMA_VERSION:
        connection.close()
        raise StateUnusable(
            f"{path} was written by another version of vigil (schema {version}, this one reads {SCHEMA_VERSION}): "
            "run that version, or move the file aside"
        )
    return connection
