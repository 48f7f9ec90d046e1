"""A list of all jobs in a file of this replica's own, fed by the stream. Losing it costs a replay, not data.

`Projection` is the file, `JobIndex` is the way to it: SQL runs in one thread, never on the event loop.
"""

from __future__ import annotations

import asyncio
import base64
import sqlite3
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar

from imagegateway.jobs import states, stored_bytes
from imagegateway.jobs.stored_bytes import StoredBytes, message_of
from imagegateway.jobs.stream import RECORD_SECONDS, unavailable
from imagegateway.platform import logs
from imagegateway.platform.errors import UnavailableError, invalid

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from pathlib import Path

    from imagegateway.jobs.stored_bytes import Message
    from imagegateway.jobs.stream import Entry
    from imagegateway.platform.supervision import Supervisor

_VERSION: Final = 4
_SCHEMA: Final = """
create table jobs (
    id text primary key, tenant text not null, model text not null, status text not null, ended integer not null,
    seq integer not null, created_at integer not null, updated_at integer not null, webhook_at integer not null
) without rowid;
create index newest on jobs (tenant, created_at desc, id desc);
create index by_status on jobs (tenant, status, created_at desc, id desc);
create index by_model on jobs (tenant, model, created_at desc, id desc);
create index by_model_and_status on jobs (tenant, model, status, created_at desc, id desc);
create index unended on jobs (id) where ended = 0;
create index webhooks on jobs (id) where webhook_at > 0;
create index oldest on jobs (updated_at) where ended = 1;
create table position (seq integer not null);
insert into position values (0);
"""
_TABLES: Final = ("jobs", "position", *stored_bytes.TABLES)
_COMMIT_SECONDS: Final = 0.2
_AGAIN_SECONDS: Final = 1.0
_CHECK_SECONDS: Final = 5.0
_EXPIRE_SECONDS: Final = 3600.0
_EXPIRE_ROWS: Final = 1000
_UPSERT: Final = """
insert into jobs values (?, ?, ?, ?, ?, ?, ?, ?, ?)
on conflict (id) do update set status = excluded.status, ended = excluded.ended, seq = excluded.seq,
    updated_at = excluded.updated_at, webhook_at = excluded.webhook_at
where excluded.seq > jobs.seq
"""
_T = TypeVar("_T")
Row: TypeAlias = tuple[str, str, str, str, bool, int, int, int, int]
"""A job as the file has it, in the columns' order."""
_log = logs.get(__name__)


class JobListDamagedError(Exception):
    """The file was broken and is deleted: the process must start again, and read the whole stream."""


@dataclass(frozen=True, slots=True)
class Page:
    """Ids of a page of jobs, newest first, and the token of the next one (empty: none)."""

    ids: list[str]
    next_token: str


@dataclass(frozen=True, slots=True)
class Query:
    """Which page of a tenant's jobs; empty texts: no such filter, and the first page."""

    tenant: str
    status: str = ""
    model: str = ""
    size: int = 20
    token: str = ""

    def sql(self) -> tuple[str, list[str]]:
        """Return the statement and its values. Raises GatewayError for a bad status or token."""
        where, values = ["tenant = ?"], [self.tenant]
        if self.status:
            known = tuple(dict.fromkeys(states.PUBLIC.values()))
            if self.status not in known:
                raise invalid("status", f"status must be one of {', '.join(known)}.")
            where.append("status = ?")
            values.append(self.status)
        if self.model:
            where.append("model = ?")
            values.append(self.model)
        if self.token:
            where.append("(created_at, id) < (?, ?)")
            values += _read_token(self.token)
        statement = (
            f"select id, created_at from jobs where {' and '.join(where)} "  # noqa: S608  conditions are ours
            f"order by created_at desc, id desc limit {self.size + 1:d}"
        )
        return statement, values


def row_of(entry: Entry) -> Row:
    """Return what the file keeps of a job."""
    record = entry.record
    return (
        record.id,
        record.tenant,
        record.task.model,
        states.PUBLIC[record.state],
        entry.ended,
        entry.seq,
        record.created_at,
        record.updated_at,
        (record.webhook.next_at or int(record.call_open)) if entry.ended else 0,
    )


class Projection:
    """The file. Not flushed: a lost tail is read again from the stream. Every method may take a while."""

    def __init__(self, path: Path) -> None:
        """Open the file, or make it, also in place of a damaged one. Raises OSError and sqlite3.Error."""
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._open()
        except sqlite3.DatabaseError as error:
            if not is_damaged(error):
                raise
            _log.error("job_list_damaged", path=str(path), exc_info=True)
            self.discard()
            self._open()

    def _open(self) -> None:
        # One thread at a time uses it, but not always the one that opened it.
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
        """The sequence up to which the stream has been read."""
        return int(self._db.execute("select seq from position").fetchone()[0])

    def write(self, rows: Collection[Row], position: int, messages: Collection[Message] = ()) -> None:
        """Take in rows and messages, and note the sequence that they reach up to: all of it or nothing. A row older
        than what is known has no effect.
        """
        self._db.execute("begin")
        try:
            self._db.executemany(_UPSERT, rows)
            self.stored.take(messages)
            self._db.execute("update position set seq = ?", (position,))
            self._db.execute("commit")
        except BaseException:
            if self._db.in_transaction:  # a full disk has ended it
                self._db.execute("rollback")
            raise

    def touch(self) -> None:
        """Make a small write that changes nothing."""
        self._db.execute("update position set seq = seq")

    def unended(self) -> list[str]:
        """Return the ids of jobs that have not ended, and of ended ones with a due webhook or an open call."""
        rows = self._db.execute("select id from jobs where ended = 0 union select id from jobs where webhook_at > 0")
        return [row[0] for row in rows]

    def page(self, query: Query) -> Page:
        """A page of a tenant's jobs. Raises GatewayError for a bad status or token."""
        statement, values = query.sql()
        rows = self._db.execute(statement, values).fetchall()
        more = len(rows) > query.size
        rows = rows[: query.size]
        return Page([row[0] for row in rows], page_token(rows[-1][1], rows[-1][0]) if more else "")

    def expire(self, now: float) -> int:
        """Drop some of what the stream no longer has, and return how many jobs or messages, whichever are more.
        `now` in Unix seconds.
        """
        oldest = int((now - RECORD_SECONDS) * 1000)
        jobs = self._db.execute(
            "delete from jobs where id in (select id from jobs where ended = 1 and updated_at < ? limit ?)",
            (oldest, _EXPIRE_ROWS),
        ).rowcount
        return max(jobs, self.stored.expire(int(now * 1000), _EXPIRE_ROWS))

    def close(self) -> None:
        """Close the file. Harmless to repeat."""
        self._db.close()

    def discard(self) -> None:
        """Delete the file: the next start reads the whole stream again."""
        self._db.close()
        for suffix in ("", "-wal", "-shm"):
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)


