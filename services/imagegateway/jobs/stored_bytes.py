"""Bytes that each tenant's job records take up in the stream, counted in the job list's file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

from imagegateway.jobs.stream import RECORD_SECONDS, STEP_SECONDS

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
create trigger message_expired after delete on messages begin
    update stored set bytes = bytes - old.bytes where tenant = old.tenant;
end;
"""
_OVERHEAD: Final = 300
"""Bytes that the server keeps of a message beside its record: the subject, the headers, its own bookkeeping."""
_UPSERT: Final = """
insert into messages values (?, ?, ?, ?, ?)
on conflict (job, state) do update set bytes = excluded.bytes, expires_at = excluded.expires_at
"""
Message: TypeAlias = tuple[str, int, str, int, int]
"""A message of the stream, in the columns' order; the stream keeps one for each state of a job."""


def message_of(entry: Entry) -> Message:
    """Return what the file keeps of the message that holds a record."""
    record = entry.record
    seconds = RECORD_SECONDS if entry.ended else STEP_SECONDS
    size = record.ByteSize() + _OVERHEAD
    return record.id, record.state, record.tenant, size, record.updated_at + seconds * 1000


class StoredBytes:
    """The sums by tenant. Every method may take a while, as those of `Projection`."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def take(self, messages: Iterable[Message]) -> None:
        """Count messages, each in place of the earlier one of its job and state."""
        self._db.executemany(_UPSERT, messages)

    def all(self) -> dict[str, int]:
        """Return the bytes of each tenant that has records."""
        return dict(self._db.execute("select tenant, bytes from stored where bytes > 0"))

    def of(self, tenants: Collection[str]) -> dict[str, int]:
        """Return the bytes of these tenants."""
        places = ", ".join("?" * len(tenants))
        statement = f"select tenant, bytes from stored where tenant in ({places})"  # noqa: S608  question marks only
        return dict(self._db.execute(statement, tuple(tenants)))

    def expire(self, now: int, limit: int) -> int:
        """Drop at most `limit` messages that the stream no longer has, and return how many. `now` in Unix ms."""
        return self._db.execute(
            "delete from messages where (job, state) in "
            "(select job, state from messages where expires_at < ? order by expires_at limit ?)",
            (now, limit),
        ).rowcount
