"""Submission of new jobs: admission, and the durable write of the first record.

The process owns each write, not the call that asked for it. So a caller that disconnects changes nothing, and a write
without an acknowledgement is followed until it is certain whether the job exists. The write owns the job's inputs,
and deletes them only when the job certainly does not exist.
"""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from imagegateway.job.v1.job_record_pb2 import JobRecord
from imagegateway.jobs import job_end, job_metrics, record_size, states, transitions
from imagegateway.jobs.cleanup import delete_inputs
from imagegateway.jobs.membership import LEASE_SECONDS
from imagegateway.jobs.stream_errors import OutcomeUnknownError, StaleError, unavailable
from imagegateway.platform import backoff, logs
from imagegateway.platform.clock import unix_millis
from imagegateway.platform.errors import GatewayError
from imagegateway.v1.error_reason_pb2 import ErrorReason

if TYPE_CHECKING:
    from imagegateway.jobs.admission import AdmissionControl
    from imagegateway.jobs.budgets.ledger import BudgetLedger
    from imagegateway.jobs.cancellation import JobCancellation
    from imagegateway.jobs.feed import JobFeed
    from imagegateway.jobs.job_steps import JobSteps
    from imagegateway.jobs.stream import Entry, JobStream
    from imagegateway.jobs.worker import Worker
    from imagegateway.media.store import MediaStore

_STORED_RETRY_SECONDS: Final = 600.0
"""Retry-After for a tenant whose share of the stream is used up: only the end of retention frees it."""
_log = logs.get(__name__)


@dataclass(slots=True)
class _Write:
    """Write of a new job, and the caller that waits for it."""

    record: JobRecord
    has_idempotency_key: bool
    answer: asyncio.Future[Entry] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    caller_gone: bool = False

    def fail(self, error: Exception) -> None:
        """Answer the caller with an error, unless it has been answered."""
        if not self.answer.done():
            self.answer.set_exception(error)
            self.answer.exception()  # asyncio logs an exception that no code retrieves


