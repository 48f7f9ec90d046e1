"""SQLite file of the job list, one for each replica. Deleting the file costs a replay of the stream, no data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

from imagegateway.jobs import states, stored_bytes
from imagegateway.jobs.list_query import Page, page_token
from imagegateway.jobs.replayed_file import ReplayedFile
from imagegateway.jobs.retention import record_seconds
from imagegateway.jobs.stored_bytes import StoredBytes
from imagegateway.platform import logs

if TYPE_CHECKING:
    from collections.abc import Collection

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
"""
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


class JobListFile(ReplayedFile):
    """The file of the list."""

    VERSION = _VERSION
    SCHEMA = _SCHEMA + stored_bytes.SCHEMA
    TABLES = ("jobs", *stored_bytes.TABLES)
    PRAGMAS = ("journal_mode = wal",)
    DAMAGED = "job_list_damaged"

    def _open(self) -> None:
        super()._open()
        self.stored = StoredBytes(self._db)

    def write(self, rows: Collection[Row], position: int, messages: Collection[MessageRow] = ()) -> None:
        """Write rows, messages and the position that they reach, in one transaction.

        Rows older than the known ones are ignored.
        """
        with self._transaction():
            self._db.executemany(_UPSERT, rows)
            self.stored.add(messages)
            self._set_position(position)

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
