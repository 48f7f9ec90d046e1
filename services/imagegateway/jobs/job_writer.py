"""Writer of job records: appends them to the stream, applies them to the local feed, and counts transitions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imagegateway.jobs import job_end, job_metrics
from imagegateway.jobs.stream_errors import OutcomeUnknownError, StaleError

if TYPE_CHECKING:
    from collections.abc import Callable

    from imagegateway.job.v1.job_record_pb2 import JobRecord
    from imagegateway.jobs.feed import JobFeed
    from imagegateway.jobs.stream import Entry, JobStream


class JobWriter:
    """Compare-and-set writes of this replica."""

    def __init__(self, stream: JobStream, feed: JobFeed) -> None:
        self._stream = stream
        self._feed = feed

    async def advance(self, entry: Entry, record: JobRecord) -> Entry:
        """Write a job's next record, count the transition, and report the job's end.

        Raises StaleError when another writer has changed the job, RefusedError when the server will never accept
        the write.
        """
        written = await self._stream.advance(entry, record)
        self._feed.apply_own_write(written)
        job_metrics.count_transition(entry.record, written.record)
        if written.ended and not entry.ended:
            job_end.report(written.record)
        return written

    async def update(self, entry: Entry, change: Callable[[JobRecord], bool], *, patient: bool = False) -> Entry:
        """Apply `change` to the newest record of a job and write it. Return the newest entry.

        `change` returns whether the record needs a write, and runs again on the newer record after a conflict.
        `patient`: wait for an unreachable engine, and return `entry` for a job that the stream no longer keeps; else
        raise OutcomeUnknownError in both cases.
        """
        read = self._stream.last_patiently if patient else self._stream.last
        while True:
            record = entry.copy()
            if not change(record):
                return entry
            try:
                return await self.advance(entry, record)
            except StaleError:
                newer = await read(record.id)
            if newer is None:
                if patient:
                    return entry
                raise OutcomeUnknownError
            entry = newer
