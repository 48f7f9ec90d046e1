"""Writer of job records: appends them to the stream and applies them to the local feed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imagegateway.jobs import states
from imagegateway.jobs.stream_errors import OutcomeUnknownError, StaleError
from imagegateway.platform import logs
from imagegateway.platform.errors import code_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from imagegateway.job.v1.job_record_pb2 import JobRecord
    from imagegateway.jobs.feed import JobFeed
    from imagegateway.jobs.stream import Entry, JobStream

_log = logs.get(__name__)


class JobWriter:
    """Compare-and-set writes of this replica."""

    def __init__(self, stream: JobStream, feed: JobFeed) -> None:
        self._stream = stream
        self._feed = feed

    async def advance(self, entry: Entry, record: JobRecord) -> Entry:
        """Write a job's next record, and log the job's end.

        Raises StaleError when another writer has changed the job, RefusedError when the server will never accept
        the write.
        """
        written = await self._stream.advance(entry, record)
        self._feed.apply_own_write(written)
        if written.ended and not entry.ended:
            _log_finished(written.record)
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


def _log_finished(record: JobRecord) -> None:
    """Log a job's end. Durations are in milliseconds."""
    started_at = record.started_at or record.completed_at
    _log.info(
        "job_finished",
        job_id=record.id,
        state=states.PUBLIC[record.state],
        reason=code_of(record.failed.reason) if record.HasField("failed") else None,
        model=record.task.model,
        provider=record.task.route,
        cost=record.cost.amount if record.HasField("cost") else None,
        queue_ms=started_at - record.created_at,
        provider_ms=record.completed_at - started_at,
        total_ms=record.completed_at - record.created_at,
        request_id=record.request_id,
    )
