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

    async def cancel(self, entry: Entry) -> Entry:
        """Cancel a job and return it; return an ended job unchanged. Raises OutcomeUnknownError.

        The cancellation completes even if its caller disconnects.
        """
        return await self._tasks.complete(self._cancel(entry))

    async def _cancel(self, entry: Entry) -> Entry:
        if entry.ended:
            return entry
        entry = await self._writer.update(entry, _mark_cancelled)
        if not entry.record.call_open:
            self._tasks.spawn(delete_inputs(self._store, entry.record.upload_keys))
        return entry


def _mark_cancelled(record: JobRecord) -> bool:
    if record.state in states.TERMINAL:
        return False
    transitions.mark_cancelled(record)
    return True
