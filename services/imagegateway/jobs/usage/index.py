"""Usage index: non-blocking access to the usage file, which follows the usage stream."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, TypeVar

from imagegateway.jobs.replayed_file import is_damaged
from imagegateway.jobs.stream_errors import unavailable
from imagegateway.jobs.usage import file as usage_file
from imagegateway.jobs.usage.entries import read_batch
from imagegateway.jobs.usage.file import UsageFile
from imagegateway.platform import logs
from imagegateway.platform.errors import UnavailableError
from imagegateway.platform.stored_values import Decoder

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from datetime import date
    from pathlib import Path

    from imagegateway.jobs.stream_connection import StreamConnection
    from imagegateway.jobs.stream_messages import Message
    from imagegateway.jobs.usage.query import Report, UsageQuery
    from imagegateway.platform.supervision import Supervisor

_RETRY_SECONDS: Final = 1.0
_EXPIRE_SECONDS: Final = 3600.0
_EXPIRE_PAUSE: Final = 0.2
"""Pause between batches of an expiry in seconds: reports wait for the same thread."""
_T = TypeVar("_T")
_log = logs.get(__name__)


class UsageFileDamagedError(Exception):
    """The file was damaged and has been deleted: the process must restart and read the whole stream."""


class UsageIndex:
    """Usage of all jobs that ended, as of the newest message that this replica has read."""

    def __init__(self, file: UsageFile, connection: StreamConnection, executor: Executor) -> None:
        """`executor` runs one call at a time."""
        self._file = file
        self._connection = connection
        self._executor = executor
        self._decoder = Decoder("USAGE")
        self._position = file.position
        self._progress = asyncio.Event()

    @classmethod
    async def open(cls, path: Path, connection: StreamConnection) -> UsageIndex:
        """Open or create the file. Raises OSError and sqlite3.Error."""
        executor = ThreadPoolExecutor(1, thread_name_prefix="usage")
        loop = asyncio.get_running_loop()
        file = await loop.run_in_executor(executor, UsageFile, path)
        return cls(file, connection, executor)

    async def start(self, supervisor: Supervisor) -> None:
        """Follow the stream in the background. Raises OutcomeUnknownError.

        A stream that has lost messages is read again as a whole.
        """
        if (last := await self._connection.last_sequence()) < self._position:
            _log.error("usage_lost", last=last, seen=self._position)
            await self._call(self._file.clear)
            self._position = 0
        supervisor.spawn("usage: feed", self._follow())
        supervisor.spawn("usage: expiry", self._expire_forever())

    async def wait_for(self, seq: int) -> None:
        """Wait until the index has read the stream up to a sequence."""
        while self._position < seq:
            self._progress.clear()
            await self._progress.wait()

    async def report(self, query: UsageQuery) -> Report:
        """Return a page of a report.

        Raises GatewayError for an invalid token, and SERVICE_UNAVAILABLE when the file can't be read.
        """
        try:
            return await self._call(lambda: self._file.report(query))
        except sqlite3.Error:
            _log.exception("usage_not_read")
            raise unavailable() from None

    async def spent(self, tenant: str, key_id: str, start: date, without: Collection[str]) -> int:
        """Return the cost of jobs as `UsageFile.spent` does. Raises UnavailableError when the file can't be read."""
        try:
            return await self._call(lambda: self._file.spent(tenant, key_id, start.isoformat(), without))
        except sqlite3.Error as error:
            _log.exception("usage_not_read")
            raise UnavailableError("usage can't be read") from error

    async def messages_of(self, job_ids: Collection[str]) -> list[int]:
        """Return the sequences of the messages that hold the entries of jobs."""
        return await self._call(lambda: self._file.messages_of(job_ids))

    async def close(self) -> None:
        """Close the file."""
        await self._call(self._file.close)
        self._executor.shutdown(wait=False)

    async def _call(self, work: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)

    async def _follow(self) -> None:
        """Raise UsageFileDamagedError for a damaged file, after deleting the file."""
        async for item in self._connection.messages(self._position):
            if isinstance(item, int):
                self._position = item
            else:
                await self._write(item)
                self._position = item.seq
            self._progress.set()

    async def _write(self, message: Message) -> None:
        """Write a message's entries; retry while the file can't be written."""
        batch = self._decoder.decode(message.subject, message.data, read_batch)
        entries = [] if batch is None else list(batch.entries)
        failing = False
        while True:
            try:
                await self._call(lambda: self._file.write(entries, message.seq))
            except sqlite3.Error as error:
                if is_damaged(error):
                    await self._call(self._file.delete)
                    raise UsageFileDamagedError from error
                if not failing:
                    _log.exception("usage_file_not_written")
                failing = True
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                return

    async def _expire_forever(self) -> None:
        while True:
            try:
                deleted = await self._call(lambda: self._file.expire(time.time()))
            except sqlite3.Error:
                _log.exception("usage_not_expired")
                deleted = 0
            await asyncio.sleep(_EXPIRE_PAUSE if deleted == usage_file.EXPIRE_ROWS else _EXPIRE_SECONDS)
