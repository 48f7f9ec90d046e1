"""Image operations: submit a plan as a job, wait for it, respond with its images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from imagegateway.jobs import states
from imagegateway.jobs.feed import ClosingError, TooSlowError
from imagegateway.jobs.stream_errors import OutcomeUnknownError
from imagegateway.platform.errors import UnavailableError
from imagegateway.platform.readiness import OUTAGE_SECONDS
from imagegateway.router import costs, job_errors
from imagegateway.router.budget_header import show_budget
from imagegateway.router.call_context import STATUS, stop_on_revocation

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from imagegateway.job.v1.job_record_pb2 import JobRecord
    from imagegateway.jobs.stream import Entry
    from imagegateway.router.call_context import Call
    from imagegateway.router.input_images import InputImages
    from imagegateway.router.job_lookup import JobLookup
    from imagegateway.router.plan_submission import PlanSubmission
    from imagegateway.router.ports import BudgetView, JobWatcher, QueuePositions, ReadinessGate
    from imagegateway.router.responses import ImagesResult, PartialImage, ResponseBuilder
    from imagegateway.router.validation.plan import Plan

POLL_SECONDS: Final = 3
"""Value of `Retry-After` for callers that poll a job."""
_SILENT: Final = UnavailableError("the job store does not answer")


@dataclass(frozen=True, slots=True)
class HoldPolicy:
    """Rules of how long responses wait for images when the call states no preference."""

    inline_seconds: float
    """Wait for models that serve inline, and for SDKs that can't read jobs."""
    hold_for_sdks: bool
    """True: wait for every model when the caller is such an SDK."""


class ImageOperations:
    """Operations that make images: generations, edits and videos."""

    def __init__(
        self,
        *,
        submission: PlanSubmission,
        budgets: BudgetView,
        lookup: JobLookup,
        watcher: JobWatcher,
        positions: QueuePositions,
        readiness: ReadinessGate,
        responses: ResponseBuilder,
        hold: HoldPolicy,
    ) -> None:
        self._submission = submission
        self._budgets = budgets
        self._lookup = lookup
        self._watcher = watcher
        self._positions = positions
        self._readiness = readiness
        self._responses = responses
        self._hold = hold

    async def run(self, plan: Plan, call: Call, inputs: InputImages | None = None) -> ImagesResult:
        """Return the images, or the job when it takes longer than the caller waits; the plan for `Prefer: dry-run`.

        The job goes on when the caller disconnects. Raises GatewayError.
        """
        if call.preferences.dry_run:
            call.headers["preference-applied"] = "dry-run"
            return self._responses.plan(plan, await self._submission.preview(plan, call))
        entry = await self._submission.submit(plan, call, inputs)
        seconds = 0 if entry.ended else self._hold_seconds(plan, call)
        if seconds > 0:
            try:
                async with call.key_guard():
                    ended = await self._wait_for_end(entry.record, seconds)
                entry = ended or await self._lookup.find(entry.record.id) or entry
            except OutcomeUnknownError:
                raise job_errors.images_unavailable(entry.record.id, _SILENT) from None
        if not entry.ended:
            call.headers[STATUS] = "202"
            call.headers["location"] = f"/v1/jobs/{entry.record.id}"
            call.headers["retry-after"] = str(POLL_SECONDS)
            return self._responses.accepted(entry.record, self._positions.position(entry.record))
        return await self._images(entry, plan, call)

    async def stream(
        self, plan: Plan, call: Call, inputs: InputImages | None = None
    ) -> AsyncGenerator[PartialImage | ImagesResult, None]:
        """Yield partial images as they arrive, and the response last. Raises GatewayError."""
        entry = await self._submission.submit(plan, call, inputs)
        sent = 0
        while not entry.ended:
            try:
                changes = self._watcher.changes(entry.record.id, entry.seq, OUTAGE_SECONDS, patient=True)
                async for change in stop_on_revocation(call, changes):
                    if change is None:
                        if self._readiness.has_outage():
                            outage = await self._readiness.outage()
                            raise job_errors.images_unavailable(entry.record.id, outage)
                        continue
                    entry = change
                    for partial in entry.record.partial_images[sent:]:
                        async with self._responses.partial_image(entry.record, call, partial) as image:
                            yield image
                        sent += 1
            except TooSlowError:
                continue  # the next round reads the missed changes from the stream
            except ClosingError:
                raise job_errors.job_continues(entry.record.id) from None
            except OutcomeUnknownError:
                raise job_errors.images_unavailable(entry.record.id, _SILENT) from None
        for partial in entry.record.done.partial_images[sent:]:
            async with self._responses.partial_image(entry.record, call, partial) as image:
                yield image
        yield await self._images(entry, plan, call)

    async def _wait_for_end(self, record: JobRecord, seconds: float) -> Entry | None:
        """Return the ended job, or None after `seconds`. Raises GatewayError when a part stays away."""
        try:
            async with self._readiness.unless_outage():
                return await self._watcher.ended(record.id, seconds)
        except UnavailableError as outage:
            raise job_errors.images_unavailable(record.id, outage) from None

    async def _images(self, entry: Entry, plan: Plan, call: Call) -> ImagesResult:
        """Return the images of an ended job. Raises GatewayError for a job without images."""
        record = entry.record
        show_budget(call, self._budgets.left(record))
        call.log["provider"] = call.headers["x-imagegateway-provider"] = record.task.route
        costs.set_header(call, record)
        call.log["provider_ms"] = record.completed_at - record.started_at
        if record.state != states.COMPLETED:
            raise job_errors.job_failure(record)
        call.log["image_count"] = len(record.done.artifacts)
        call.log["bytes"] = sum(artifact.media.size for artifact in record.done.artifacts)
        with job_errors.naming_job(record):
            return await self._responses.images(record, call, b64_json=plan.b64_json)

    def _hold_seconds(self, plan: Plan, call: Call) -> float:
        """Return how long the response waits for the images, in seconds; 0: not at all."""
        preferences = call.preferences
        if preferences.respond_async:
            call.headers["preference-applied"] = "respond-async"
            return 0
        if preferences.wait is not None:
            call.headers["preference-applied"] = f"wait={preferences.wait}"
            return preferences.wait
        held = plan.inline or (self._hold.hold_for_sdks and call.needs_images)
        return self._hold.inline_seconds if held else 0
