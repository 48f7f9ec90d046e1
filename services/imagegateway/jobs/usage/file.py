"""SQLite file of usage, one for each replica. Deleting the file costs a replay of the usage stream, no data.

`jobs` has one row for each job that ended. Triggers keep the sums in `usage`, one row for each day and combination of
values, so that reports read few rows.
"""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Final, TypeAlias

from imagegateway.jobs.replayed_file import ReplayedFile
from imagegateway.jobs.usage.query import Report, Row, Totals
from imagegateway.platform import logs

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from imagegateway.job.v1.usage_entry_pb2 import UsageEntry
    from imagegateway.jobs.usage.query import UsageQuery

EXPIRE_ROWS: Final = 1000
"""Most jobs that one `expire` deletes."""
_VARIABLES: Final = 500
"""Ids in one statement: SQLite's own limit was 999 for long."""
_VERSION: Final = 1
_SCHEMA: Final = """
create table usage (
    id integer primary key, digest blob not null unique, tenant text not null, day text not null, model text not null,
    provider text not null, key_id text not null, user text not null, modality text not null,
    requests integer not null default 0, images integer not null default 0, failed integer not null default 0,
    cost integer not null default 0
);
create index by_tenant on usage (tenant, day);
create index by_day on usage (day);
create index unused on usage (id) where requests = 0;
create table labels (
    usage_id integer not null, name text not null, value text not null, primary key (usage_id, name)
) without rowid;
create table jobs (
    id text primary key, record_seq integer not null, message_seq integer not null, usage_id integer not null,
    images integer not null, failed integer not null, cost integer not null, expires_at integer not null
) without rowid;
create index first_to_expire on jobs (expires_at);
create trigger job_added after insert on jobs begin
    update usage set requests = requests + 1, images = images + new.images, failed = failed + new.failed,
        cost = cost + new.cost where id = new.usage_id;
end;
create trigger job_changed after update on jobs begin
    update usage set requests = requests - 1, images = images - old.images, failed = failed - old.failed,
        cost = cost - old.cost where id = old.usage_id;
    update usage set requests = requests + 1, images = images + new.images, failed = failed + new.failed,
        cost = cost + new.cost where id = new.usage_id;
end;
create trigger job_expired after delete on jobs begin
    update usage set requests = requests - 1, images = images - old.images, failed = failed - old.failed,
        cost = cost - old.cost where id = old.usage_id;
end;
"""
_UPSERT: Final = """
insert into jobs values (?, ?, ?, ?, ?, ?, ?, ?)
on conflict (id) do update set record_seq = excluded.record_seq, message_seq = excluded.message_seq,
    usage_id = excluded.usage_id, images = excluded.images, failed = excluded.failed, cost = excluded.cost,
    expires_at = excluded.expires_at
where excluded.record_seq >= jobs.record_seq
"""
_INSERT_USAGE: Final = """
insert or ignore into usage (digest, tenant, day, model, provider, key_id, user, modality)
values (?, ?, ?, ?, ?, ?, ?, ?)
"""
_Group: TypeAlias = tuple[tuple[str, ...], tuple[tuple[str, str], ...]]
"""Values of the entries that one row counts, in the order of its columns, and their metadata by name."""
_log = logs.get(__name__)


