"""Admission of new jobs, and the writes that make them.

The process owns each write, not the call that asked for it: a caller that goes away changes nothing, and a write
whose answer is lost is followed until it is certain whether the job exists. The job's inputs belong to the write from
the start, and are deleted only when the job surely was not written.
"""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from imagegateway.job.v1.job_record_pb2 import JobRecord
from imagegateway.jobs import record_size, states, transitions
from imagegateway.jobs.cleanup import delete_inputs
from imagegateway.jobs.stream import OutcomeUnknownError, StaleError, unavailable
from imagegateway.platform import logs
from imagegateway.platform.errors import GatewayError
from imagegateway.v1.error_reason_pb2 import ErrorReason

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from imagegateway.jobs.admission import Turns
    from imagegateway.jobs.feed import Hub
    from imagegateway.jobs.stream import Entry, JobStream
    from imagegateway.jobs.worker import Worker
    from imagegateway.media.store import MediaStore

_STORED_SECONDS: Final = 600.0
"""Pause before a tenant whose share of the stream is used up may come again: only the end of retention frees it."""
_AGAIN_SECONDS: Final = 0.2
_LONGEST_PAUSE: Final = 5.0
_log = logs.get(__name__)


@dataclass(slots=True)
class _Write:
    """A new job's write, and the caller that waits for it.

    `keyed`: the caller has an idempotency key and may come again for the job.
    """

    record: JobRecord
    keyed: bool
    answer: asyncio.Future[Entry] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    caller_gone: bool = False

    def fail(self, error: Exception) -> None:
        """Answer the caller with an error, unless it has its answer."""
        if not self.answer.done():
            self.answer.set_exception(error)
            self.answer.exception()  # asyncio complains about an exception that nobody waited for


class Submissions:
    """Accepts jobs for this replica: at most `queue_limit` waiting ones, and of each tenant `tenant_bytes` of records
    under way and `tenant_stored_bytes` of all records that are kept.

    `cancel` ends a job; `me`: this replica as an owner.
    """

    def __init__(
        self,
        *,
        stream: JobStream,
        hub: Hub,
        turns: Turns,
        worker: Worker,
        store: MediaStore,
        cancel: Callable[[Entry], Awaitable[Entry]],
        queue_limit: int,
        tenant_bytes: int,
        tenant_stored_bytes: int,
        me: str,
    ) -> None:
        self._stream = stream
        self._hub = hub
        self._turns = turns
        self._worker = worker
        self._store = store
        self._cancel = cancel
        self._queue_limit = queue_limit
        self._tenant_bytes = tenant_bytes
        self._tenant_stored_bytes = tenant_stored_bytes
        self._me = me

    async def submit(self, record: JobRecord, *, keyed: bool) -> Entry:
        """Write a new job, and start it at once when its route is free.

        The inputs in `record.upload_keys` are the job's from here on, or are deleted. Raises GatewayError: OVERLOADED
        when too many jobs wait, REQUEST_TOO_LARGE, SERVICE_UNAVAILABLE when the engine can't be reached. StaleError
        when the id is taken.
        """
        try:
            self._admit(record)
        except GatewayError:
            self._worker.attend(record.id, delete_inputs(self._store, record.upload_keys))
            raise
        record.owner = self._me
        record.submission = secrets.token_hex(8)
        write = _Write(record, keyed)
        self._worker.attend(record.id, self._complete(write))
        try:
            return await asyncio.shield(write.answer)
        except asyncio.CancelledError:
            write.caller_gone = True
            raise

    def _admit(self, record: JobRecord) -> None:
        """Take slots for a job, or queue it. Raises GatewayError."""
        record_size.check_new(record)
        held = self._hub.held.of(record.tenant)
        if held + record.ByteSize() > self._tenant_bytes:
            raise GatewayError(
                ErrorReason.ERROR_REASON_OVERLOADED,
                f"Your jobs under way hold {held} bytes, and may hold {self._tenant_bytes}; try again later.",
                retry_after=5,
            )
        stored = self._hub.stored(record.tenant)
        if stored + record.ByteSize() > self._tenant_stored_bytes:
            raise GatewayError(
                ErrorReason.ERROR_REASON_OVERLOADED,
                f"The records of your jobs hold {stored} bytes, and may hold {self._tenant_stored_bytes} "
                "(IMAGEGATEWAY_TENANT_RECORDS_MIB); those of ended jobs are deleted after 30 days.",
                retry_after=_STORED_SECONDS,
            )
        # Counted before the write is answered, so that concurrent calls see the place taken.
        if self._turns.enter(record):
            transitions.submitting(record)
            return
        if not self._turns.room(record.tenant, self._queue_limit):
            raise GatewayError(
                ErrorReason.ERROR_REASON_OVERLOADED,
                f"{self._turns.waiting_of(record.tenant)} of your jobs are waiting already, which is your share of "
                "the queue; try again later.",
                retry_after=5,
            )
        record.state = states.QUEUED

    async def _complete(self, write: _Write) -> None:
        """Bring a write to its end, and go on with the job where there is one."""
        record = write.record
        refused = False
        try:
            try:
                entry = await self._stream.create(record)
            except OutcomeUnknownError:
                seen = self._seen(record)
                if seen is None:
                    # Told to try again, a caller without a key can't find this job: then it must not run.
                    refused = not write.caller_gone and not write.keyed
                    write.fail(unavailable())
                    seen = await self._settle(_cancelled(record) if refused else record)
                entry = seen
        except (GatewayError, StaleError) as error:
            found = await self._stream.last_patiently(record.id) if isinstance(error, StaleError) else None
            if found is None or found.record.submission != record.submission:
                self._worker.give_back(record.id)
                write.fail(error)
                await delete_inputs(self._store, record.upload_keys)
                return
            entry = found  # written, and changed by somebody else since
        except Exception as error:
            # Whether the job is written is not known: the reconciler goes on with it if it turns up.
            write.fail(error)
            raise
        if refused:
            entry = await self._cancel(entry)
            await delete_inputs(self._store, record.upload_keys)
        if not write.answer.done():
            write.answer.set_result(entry)
        self._worker.begin(entry)

    async def _settle(self, record: JobRecord) -> Entry:
        """Write a job whose first write has no answer until it is certain that it is there, as `record` or as that
        first write. A cancelled `record` keeps the first write from taking effect later.

        Raises StaleError when the id is taken, OutcomeUnknownError at the job's deadline.
        """
        tries = 0
        while transitions.now() < record.deadline:
            tries += 1
            await asyncio.sleep(min(_AGAIN_SECONDS * tries, _LONGEST_PAUSE))
            if seen := self._seen(record):
                return seen
            try:
                return await self._stream.create(record)
            except (OutcomeUnknownError, GatewayError):
                _log.warning("job_write_unsettled", job_id=record.id, tries=tries)
        raise OutcomeUnknownError

    def _seen(self, record: JobRecord) -> Entry | None:
        """Return the job as the feed has brought it."""
        seen = self._hub.live.get(record.id)
        return seen if seen and seen.record.submission == record.submission else None


def _cancelled(record: JobRecord) -> JobRecord:
    """Return the record of the same submission that never runs."""
    cancelled = JobRecord()
    cancelled.CopyFrom(record)
    transitions.cancelled(cancelled)
    cancelled.call_open = False
    return cancelled
