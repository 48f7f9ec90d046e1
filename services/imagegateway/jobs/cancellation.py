"""Cancellation of jobs by their callers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imagegateway.jobs import states, transitions
from imagegateway.jobs.cleanup import delete_inputs

if TYPE_CHECKING:
    from imagegateway.job.v1.job_record_pb2 import JobRecord
    from imagegateway.jobs.background_tasks import BackgroundTasks
    from imagegateway.jobs.job_writer import JobWriter
    from imagegateway.jobs.stream import Entry
    from imagegateway.media.store import MediaStore


class JobCancellation:
    """Cancels jobs of any replica; the job's owner stops the provider call."""

    def __init__(self, writer: JobWriter, store: MediaStore, tasks: BackgroundTasks) -> None:
        self._writer = writer
        self._store = store
        self._tasks = tasks

    async def cancel(self, entry: Entry, *, is_started: bool = True) -> Entry:
        """Cancel a job and return it; return an ended job unchanged. Raises OutcomeUnknownError.

        `is_started`: False for a job whose provider call has certainly not begun. The cancellation completes even if
        its caller disconnects.
        """
        return await self._tasks.complete(self._cancel(entry, is_started=is_started))

    async def _cancel(self, entry: Entry, *, is_started: bool) -> Entry:
        if entry.ended:
            return entry
        entry = await self._writer.update(entry, lambda record: _mark_cancelled(record, is_started=is_started))
        if not entry.record.call_open:
            self._tasks.spawn(delete_inputs(self._store, entry.record.upload_keys))
        return entry


def _mark_cancelled(record: JobRecord, *, is_started: bool) -> bool:
    if record.state in states.TERMINAL:
        return False
    transitions.mark_cancelled(record, is_started=is_started)
    return True
