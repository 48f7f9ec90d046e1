"""SQLite file of the job list, one for each replica. Deleting the file costs a replay of the stream, no data."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Final, TypeAlias

from imagegateway.jobs import states, stored_bytes
from imagegateway.jobs.list_query import Page, page_token
from imagegateway.jobs.retention import record_seconds
from imagegateway.jobs.stored_bytes import StoredBytes
from imagegateway.platform import logs

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from imagegateway.jobs.list_query import Query
    from imagegateway.jobs.stored_bytes import MessageRow
    from imagegateway.jobs.stream import Entry

EXPIRE_ROWS: Final = 1000
"""Most rows of each table that one `expire` deletes."""

_VERSION: Final = 6
_SCHEMA: Final = """
create table jobs (
    id text primary key, tenant text not null, model text not null, status text not null, ended integer not null,
    seq integer not null, created_at integer not null, expires_at integer not null, webhook_at integer not null
) without rowid;
create index newest on jobs (tenant, created_at desc, id desc);
create index by_status on jobs (tenant, status, created_at desc, id desc);
create index by_model on jobs (tenant, model, created_at desc, id desc);
create index by_model_and_status on jobs (tenant, model, status, created_at desc, id desc);
create index unended on jobs (id) where ended = 0;
create index webhooks on jobs (id) where webhook_at > 0;
create index first_job_to_expire on jobs (expires_at) where ended = 1;
create table position (seq integer not null);
insert into position values (0);
"""
_TABLES: Final = ("jobs", "position", *stored_bytes.TABLES)
_UPSERT: Final = """
insert into jobs values (?, ?, ?, ?, ?, ?, ?, ?, ?)
on conflict (id) do update set status = excluded.status, ended = excluded.ended, seq = excluded.seq,
    expires_at = excluded.expires_at, webhook_at = excluded.webhook_at
where excluded.seq > jobs.seq
"""
Row: TypeAlias = tuple[str, str, str, str, bool, int, int, int, int]
"""A job's row, in the order of the columns."""
_log = logs.get(__name__)


def row_of(entry: Entry) -> Row:
    """Return a job's row."""
    record = entry.record
    return (
        record.id,
        record.tenant,
        record.task.model,
        states.PUBLIC[record.state],
        entry.ended,
        entry.seq,
        record.created_at,
        record.updated_at + record_seconds(record) * 1000,
        (record.webhook.next_at or int(record.call_open)) if entry.ended else 0,
    )


class JobListFile:
    """The file. Its writes are not flushed: the stream replaces a lost tail. Every method may block."""

    def __init__(self, path: Path) -> None:
        """Open or create the file, and replace a damaged one. Raises OSError and sqlite3.Error."""
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._open()
        except sqlite3.DatabaseError as error:
            if not is_damaged(error):
                raise
            _log.error("job_list_damaged", path=str(path), exc_info=True)
            self.delete()
            self._open()

    def _open(self) -> None:
        # Calls come one at a time, but not always from the thread that opened the file.
        self._db = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        self._db.execute("pragma journal_mode = wal")
        self._db.execute("pragma synchronous = off")
        self.stored = StoredBytes(self._db)
        version = self._db.execute("pragma user_version").fetchone()[0]
        if version != _VERSION:
            for table in _TABLES:
                self._db.execute(f"drop table if exists {table}")
            self._db.executescript(_SCHEMA + stored_bytes.SCHEMA)
            self._db.execute(f"pragma user_version = {_VERSION}")
        _ = self.position  # raises for a damaged file

    @property
    def position(self) -> int:
        """Stream sequence up to which the file is complete."""
        return int(self._db.execute("select seq from position").fetchone()[0])

    def write(self, rows: Collection[Row], position: int, messages: Collection[MessageRow] = ()) -> None:
        """Write rows, messages and the position that they reach, in one transaction.

        Rows older than the known ones are ignored.
        """
        self._db.execute("begin")
        try:
            self._db.executemany(_UPSERT, rows)
            self.stored.add(messages)
            self._db.execute("update position set seq = ?", (position,))
            self._db.execute("commit")
        except BaseException:
            if self._db.in_transaction:  # a full disk ends the transaction by itself
                self._db.execute("rollback")
            raise

    def touch(self) -> None:
        """Make a small write that changes nothing."""
        self._db.execute("update position set seq = seq")

    def unfinished(self) -> list[str]:
        """Return the ids of unfinished jobs, and of ended ones with a pending webhook or an open provider call."""
        rows = self._db.execute("select id from jobs where ended = 0 union select id from jobs where webhook_at > 0")
        return [row[0] for row in rows]

    def page(self, query: Query) -> Page:
        """Return a page of a tenant's jobs. Raises GatewayError for an invalid status or token."""
        statement, values = query.sql()
        rows = self._db.execute(statement, values).fetchall()
        more = len(rows) > query.size
        rows = rows[: query.size]
        return Page([row[0] for row in rows], page_token(rows[-1][1], rows[-1][0]) if more else "")

    def expire(self, now: float) -> int:
        """Delete at most `EXPIRE_ROWS` jobs, and messages, that the stream no longer has. Return the larger number.

        `now` in Unix seconds.
        """
        jobs = self._db.execute(
            "delete from jobs where id in (select id from jobs where ended = 1 and expires_at < ? limit ?)",
            (int(now * 1000), EXPIRE_ROWS),
        ).rowcount
        return max(jobs, self.stored.expire(int(now * 1000), EXPIRE_ROWS))

    def close(self) -> None:
        """Close the file. Idempotent."""
        self._db.close()

    def delete(self) -> None:
        """Close and delete the file: the next start reads the whole stream."""
        self._db.close()
        for suffix in ("", "-wal", "-shm"):
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)


def is_damaged(error: sqlite3.Error) -> bool:
    """Return whether the file itself is damaged, as opposed to unreachable or out of room."""
    return result_code(error) in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def result_code(error: BaseException) -> int:
    """Return SQLite's primary result code; 0 for any other error."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF
