"""Job list index: non-blocking access to the list's file, whose SQL runs in one thread."""

from __future__ import annotations

import asyncio
import marshal
import sqlite3
from collections import deque
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

from imagegateway.jobs import list_file
from imagegateway.jobs.list_file import JobListFile, row_of
from imagegateway.jobs.replayed_file import is_damaged, result_code
from imagegateway.jobs.stored_bytes import message_row_of
from imagegateway.jobs.stream_errors import unavailable
from imagegateway.platform import logs
from imagegateway.platform.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from imagegateway.jobs.list_file import Row
    from imagegateway.jobs.list_query import Page, Query
    from imagegateway.jobs.stored_bytes import MessageRow
    from imagegateway.jobs.stream import Entry
    from imagegateway.platform.supervision import Supervisor

WRITE_ROWS: Final = 500
"""Most rows of each table in one write: more would hold the event loop while they are packed, and delay lists."""
_COMMIT_SECONDS: Final = 1.0
"""Pause after a write of the file, also a failed one, in seconds: the changes of one write share pages."""
_CHECK_SECONDS: Final = 5.0
_EXPIRE_SECONDS: Final = 3600.0
_EXPIRE_PAUSE: Final = 0.2
_T = TypeVar("_T")
_log = logs.get(__name__)


class JobListDamagedError(Exception):
    """The file was damaged and has been deleted: the process must restart and read the whole stream."""


@dataclass(slots=True)
class _Batch:
    """Changes that are written to the file in one transaction."""

    rows: dict[str, Row] = field(default_factory=dict)
    messages: dict[tuple[str, int], MessageRow] = field(default_factory=dict)
    packed: bytes = b""
    """Rows and messages of a full batch. As objects, those of a long backlog would all be visited by a collection."""
    position: int = 0
    sealed: bool = False
    """True once it is full or its write has begun: further changes go to another batch."""

    def add(self, seq: int, entry: Entry | None) -> None:
        """Add a change, if there is one."""
        if entry is not None:
            self.rows[entry.record.id] = row_of(entry)
            message = message_row_of(entry)
            self.messages[message[:2]] = message
        self.position = seq
        if len(self.messages) >= WRITE_ROWS:
            self.packed = marshal.dumps(self._lists())
            self.rows, self.messages = {}, {}
            self.sealed = True

    def contents(self) -> tuple[list[Row], list[MessageRow]]:
        """Return the rows and the messages."""
        if not self.packed:
            return self._lists()
        found: tuple[list[Row], list[MessageRow]] = marshal.loads(self.packed)  # noqa: S302  packed by `add`
        return found

    def _lists(self) -> tuple[list[Row], list[MessageRow]]:
        return list(self.rows.values()), list(self.messages.values())


class JobListIndex:
    """Index of all jobs for lists. Changes reach the file in batches."""

    def __init__(self, file: JobListFile, clock: Callable[[], float], executor: Executor) -> None:
        """`clock` returns Unix seconds. `executor` runs one call at a time."""
        self._file = file
        self._clock = clock
        self._executor = executor
        self._pending: deque[_Batch] = deque()
        self._stored = file.stored.all()
        self._changed = asyncio.Event()
        self._flushing = asyncio.Lock()
        self._damage: sqlite3.Error | None = None
        self.position = file.position
        """Stream sequence up to which the index is complete."""

    @classmethod
    async def open(cls, path: Path, clock: Callable[[], float]) -> JobListIndex:
        """Open or create the file. Raises OSError and sqlite3.Error."""
        executor = ThreadPoolExecutor(1, thread_name_prefix="job-list")
        loop = asyncio.get_running_loop()
        file = await loop.run_in_executor(executor, JobListFile, path)
        return cls(file, clock, executor)

    def start(self, supervisor: Supervisor) -> None:
        """Write changes and delete expired rows in the background."""
        supervisor.spawn("job list: writes", self._write_forever())
        supervisor.spawn("job list: expiry", self._expire_forever())

    def add(self, seq: int, entry: Entry | None) -> None:
        """Add a change, if there is one. The index is complete up to `seq` then."""
        if not self._pending or self._pending[-1].sealed:
            self._pending.append(_Batch())
        self._pending[-1].add(seq, entry)
        self.position = seq
        self._changed.set()

    def stored_bytes(self, tenant: str) -> int:
        """Return the size of a tenant's records in the stream, as of the last write to the file."""
        return self._stored.get(tenant, 0)

    async def unfinished(self) -> list[str]:
        """Return the ids of unfinished jobs, and of ended ones with a pending webhook or an open provider call."""
        return await self._call(self._file.unfinished)

    async def page(self, query: Query) -> Page:
        """Return a current page of a tenant's jobs.

        Raises GatewayError for an invalid status or token, and SERVICE_UNAVAILABLE when the file can't be written or
        read.
        """
        try:
            await self._flush()
            return await self._call(lambda: self._file.page(query))
        except sqlite3.Error:
            _log.exception("job_list_not_read")
            raise unavailable() from None

    async def check(self) -> None:
        """Make a small write within 5 s. Raises UnavailableError."""
        try:
            async with asyncio.timeout(_CHECK_SECONDS):
                await self._flush()
                await self._call(self._file.touch)
        except (sqlite3.Error, TimeoutError) as error:
            raise UnavailableError(_message(error)) from error

    async def close(self) -> None:
        """Write pending changes and close the file."""
        try:
            await self._flush()
        except sqlite3.Error:
            _log.warning("job_list_not_written", exc_info=True)
        await self._call(self._file.close)
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
            try:
                for _ in range(len(self._pending)):
                    batch = self._pending[0]
                    batch.sealed = True
                    self._stored |= await self._call(partial(self._write, batch))
                    self._pending.popleft()
            except BaseException:
                self._changed.set()  # the file's position stays before the batches that were not written
                raise

    def _write(self, batch: _Batch) -> dict[str, int]:
        """Write a batch to the file. Return the stored bytes of the tenants whose records changed."""
        rows, messages = batch.contents()
        self._file.write(rows, batch.position, messages)
        return self._file.stored.of({row[1] for row in rows})

    async def _write_forever(self) -> None:
        """Raise JobListDamagedError for a damaged file, after deleting the file."""
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
                await self._call(self._file.delete)
                raise JobListDamagedError from self._damage
            await asyncio.sleep(_COMMIT_SECONDS)

    async def expire(self, pause: float = _EXPIRE_PAUSE) -> None:
        """Delete all expired rows, with `pause` seconds between batches: lists wait for the same thread.

        Raises sqlite3.Error.
        """
        while True:
            deleted = await self._call(lambda: self._file.expire(self._clock()))
            self._stored = await self._call(self._file.stored.all)
            if deleted < list_file.EXPIRE_ROWS:
                return
            await asyncio.sleep(pause)

    async def _expire_forever(self) -> None:
        while True:
            try:
                await self.expire()
            except sqlite3.Error:
                _log.exception("job_list_not_expired")
            await asyncio.sleep(_EXPIRE_SECONDS)


def _message(error: BaseException) -> str:
    """Return the reason of a failed check in words for callers."""
    if result_code(error) == sqlite3.SQLITE_FULL:
        return "the job list has no room"
    if isinstance(error, TimeoutError):
        return "the job list does not answer in time"
    return "the job list can't be written"
