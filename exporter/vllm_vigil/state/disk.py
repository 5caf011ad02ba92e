"""One SQLite file -> statements and transactions that go on when the disk does not. The only importer of sqlite3.

A slow, full or read-only disk must not stop the watch, nor the pages that it makes. What is committed outlives a kill
at once, and a thread syncs it for power cuts (`flush`). At the first write or sync that fails, all that the file holds
is copied into memory, the statements of the failed transaction are run again there, and work goes on; what is kept so
does not survive the process. Every half minute the way back is tried: memory replaces the file.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from loguru import logger

from vllm_vigil.errors import StateUnusable
from vllm_vigil.state.flush import Flush

Parameters = Sequence[object] | Mapping[str, object]

UNWRITABLE = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN})
"""What SQLite says of a disk that is full, read-only or broken."""
RETRY_SECONDS = 30.0


class Disk:
    """The file, or what is in memory in its place. Each step of `schema` makes one version from the one before."""

    def __init__(self, path: Path, schema: Sequence[str], monotonic: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._schema = schema
        self._monotonic = monotonic
        self._flush = Flush(path.with_name(f"{path.name}-wal"), self._checkpoint)
        self._connection = sqlite3.connect(":memory:", isolation_level=None)
        self._statements: list[tuple[str, Parameters]] | None = None  # of the transaction that is open
        self._next_try = 0.0
        self._owned = True
        self.writable = False

    # --- life

    def open(self) -> None:
        """Use the file, made on first use; one that is none is moved aside; memory, if the disk takes nothing.

        Raises `StateUnusable` if it is of another version.
        """
        try:
            self._use(self._connect())
        except sqlite3.DatabaseError as error:
            if _unwritable(error):
                self.stay_in_memory(str(error))
                return
            if isinstance(error, sqlite3.OperationalError):
                raise StateUnusable(f"cannot open {self._path}: {error}; free space or mend its permissions") from error
            self._move_aside(error)
            self._use(self._connect())

    def stay_in_memory(self, why: str, *, owned: bool = True) -> None:
        """Begin in memory, with what can be read of the file; for good if the directory is not ours (`owned`)."""
        self._owned = owned
        for mode in ("mode=ro", "immutable=1"):  # the second ignores what was not checkpointed, but needs no other file
            try:
                with contextlib.closing(sqlite3.connect(f"file:{self._path}?{mode}", uri=True)) as file:
                    file.backup(self._connection)
                break
            except sqlite3.DatabaseError:
                continue
        self._prepare(self._connection)
        self._lost(why)

    def flush_behind(self) -> None:
        """From here on sync in a thread and not at the end: for a process that stays."""
        self._flush.start()

    def close(self) -> None:
        """Give up the file, after a last try to write to it."""
        if not self.writable and self._owned:
            self._return()
        if self._flush.close():
            self._connection.close()  # which syncs, too; without it the file is as after a kill

    # --- work

    def execute(self, sql: str, parameters: Parameters = ()) -> sqlite3.Cursor:
        """Run one statement; within `transaction` a write goes through whatever the disk says."""
        if self._statements is None or sql.startswith("SELECT"):
            return self._connection.execute(sql, parameters)
        self._statements.append((sql, parameters))
        try:
            return self._connection.execute(sql, parameters)
        except sqlite3.OperationalError as error:
            return self._flee(error)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Everything written inside is kept together, or none of it is; in the file, while that can be written."""
        if self.writable and (failure := self._flush.failure()):
            self._to_memory(str(failure))
        if not self.writable and self._owned and self._monotonic() >= self._next_try:
            self._return()
        self._statements = []
        try:
            self._begin()
            yield
            self._commit()
        except BaseException:
            with contextlib.suppress(sqlite3.OperationalError):  # SQLite has rolled back by itself
                self._connection.execute("ROLLBACK")
            raise
        finally:
            self._statements = None

    def _begin(self) -> None:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            self._flee(error)

    def _commit(self) -> None:
        try:
            self._connection.execute("COMMIT")
        except sqlite3.OperationalError as error:
            self._flee(error)
            self._connection.execute("COMMIT")
        if self.writable:
            self._flush.soon()

    # --- there and back

    def _flee(self, error: sqlite3.OperationalError) -> sqlite3.Cursor:
        """Go on in memory with the transaction that the disk refused; the cursor of its last statement."""
        if not self.writable or not _unwritable(error):
            raise error
        with contextlib.suppress(sqlite3.OperationalError):
            self._connection.execute("ROLLBACK")
        self._to_memory(str(error))
        cursor = self._connection.execute("BEGIN")
        for sql, parameters in self._statements or ():
            cursor = self._connection.execute(sql, parameters)
        return cursor

    def _to_memory(self, why: str) -> None:
        """Go on with a copy of what the file holds."""
        memory = sqlite3.connect(":memory:", isolation_level=None)
        self._connection.backup(memory)
        self._connection.close()
        self._connection = memory
        self._lost(why)

    def _lost(self, why: str) -> None:
        self.writable = False
        self._next_try = self._monotonic() + RETRY_SECONDS
        logger.error(
            "state cannot be written to {} ({}): it is kept in memory, and a restart loses what came since. "
            "Watching and paging go on; free space or make the disk writable",
            self._path,
            why,
        )

    def _return(self) -> None:
        """Try to write what is in memory to the file, and to use that again."""
        self._next_try = self._monotonic() + RETRY_SECONDS
        try:
            file = self._connect()
            self._connection.backup(file)
        except sqlite3.DatabaseError:
            return
        self._connection.close()
        self._use(file)
        logger.info("state is written to {} again", self._path)

    # --- the file

    def _use(self, file: sqlite3.Connection) -> None:
        self._connection = file
        self.writable = True

    def _connect(self) -> sqlite3.Connection:
        with contextlib.suppress(OSError):  # SQLite says it too
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        connection = sqlite3.connect(self._path, isolation_level=None, timeout=5.0)
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")  # consistent after a power cut; `flush` makes it durable
            connection.execute("PRAGMA wal_autocheckpoint=0")
            self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        newest = len(self._schema)
        for step in range(version, newest):
            connection.executescript(f"BEGIN; {self._schema[step]} PRAGMA user_version={step + 1}; COMMIT;")
        if version > newest:
            raise StateUnusable(
                f"{self._path} was written by another version of vigil (schema {version}, this one reads "
                f"{newest}): run that version, or move the file aside"
            )

    def _checkpoint(self) -> None:
        """Move the log into the file, by a connection of its own. Raises OSError."""
        try:
            with contextlib.closing(sqlite3.connect(self._path)) as connection:
                connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
        except sqlite3.DatabaseError as error:
            raise OSError(str(error)) from error

    def _move_aside(self, error: sqlite3.DatabaseError) -> None:
        aside = self._path.with_name(f"{self._path.name}.unreadable")
        self._path.replace(aside)
        for leftover in ("-wal", "-shm"):
            self._path.with_name(self._path.name + leftover).unlink(missing_ok=True)
        logger.error(
            "the state file {} cannot be read ({}); moved to {}, starting with an empty one", self._path, error, aside
        )


def _unwritable(error: sqlite3.DatabaseError) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in UNWRITABLE
