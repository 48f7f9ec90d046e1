"""Job lookup: reads a job by its id, for its tenant only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imagegateway.platform import ids
from imagegateway.router.job_errors import engine_errors, job_not_found

if TYPE_CHECKING:
    from imagegateway.jobs.stream import Entry
    from imagegateway.router.call_context import Call
    from imagegateway.router.ports import JobReader


class JobLookup:
    """Lookup of jobs in the stream."""

    def __init__(self, reader: JobReader) -> None:
        self._reader = reader

    async def find(self, job_id: str) -> Entry | None:
        """Return a job as the stream has it, or None. Raises OutcomeUnknownError."""
        # A leader that was just voted out may still answer, without its successor's newest writes.
        return await self._reader.last(job_id) or await self._reader.last(job_id)

    async def get(self, job_id: str, call: Call) -> Entry:
        """Return a job of the caller's tenant.

        Raises GatewayError: JOB_NOT_FOUND, also for another tenant's job; SERVICE_UNAVAILABLE.
        """
        entry: Entry | None = None
        if ids.is_job(job_id):
            with engine_errors():
                entry = await self.find(job_id)
        if entry is None or entry.record.tenant != call.tenant:
            raise job_not_found(job_id)
        call.name_job(job_id)
        return entry
