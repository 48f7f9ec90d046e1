"""Replayed files: SQLite files that a replay of a stream restores, so that their writes are not flushed."""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING, ClassVar, Final

from imagegateway.platform import logs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_POSITION: Final = """
create table position (seq integer not null);
insert into position values (0);
"""
_log = logs.get(__name__)


class ReplayedFile:
    """The file, complete up to a position of its stream. Every method may block.

    Deleting the file costs a replay of the stream, no data.
    """

    VERSION: ClassVar[int]
    """Version of the schema. A file of another version is empty after it is opened."""
    SCHEMA: ClassVar[str]
    TABLES: ClassVar[tuple[str, ...]]
    PRAGMAS: ClassVar[tuple[str, ...]]
    DAMAGED: ClassVar[str]
    """Log event for a damaged file."""

    def __init__(self, path: Path) -> None:
        """Open or create the file, and replace a damaged one. Raises OSError and sqlite3.Error."""
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._open()
        except sqlite3.DatabaseError as error:
            if not is_damaged(error):
                raise
            _log.error(self.DAMAGED, path=str(path), exc_info=True)
            self.delete()
            self._open()

    def _open(self) -> None:
        # Calls come one at a time, but not always from the thread that opened the file.
        self._db = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        for pragma in ("synchronous = off", *self.PRAGMAS):
            self._db.execute(f"pragma {pragma}")
        if self._db.execute("pragma user_version").fetchone()[0] != self.VERSION:
            self.clear()
        _ = self.position  # raises for a damaged file

    def clear(self) -> None:
        """Delete all rows, for a replay of the whole stream."""
        for table in (*self.TABLES, "position"):
            self._db.execute(f"drop table if exists {table}")
        self._db.executescript(self.SCHEMA + _POSITION)
        self._db.execute(f"pragma user_version = {self.VERSION}")

    @property
    def position(self) -> int:
        """Stream sequence up to which the file is complete."""
        return int(self._db.execute("select seq from position").fetchone()[0])

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("begin")
        try:
            yield
            self._db.execute("commit")
        except BaseException:
            if self._db.in_transaction:  # a full disk ends the transaction by itself
                self._db.execute("rollback")
            raise

    def _set_position(self, seq: int) -> None:
        self._db.execute("update position set seq = ?", (seq,))

    def close(self) -> None:
        """Close the file. Idempotent."""
        self._db.close()

    def delete(self) -> None:
        """Close and delete the file: the next start reads the whole stream."""
        self._db.close()
        for suffix in ("", "-wal", "-shm", "-journal"):
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)


def is_damaged(error: sqlite3.Error) -> bool:
    """Return whether the file itself is damaged, as opposed to unreachable or out of room."""
    return result_code(error) in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def result_code(error: BaseException) -> int:
    """Return SQLite's primary result code; 0 for any other error."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF
