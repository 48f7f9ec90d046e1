"""Usage reports: all parts of one replica that keep and read usage."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from imagegateway.jobs.stream_connection import StreamConnection
from imagegateway.jobs.stream_errors import OutcomeUnknownError
from imagegateway.jobs.usage import journal as usage_journal
from imagegateway.jobs.usage.index import UsageIndex
from imagegateway.jobs.usage.journal import UsageJournal
from imagegateway.platform.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from imagegateway.jobs.stream import JobStream
    from imagegateway.jobs.usage.query import Report, UsageQuery
    from imagegateway.platform.nats_client import Client
    from imagegateway.platform.supervision import Supervisor

_CURRENT_SECONDS: Final = 5.0
"""Longest wait of a report for jobs that ended before the report."""
_POLL_SECONDS: Final = 0.1


class UsageReports:
    """Usage of the jobs of all replicas."""

    def __init__(self, stream: JobStream, journal: UsageJournal, index: UsageIndex) -> None:
        self._stream = stream
        self._journal = journal
        self._index = index

    @classmethod
    async def open(cls, client: Client, stream: JobStream, replicas: int, path: Path) -> UsageReports:
        """Create or update the usage stream, and open the file. Raises nats.errors.Error, OSError, sqlite3.Error."""
        connection = StreamConnection(client, usage_journal.NAME, usage_journal.SUBJECTS)
        index = await UsageIndex.open(path, connection)
        return cls(stream, await UsageJournal.open(client, replicas, index), index)

    async def start(self, supervisor: Supervisor) -> None:
        """Write and follow usage in the background. Raises OutcomeUnknownError."""
        await self._index.start(supervisor)
        self._journal.start(supervisor)

    async def report(self, query: UsageQuery) -> Report:
        """Return a page of a report that includes all jobs that ended before the call.

        Jobs whose usage is not written within 5 s, because a replica has crashed, follow later. Raises GatewayError.
        """
        with suppress(TimeoutError, OutcomeUnknownError):
            async with asyncio.timeout(_CURRENT_SECONDS):
                await self._catch_up()
        return await self._index.report(query)

    async def spent(self, *, tenant: str, key_id: str, since: int, without: Collection[str]) -> int:
        """Return the cost of all jobs that ended from a day on, in nano-dollars: `SpendHistory`.

        `since`: first instant of the day in Unix milliseconds. Raises UnavailableError when usage is not current.
        """
        try:
            async with asyncio.timeout(_CURRENT_SECONDS):
                await self._catch_up()
        except (TimeoutError, OutcomeUnknownError) as error:
            raise UnavailableError("usage is not current") from error
        start = datetime.fromtimestamp(since / 1000, UTC).date()
        return await self._index.spent(tenant, key_id, start, without)

    async def close(self) -> None:
        """Close the file."""
        await self._index.close()

    async def _catch_up(self) -> None:
        """Wait until the index has the usage of all jobs that have ended. Raises OutcomeUnknownError."""
        seq = await self._stream.newest()
        while not await self._journal.is_written(seq):
            self._journal.hasten()
            await asyncio.sleep(_POLL_SECONDS)
        await self._index.wait_for(await self._journal.newest())