class JobSubmission:
    """Accepts jobs for this replica: at most `queue_limit` queued ones.

    A tenant's unfinished jobs may have `tenant_bytes` of records, all its kept jobs `tenant_stored_bytes`.
    `owner`: this replica's id as an owner of jobs.
    """

    def __init__(
        self,
        *,
        stream: JobStream,
        feed: JobFeed,
        admission: AdmissionControl,
        budgets: BudgetLedger,
        worker: Worker,
        steps: JobSteps,
        cancellation: JobCancellation,
        store: MediaStore,
        queue_limit: int,
        tenant_bytes: int,
        tenant_stored_bytes: int,
        owner: str,
    ) -> None:
        self._stream = stream
        self._feed = feed
        self._admission = admission
        self._budgets = budgets
        self._worker = worker
        self._steps = steps
        self._cancellation = cancellation
        self._store = store
        self._queue_limit = queue_limit
        self._tenant_bytes = tenant_bytes
        self._tenant_stored_bytes = tenant_stored_bytes
        self._owner = owner

    async def submit(self, record: JobRecord, *, has_idempotency_key: bool = False) -> Entry:
        """Write a new job, and start it at once if its route has free slots.

        From here on the inputs in `record.upload_keys` belong to the job, or are deleted. `has_idempotency_key`: the
        caller can find the job again after an error. Raises GatewayError: OVERLOADED when too many jobs are queued,
        REQUEST_TOO_LARGE, BUDGET_EXCEEDED or PRICE_UNKNOWN under a budget, SERVICE_UNAVAILABLE when the engine can't
        be reached. Raises StaleError when the id is taken.
        """
        try:
            self._admit(record)
        except GatewayError:
            self._steps.spawn(record, delete_inputs(self._store, record.upload_keys))
            raise
        record.owner = self._owner
        record.submission = secrets.token_hex(8)
        write = _Write(record, has_idempotency_key)
        self._steps.spawn(record, self._complete(write))
        try:
            return await write.answer
        except asyncio.CancelledError:
            write.caller_gone = True
            raise

    def _admit(self, record: JobRecord) -> None:
        """Reserve slots for a job, or mark it queued. Raises GatewayError."""
        record_size.check_new(record)
        held = self._feed.live.bytes_of(record.tenant)
        if held + record.ByteSize() > self._tenant_bytes:
            raise GatewayError(
                ErrorReason.ERROR_REASON_OVERLOADED,
                f"Your jobs under way hold {held} bytes, and may hold {self._tenant_bytes}; try again later.",
                retry_after=5,
            )
        stored = self._feed.stored_bytes(record.tenant)
        if stored + record.ByteSize() > self._tenant_stored_bytes:
            raise GatewayError(
                ErrorReason.ERROR_REASON_OVERLOADED,
                f"The records of your jobs hold {stored} bytes, and may hold {self._tenant_stored_bytes} "
                "(IMAGEGATEWAY_TENANT_RECORDS_MIB); those of ended jobs are deleted after their retention.",
                retry_after=_STORED_RETRY_SECONDS,
            )
        # Slots are reserved before the write, so that concurrent submissions see them used.
        if self._admission.try_reserve(record):
            transitions.mark_submitting(record)
            return
        if not self._admission.has_queue_room(record.tenant, self._queue_limit):
            raise GatewayError(
                ErrorReason.ERROR_REASON_OVERLOADED,
                f"{self._admission.queued_by(record.tenant)} of your jobs are waiting already, which is your share "
                "of the queue; try again later.",
                retry_after=5,
            )
        record.state = states.QUEUED

    async def _complete(self, write: _Write) -> None:
        """Reserve the job's estimate, complete the write, and start the job if it exists."""
        record = write.record
        refused = False
        began = unix_millis()
        try:
            await self._budgets.reserve(record)
            try:
                entry = await self._stream.create(record)
            except OutcomeUnknownError:
                seen = self._seen(record)
                if seen is None:
                    # A caller without a key can't find the job again after the error, so the job must not run.
                    refused = not write.caller_gone and not write.has_idempotency_key
                    write.fail(unavailable())
                    seen = await self._settle(_cancelled(record) if refused else record)
                entry = seen
            job_metrics.count_new(entry.record)
        except (GatewayError, StaleError) as error:
            found = await self._stream.last_patiently(record.id) if isinstance(error, StaleError) else None
            if found is None or found.record.submission != record.submission:
                self._worker.recount(record.id)
                await self._budgets.release(record)
                write.fail(error)
                await delete_inputs(self._store, record.upload_keys)
                return
            entry = found  # this write, and changed by another writer since
            job_metrics.count_new(record)
        except Exception as error:
            # Whether the job exists is unknown: the reconciler resumes it if the feed brings it.
            write.fail(error)
            raise
        if not refused and unix_millis() - began > LEASE_SECONDS * 1000 / 2:
            refused = not await self._reserve_again(write)
        if refused:
            entry = await self._cancellation.cancel(entry, is_started=False)
            await delete_inputs(self._store, record.upload_keys)
        if not write.answer.done():
            write.answer.set_result(entry)
        await self._worker.start(entry)

    async def _reserve_again(self, write: _Write) -> bool:
        """Reserve once more after a write that took long: another replica may have taken this one for dead.

        Return whether the budgets have room.
        """
        try:
            await self._budgets.reserve(write.record)
        except GatewayError as error:
            write.fail(error)
            return False
        return True

    async def _settle(self, record: JobRecord) -> Entry:
        """Write a job whose first write was not acknowledged, until this record or the first one is stored.

        A cancelled `record` prevents the first write from taking effect later.

        Raises StaleError when the id is taken, OutcomeUnknownError at the job's deadline.
        """
        pauses = backoff.pauses()
        while unix_millis() < record.deadline:
            await asyncio.sleep(next(pauses))
            if seen := self._seen(record):
                return seen
            try:
                entry = await self._stream.create(record)
            except (OutcomeUnknownError, GatewayError):
                _log.warning("job_write_unsettled", job_id=record.id)
                continue
            if entry.ended:
                job_end.report(record)
            return entry
        raise OutcomeUnknownError

    def _seen(self, record: JobRecord) -> Entry | None:
        """Return the job of this submission if the feed has brought it."""
        seen = self._feed.live.get(record.id)
        return seen if seen and seen.record.submission == record.submission else None


def _cancelled(record: JobRecord) -> JobRecord:
    """Return a cancelled record of the same submission."""
    cancelled = JobRecord()
    cancelled.CopyFrom(record)
    transitions.mark_cancelled(cancelled, is_started=False)
    return cancelled