def is_damaged(error: sqlite3.Error) -> bool:
    """Return whether the file itself is broken, and not only out of reach or out of room."""
    return _code(error) in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def _code(error: BaseException) -> int:
    """Return SQLite's primary result code; 0 for an error that is not SQLite's."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def _fault(error: BaseException) -> str:
    """Return what a failure of the list means, in words for callers."""
    if _code(error) == sqlite3.SQLITE_FULL:
        return "the job list has no room"
    if isinstance(error, TimeoutError):
        return "the job list does not answer in time"
    return "the job list can't be written"


class JobIndex:
    """The projection, reached without blocking: one thread runs its SQL, and changes go there in batches."""

    def __init__(self, projection: Projection, clock: Callable[[], float], executor: Executor) -> None:
        """`clock` gives Unix seconds. `executor` runs one call at a time."""
        self._projection = projection
        self._clock = clock
        self._executor = executor
        self._rows: dict[str, Row] = {}
        self._messages: dict[tuple[str, int], Message] = {}
        self._stored = projection.stored.all()
        self._changed = asyncio.Event()
        self._flushing = asyncio.Lock()
        self._damage: sqlite3.Error | None = None
        self.position = projection.position
        """The sequence up to which this replica has seen the stream."""

    @classmethod
    async def open(cls, path: Path, clock: Callable[[], float]) -> JobIndex:
        """Open the file, or make it. Raises OSError and sqlite3.Error."""
        executor = ThreadPoolExecutor(1, thread_name_prefix="projection")
        loop = asyncio.get_running_loop()
        projection = await loop.run_in_executor(executor, Projection, path)
        return cls(projection, clock, executor)

    def start(self, supervisor: Supervisor) -> None:
        """Write down what is noted, and drop what is too old."""
        supervisor.spawn("job list: writes", self._write_forever())
        supervisor.spawn("job list: expiry", self._expire_forever())

    def note(self, seq: int, entry: Entry | None) -> None:
        """Take in a change, if there is one; all up to this sequence has been taken in."""
        if entry is not None:
            self._rows[entry.record.id] = row_of(entry)
            self._messages[entry.record.id, entry.record.state] = message_of(entry)
        self.position = seq
        self._changed.set()

    def stored(self, tenant: str) -> int:
        """Return the bytes that a tenant's records take up in the stream, as of the last write to the file."""
        return self._stored.get(tenant, 0)

    async def unended(self) -> list[str]:
        """Return the ids of jobs that have not ended, and of ended ones with a due webhook or an open call."""
        return await self._call(self._projection.unended)

    async def page(self, query: Query) -> Page:
        """A page of a tenant's jobs, as of this moment.

        Raises GatewayError for a bad status or token, and SERVICE_UNAVAILABLE when the file can't be written or read.
        """
        try:
            await self._flush()
            return await self._call(lambda: self._projection.page(query))
        except sqlite3.Error:
            _log.exception("job_list_not_read")
            raise unavailable() from None

    async def check(self) -> None:
        """Make a small write, for at most 5 s. Raises UnavailableError."""
        try:
            async with asyncio.timeout(_CHECK_SECONDS):
                await self._flush()
                await self._call(self._projection.touch)
        except (sqlite3.Error, TimeoutError) as error:
            raise UnavailableError(_fault(error)) from error

    async def close(self) -> None:
        """Write down what is noted, and close the file."""
        try:
            await self._flush()
        except sqlite3.Error:
            _log.warning("job_list_not_written", exc_info=True)
        await self._call(self._projection.close)
        self._executor.shutdown(wait=False)

    async def _call(self, work: Callable[[], _T]) -> _T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, work)
        except sqlite3.Error as error:
            if is_damaged(error):
                self._damage = error
                self._changed.set()  # wakes the writer
            raise

    async def _flush(self) -> None:
        async with self._flushing:
            if not self._changed.is_set():
                return
            self._changed.clear()
            rows, messages, position = self._rows, self._messages, self.position
            self._rows, self._messages = {}, {}
            try:
                self._stored |= await self._call(lambda: self._written(rows, messages, position))
            except BaseException:
                # The position that is on file stays behind what was not written. Newer rows win.
                self._rows = rows | self._rows
                self._messages = messages | self._messages
                self._changed.set()
                raise

    def _written(
        self, rows: dict[str, Row], messages: dict[tuple[str, int], Message], position: int
    ) -> dict[str, int]:
        """Write, and return the bytes of the tenants whose records changed."""
        self._projection.write(rows.values(), position, messages.values())
        return self._projection.stored.of({row[1] for row in rows.values()})

    async def _write_forever(self) -> None:
        """Raises JobListDamagedError when the file is broken, once it is deleted."""
        failing = False
        while True:
            await self._changed.wait()
            try:
                await self._flush()
            except sqlite3.Error:
                if not failing:
                    _log.exception("job_list_not_written")
                failing = True
            else:
                failing = False
            if self._damage:
                await self._call(self._projection.discard)
                raise JobListDamagedError from self._damage
            await asyncio.sleep(_AGAIN_SECONDS if failing else _COMMIT_SECONDS)

    async def _expire_forever(self) -> None:
        while True:
            try:
                dropped = await self._call(lambda: self._projection.expire(self._clock()))
                self._stored = await self._call(self._projection.stored.all)
            except sqlite3.Error:
                _log.exception("job_list_not_expired")
                dropped = 0
            # A few at a time: lists wait for the same thread.
            await asyncio.sleep(_COMMIT_SECONDS if dropped == _EXPIRE_ROWS else _EXPIRE_SECONDS)


def page_token(created: int, job_id: str) -> str:
    """Return the token of the page after a job. `created` in Unix milliseconds."""
    return base64.urlsafe_b64encode(f"{created}:{job_id}".encode()).decode().rstrip("=")


def _read_token(token: str) -> tuple[str, str]:
    try:
        text = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode()
        created, job_id = text.split(":")
        return str(int(created)), job_id
    except ValueError:
        raise invalid("page_token", "page_token is not one that a list gave.") from None
