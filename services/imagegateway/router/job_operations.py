"""Job operations: read, cancel, erase, wait for and follow jobs; send their webhooks again."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any, Final

from imagegateway.jobs import states
from imagegateway.jobs.feed import ClosingError, TooSlowError, public_type
from imagegateway.platform.errors import GatewayError, UnavailableError, invalid, unsupported
from imagegateway.platform.readiness import OUTAGE_SECONDS
from imagegateway.platform.supervision import cancel
from imagegateway.router import costs
from imagegateway.router.call_context import stop_on_revocation
from imagegateway.router.job_errors import engine_errors
from imagegateway.v1 import image_service_pb2 as pb
from imagegateway.v1.error_reason_pb2 import ErrorReason

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

    from imagegateway.jobs.stream import Entry
    from imagegateway.router.call_context import Call
    from imagegateway.router.job_lookup import JobLookup
    from imagegateway.router.ports import (
        JobCanceller,
        JobEraser,
        JobWatcher,
        QueuePositions,
        ReadinessGate,
        WebhookRedeliverer,
    )
    from imagegateway.router.responses import ResponseBuilder
    from imagegateway.v1 import job_pb2

_EVENT_ID: Final = re.compile(r"[0-9]{1,18}")


class JobOperations:
    """Operations on single jobs of the caller's tenant."""

    def __init__(
        self,
        *,
        lookup: JobLookup,
        watcher: JobWatcher,
        canceller: JobCanceller,
        eraser: JobEraser,
        positions: QueuePositions,
        redeliverer: WebhookRedeliverer,
        readiness: ReadinessGate,
        responses: ResponseBuilder,
    ) -> None:
        self._lookup = lookup
        self._watcher = watcher
        self._canceller = canceller
        self._eraser = eraser
        self._positions = positions
        self._redeliverer = redeliverer
        self._readiness = readiness
        self._responses = responses

    async def get(self, job_id: str, call: Call) -> Entry:
        """Return a job. Raises GatewayError JOB_NOT_FOUND."""
        return await self._lookup.get(job_id, call)

    async def cancel(self, job_id: str, call: Call) -> Entry:
        """Cancel a job and return it; return one that has ended unchanged. Raises GatewayError."""
        return await self._written(self._canceller.cancel(await self._lookup.get(job_id, call)))

    async def erase(self, job_id: str, call: Call) -> Entry:
        """Erase a job and return it. Raises GatewayError UNSUPPORTED_PARAMETER for an unfinished one."""
        entry = await self._lookup.get(job_id, call)
        if not entry.ended:
            raise unsupported("job_id", f"Job {entry.record.id} has not ended yet: cancel the job first.")
        if entry.record.call_open:
            raise unsupported(
                "job_id",
                f"The provider still works for job {entry.record.id}: erase the job when its call has ended.",
            )
        return await self._written(self._eraser.erase(entry))

    async def wait(self, job_id: str, wanted: Callable[[Entry], bool], seconds: float, call: Call) -> Entry:
        """Return the job as soon as `wanted` accepts it, else as it is after `seconds`. Raises GatewayError."""
        with engine_errors():
            async with call.key_guard():
                found = await self._watcher.when(job_id, wanted, seconds)
        return found or await self._lookup.get(job_id, call)

    async def redeliver_webhook(self, job_id: str, call: Call) -> Entry:
        """Send an ended job's webhook again. Raises GatewayError UNSUPPORTED_PARAMETER without one."""
        entry = await self._lookup.get(job_id, call)
        if not entry.record.webhook.url:
            raise unsupported("job_id", f"Job {entry.record.id} has no webhook_url.")
        if not entry.ended:
            raise unsupported("job_id", f"Job {entry.record.id} has not ended yet; its webhook will be sent then.")
        return await self._written(self._redeliverer.redeliver(entry))

    async def _written(self, change: Coroutine[Any, Any, Entry]) -> Entry:
        """Return the job of a change as soon as the change is written.

        Raises GatewayError when the engine does not answer, and UnavailableError after 10 s while a part stays
        unavailable. A change with an owner goes on then.
        """
        writing = asyncio.create_task(change)
        outage = asyncio.create_task(self._readiness.outage())
        try:
            with engine_errors():
                await asyncio.wait({writing}, timeout=OUTAGE_SECONDS)
                await asyncio.wait({writing, outage}, return_when=asyncio.FIRST_COMPLETED)
                if writing.done():
                    return writing.result()
                raise UnavailableError(str(outage.result()))
        finally:
            await cancel(writing, outage)

    def respond(self, entry: Entry, call: Call) -> job_pb2.Job:
        """Return the job as callers see it, and set the header of its cost."""
        costs.set_header(call, entry.record)
        return self.describe(entry)

    def describe(self, entry: Entry) -> job_pb2.Job:
        """Return the job as callers see it."""
        return self._responses.job(entry.record, self._positions.position(entry.record))

    async def follow(
        self, request: pb.StreamJobRequest, call: Call, quiet: float | None = None
    ) -> AsyncIterator[pb.StreamJobResponse | None]:
        """Yield a job's events up to its end, and None after each `quiet` seconds without one.

        Raises GatewayError.
        """
        after = _last_event_id(request, call)
        entry = await self._lookup.get(request.job_id, call)
        if after is not None and entry.ended and entry.event_seq <= after:
            return
        is_first = after is None
        try:
            with engine_errors():
                changes = self._watcher.changes(request.job_id, after, quiet)
                async for change in stop_on_revocation(call, changes):
                    if change is None:
                        yield None
                        continue
                    yield self._event(change, is_first=is_first)
                    is_first = False
        except TooSlowError:
            raise GatewayError(
                ErrorReason.ERROR_REASON_SUBSCRIBER_TOO_SLOW,
                "The subscriber read too slowly and was dropped; go on from its last event id.",
                retry_after=1,
            ) from None
        except ClosingError:
            raise GatewayError(
                ErrorReason.ERROR_REASON_SERVICE_UNAVAILABLE,
                "This replica stops; go on from the last event id.",
                retry_after=1,
            ) from None

    def _event(self, entry: Entry, *, is_first: bool) -> pb.StreamJobResponse:
        """Return the event of a change. The first event of a stream shows the job's state, not a change."""
        return pb.StreamJobResponse(
            event_id=str(entry.event_seq),
            type=f"job.{states.PUBLIC[entry.record.state]}" if is_first else public_type(entry),
            job=self.describe(entry),
        )


def _last_event_id(request: pb.StreamJobRequest, call: Call) -> int | None:
    """Return the event id after which a stream resumes, or None. Raises GatewayError for a malformed one."""
    token = request.after or call.metadata.get("last-event-id", "")
    if not token:
        return None
    if not _EVENT_ID.fullmatch(token):
        raise invalid("after", "after must be an event id of this job's stream.")
    return int(token)
