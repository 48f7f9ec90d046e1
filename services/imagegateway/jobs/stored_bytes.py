"""Size of each tenant's job records in the stream, ended jobs included, counted in the job list's file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

from imagegateway.jobs.retention import record_seconds

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection, Iterable

    from imagegateway.jobs.stream import Entry

TABLES: Final = ("messages", "stored")
SCHEMA: Final = """
create table messages (
    job text not null, state integer not null, tenant text not null, bytes integer not null,
    expires_at integer not null, primary key (job, state)
) without rowid;
create index first_to_expire on messages (expires_at);
create table stored (tenant text primary key, bytes integer not null) without rowid;
create trigger message_added after insert on messages begin
    insert into stored values (new.tenant, new.bytes)
    on conflict (tenant) do update set bytes = bytes + excluded.bytes;
end;
create trigger message_replaced after update on messages begin
    update stored set bytes = bytes + new.bytes - old.bytes where tenant = new.tenant;
end;
create trigger job_erased after insert on messages when new.state = 0 begin
    delete from messages where job = new.job and state <> 0;
end;
create trigger message_expired after delete on messages begin
    update stored set bytes = bytes - old.bytes where tenant = old.tenant;
end;
"""
_ERASED: Final = 0
"""State in the row of an erased job: its message has a separate subject, and replaces all others of the job."""
_OVERHEAD: Final = 300
"""Bytes of a message beside its record: subject, headers and the server's bookkeeping."""
_UPSERT: Final = """
insert into messages values (?, ?, ?, ?, ?)
on conflict (job, state) do update set bytes = excluded.bytes, expires_at = excluded.expires_at
"""
MessageRow: TypeAlias = tuple[str, int, str, int, int]
"""A message of the stream, in the order of the columns. The stream keeps one for each state of a job."""


def message_row_of(entry: Entry) -> MessageRow:
    """Return the row of the message that holds a record."""
    record = entry.record
    size = record.ByteSize() + _OVERHEAD
    state = _ERASED if record.erased_at else int(record.state)
    return record.id, state, record.tenant, size, record.updated_at + record_seconds(record) * 1000


class StoredBytes:
    """Sums by tenant. Every method may block, as those of `JobListFile`."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def add(self, messages: Iterable[MessageRow]) -> None:
        """Count messages, each in place of the previous one of its job and state."""
        self._db.executemany(_UPSERT, messages)

    def all(self) -> dict[str, int]:
        """Return the bytes of every tenant with records."""
        return dict(self._db.execute("select tenant, bytes from stored where bytes > 0"))

    def of(self, tenants: Collection[str]) -> dict[str, int]:
        """Return the bytes of these tenants."""
        marks = ", ".join("?" * len(tenants))
        statement = f"select tenant, bytes from stored where tenant in ({marks})"  # noqa: S608  question marks only
        return dict(self._db.execute(statement, tuple(tenants)))

    def expire(self, now: int, limit: int) -> int:
        """Delete at most `limit` messages that the stream no longer has. Return their number.

        `now` in Unix milliseconds.
        """
        return self._db.execute(
            "delete from messages where (job, state) in "
            "(select job, state from messages where expires_at < ? order by expires_at limit ?)",
            (now, limit),
        ).rowcount
