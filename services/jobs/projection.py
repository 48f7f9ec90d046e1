"""A list of all jobs in a file of this replica's own, fed by the stream. Losing it costs a replay, not data."""

from __future__ import annotations

import base64
import sqlite3
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from services.common.errors import invalid
from services.jobs import states
from services.jobs.stream import RECORD_SECONDS

if TYPE_CHECKING:
    from pathlib import Path

    from services.jobs.stream import Entry

_VERSION: Final = 2
_SCHEMA: Final = """
create table jobs (
    id text primary key, tenant text not null, model text not null, state integer not null,
    seq integer not null, created_at integer not null, updated_at integer not null, webhook_at integer not null
) without rowid;
create index newest on jobs (tenant, created_at desc, id desc);
create index unended on jobs (state) where state not in (4, 5, 6);
create index webhooks on jobs (webhook_at) where webhook_at > 0;
create table position (seq integer not null);
insert into position values (0);
"""
_COMMIT_SECONDS: Final = 0.5
_UPSERT: Final = """
insert into jobs values (?, ?, ?, ?, ?, ?, ?, ?)
on conflict (id) do update set state = excluded.state, seq = excluded.seq, updated_at = excluded.updated_at,
    webhook_at = excluded.webhook_at
where excluded.seq > jobs.seq
"""


@dataclass(frozen=True, slots=True)
class Page:
    """Ids of a page of jobs, newest first, and the token of the next one (empty: none)."""

    ids: list[str]
    next_token: str


class Projection:
    """The file. Not flushed: a lost tail is read again from the stream."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.execute("pragma journal_mode = wal")
        self._db.execute("pragma synchronous = off")
        version = self._db.execute("pragma user_version").fetchone()[0]
        if version != _VERSION:
            for table in ("jobs", "position"):
                self._db.execute(f"drop table if exists {table}")
            self._db.executescript(_SCHEMA)
            self._db.execute(f"pragma user_version = {_VERSION}")
        self._open = False
        self._committed = time.monotonic()

    @property
    def position(self) -> int:
        """The sequence up to which the stream has been read."""
        return int(self._db.execute("select seq from position").fetchone()[0])

    def reset(self) -> None:
        """Forget everything: the stream is another one."""
        self.commit()
        self._db.execute("delete from jobs")
        self._db.execute("update position set seq = 0")

    def apply(self, entry: Entry) -> None:
        """Take in a record. Older than what is known: no effect."""
        record = entry.record
        self._begin()
        self._db.execute(
            _UPSERT,
            (
                record.id,
                record.tenant,
                record.task.model,
                record.state,
                entry.seq,
                record.created_at,
                record.updated_at,
                (record.webhook.next_at or int(record.call_open)) if entry.ended else 0,
            ),
        )

    def reach(self, seq: int) -> None:
        """All up to this sequence has been taken in."""
        self._begin()
        self._db.execute("update position set seq = ?", (seq,))
        if time.monotonic() - self._committed > _COMMIT_SECONDS:
            self.commit()

    def unended(self) -> list[str]:
        """Ids of jobs that have not ended, and of ended ones whose webhook is due or whose provider call goes on."""
        rows = self._db.execute(
            "select id from jobs where state not in (4, 5, 6) union select id from jobs where webhook_at > 0"
        )
        return [row[0] for row in rows]

    def page(self, tenant: str, status: str, model: str, size: int, token: str) -> Page:
        """A page of a tenant's jobs. Raises GatewayError for a bad status or token."""
        where, values = ["tenant = ?"], [tenant]
        if status:
            wanted = [str(int(state)) for state, public in states.PUBLIC.items() if public == status]
            if not wanted:
                raise invalid("status", f"status must be one of {', '.join(dict.fromkeys(states.PUBLIC.values()))}.")
            where.append(f"state in ({', '.join(wanted)})")
        if model:
            where.append("model = ?")
            values.append(model)
        if token:
            created, job_id = _read_token(token)
            where.append("(created_at, id) < (?, ?)")
            values += [created, job_id]
        query = (
            f"select id, created_at from jobs where {' and '.join(where)} "  # noqa: S608  conditions are ours
            "order by created_at desc, id desc limit ?"
        )
        rows = self._db.execute(query, (*values, size + 1)).fetchall()
        more = len(rows) > size
        rows = rows[:size]
        return Page([row[0] for row in rows], _token(rows[-1][1], rows[-1][0]) if more else "")

    def expire(self, now: float) -> int:
        """Drop jobs whose records the stream no longer has. `now` in Unix seconds."""
        oldest = int((now - RECORD_SECONDS) * 1000)
        self._begin()
        return self._db.execute("delete from jobs where state in (4, 5, 6) and updated_at < ?", (oldest,)).rowcount

    def commit(self) -> None:
        if self._open:
            self._db.execute("commit")
            self._open = False
        self._committed = time.monotonic()

    def close(self) -> None:
        self.commit()
        self._db.close()

    def _begin(self) -> None:
        if not self._open:
            self._db.execute("begin")
            self._open = True


def _token(created: int, job_id: str) -> str:
    return base64.urlsafe_b64encode(f"{created}:{job_id}".encode()).decode().rstrip("=")


def _read_token(token: str) -> tuple[str, str]:
    try:
        text = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode()
        created, job_id = text.split(":")
        return str(int(created)), job_id
    except ValueError:
        raise invalid("page_token", "page_token is not one that a list gave.") from None