class UsageFile(ReplayedFile):
    """The file of usage."""

    VERSION = _VERSION
    SCHEMA = _SCHEMA
    TABLES = ("usage", "labels", "jobs")
    # Users and metadata of erased jobs must not remain, neither in the file nor in a write-ahead log.
    PRAGMAS = ("journal_mode = truncate", "secure_delete = on")
    DAMAGED = "usage_file_damaged"

    def write(self, entries: Collection[UsageEntry], message_seq: int) -> None:
        """Count the entries of a message, each in place of an older one of its job."""
        usage_ids: dict[_Group, int] = {}
        with self._transaction():
            for entry in entries:
                group = _group_of(entry)
                if group not in usage_ids:
                    usage_ids[group] = self._usage_id(group)
                values = (entry.images, entry.failed, entry.cost, entry.expires_at)
                self._db.execute(_UPSERT, (entry.job_id, entry.record_seq, message_seq, usage_ids[group], *values))
            self._delete_unused()
            self._set_position(message_seq)

    def report(self, query: UsageQuery) -> Report:
        """Return a page of a report. Raises GatewayError for an invalid token."""
        count = len(query.order)
        found = self._db.execute(*query.rows_sql()).fetchall()
        rows = [Row(row[:count], Totals(*row[count:])) for row in found]
        total = Totals(*self._db.execute(*query.total_sql()).fetchone())
        more = len(rows) > query.size
        rows = rows[: query.size]
        return Report(rows, total, query.token_after(rows[-1]) if more else "")

    def spent(self, tenant: str, key_id: str, start: str, without: Collection[str]) -> int:
        """Return the cost of a tenant's jobs that ended from a day on, in nano-dollars.

        `key_id`: only jobs of this key; empty: all. `without`: ids of jobs to leave out.
        """
        where = "usage.tenant = ? and usage.day >= ?" + " and usage.key_id = ?" * bool(key_id)
        values = [tenant, start, *([key_id] if key_id else [])]
        total = self._sum(f"select sum(cost) from usage where {where}", values)  # noqa: S608  constants only
        for job_ids in _batches(without):
            statement = (
                "select sum(jobs.cost) from jobs join usage on usage.id = jobs.usage_id "  # noqa: S608  constants only
                f"where {where} and jobs.id in ({', '.join('?' * len(job_ids))})"
            )
            total -= self._sum(statement, [*values, *job_ids])
        return total

    def messages_of(self, job_ids: Collection[str]) -> list[int]:
        """Return the sequences of the messages that hold the entries of jobs."""
        found: set[int] = set()
        for batch in _batches(job_ids):
            marks = ", ".join("?" * len(batch))
            statement = f"select message_seq from jobs where id in ({marks})"  # noqa: S608  question marks only
            found.update(row[0] for row in self._db.execute(statement, batch))
        return sorted(found)

    def expire(self, now: float) -> int:
        """Delete at most `EXPIRE_ROWS` jobs whose retention is over. Return their number. `now` in Unix seconds."""
        with self._transaction():
            deleted = self._db.execute(
                "delete from jobs where id in (select id from jobs where expires_at < ? limit ?)",
                (int(now), EXPIRE_ROWS),
            ).rowcount
            self._delete_unused()
        return deleted

    def _sum(self, statement: str, values: Sequence[str]) -> int:
        return int(self._db.execute(statement, values).fetchone()[0] or 0)

    def _usage_id(self, group: _Group) -> int:
        """Return the id of the row that counts a group."""
        values, labels = group
        digest = hashlib.sha256(json.dumps([values, labels]).encode()).digest()
        if self._db.execute(_INSERT_USAGE, (digest, *values)).rowcount:
            usage_id = int(self._db.execute("select last_insert_rowid()").fetchone()[0])
            rows = [(usage_id, name, value) for name, value in labels]
            self._db.executemany("insert into labels values (?, ?, ?)", rows)
            return usage_id
        return int(self._db.execute("select id from usage where digest = ?", (digest,)).fetchone()[0])

    def _delete_unused(self) -> None:
        """Delete rows that count no job any more."""
        self._db.execute("delete from labels where usage_id in (select id from usage where requests = 0)")
        self._db.execute("delete from usage where requests = 0")


def _group_of(entry: UsageEntry) -> _Group:
    day = datetime.fromtimestamp(entry.ended_at / 1000, UTC).date().isoformat()
    values = (entry.tenant, day, entry.model, entry.provider, entry.key_id, entry.user, entry.modality)
    return values, tuple(sorted(entry.metadata.items()))


def _batches(job_ids: Iterable[str]) -> Iterator[list[str]]:
    """Yield the ids in lists of at most `_VARIABLES`."""
    ids = iter(job_ids)
    while batch := list(islice(ids, _VARIABLES)):
        yield batch
