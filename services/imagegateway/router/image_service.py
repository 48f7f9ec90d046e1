"""ImageService: the typed methods, thin over `Studio`."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, Final

from imagegateway.jobs import states
from imagegateway.jobs.feed import ClosingError, TooSlowError, public_type
from imagegateway.jobs.stream_errors import OutcomeUnknownError, unavailable
from imagegateway.platform.errors import GatewayError, invalid
from imagegateway.router import call_context, validation
from imagegateway.router.etags import etag, matches
from imagegateway.router.operations import POLL_SECONDS
from imagegateway.v1 import image_service_pb2 as pb
from imagegateway.v1 import image_service_pb2_grpc as pb_grpc
from imagegateway.v1.error_reason_pb2 import ErrorReason

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from imagegateway.jobs.stream import Entry
    from imagegateway.platform.grpc_server import Context
    from imagegateway.router.call_context import Call
    from imagegateway.router.operations import Studio
    from imagegateway.v1 import job_pb2, model_pb2

NAME = pb.DESCRIPTOR.services_by_name["ImageService"].full_name
_MAX_PAGE: Final = 100
_EVENT_ID: Final = re.compile(r"[0-9]{1,18}")


class ImageService(pb_grpc.ImageServiceServicer):
    """Serves native gRPC, and REST through Envoy's transcoder."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio

    async def Generate(self, request: pb.GenerateRequest, context: Context) -> pb.ImagesResponse:
        call = call_context.current()
        validation.no_stream_here(request)
        call.key_in_body = request.request_id
        return (await self._studio.run(self._studio.plan_generate(request, call), call)).whole()

    async def Edit(self, request: pb.EditRequest, context: Context) -> pb.ImagesResponse:
        call = call_context.current()
        validation.no_stream_here(request)
        call.key_in_body = request.request_id
        async with self._studio.intake(call) as intake:
            made = await self._studio.plan_edit(request, call, intake)
            return (await self._studio.run(made, call, intake)).whole()

    async def GetJob(self, request: pb.GetJobRequest, context: Context) -> job_pb2.Job:
        call = call_context.current()
        entry = await self._studio.job(request.job_id, call)
        known = call.metadata.get("if-none-match", "")
        if call.stated.wait and not entry.ended:
            entry = await self._changed(entry, known, call)
        call.headers["etag"] = etag(entry)
        if not entry.ended:
            call.headers["retry-after"] = str(POLL_SECONDS)
        if matches(known, etag(entry)):
            call.headers[call_context.STATUS] = "304"
        return self._studio.answers.job(entry.record, self._studio.engine.execution.admission.position(entry.record))

    async def StreamJob(self, request: pb.StreamJobRequest, context: Context) -> AsyncIterator[pb.StreamJobResponse]:
        call = call_context.current()
        async for event in follow(self._studio, request, call):
            if event is not None:
                yield event

    async def CancelJob(self, request: pb.CancelJobRequest, context: Context) -> job_pb2.Job:
        entry = await self._studio.job(request.job_id, call_context.current())
        entry = await self._studio.kept(self._studio.engine.execution.cancellation.cancel(entry))
        return self._studio.answers.job(entry.record)

    async def ListJobs(self, request: pb.ListJobsRequest, context: Context) -> pb.ListJobsResponse:
        call = call_context.current()
        if request.page_size < 0:
            raise invalid("page_size", "page_size must be from 1 to 100.")
        model = self._studio.catalog.resolve(request.model).id if request.model else ""
        size = min(request.page_size or 20, _MAX_PAGE)
        page = await self._studio.page(call.tenant, request.status, model, size, request.page_token)
        jobs = [self._studio.answers.job(entry.record) for entry in page.entries]
        return pb.ListJobsResponse(object="list", data=jobs, next_page_token=page.next_token)

    async def ListModels(self, request: pb.ListModelsRequest, context: Context) -> pb.ListModelsResponse:
        if request.modality not in {"", "image", "video"}:
            raise invalid("modality", "modality must be image or video.")
        stored = self._studio.provider_keys.of(call_context.current().tenant)
        models = self._studio.catalog.list(request.modality, request.provider, stored)
        return pb.ListModelsResponse(object="list", data=models)

    async def GetModel(self, request: pb.GetModelRequest, context: Context) -> model_pb2.Model:
        catalog = self._studio.catalog
        stored = self._studio.provider_keys.of(call_context.current().tenant)
        return catalog.describe(catalog.resolve(request.model_id), stored)

    async def _changed(self, entry: Entry, known: str, call: Call) -> Entry:
        """A long poll: the job once it is another than the caller knows, else once it has ended."""
        wait = call.stated.wait or 0
        call.headers["preference-applied"] = f"wait={wait}"
        if known and not matches(known, etag(entry)):
            return entry
        seen = entry.seq
        with answering():
            async with call.authorized():
                changed = await self._studio.engine.feed.when(
                    entry.record.id, lambda newer: newer.ended or bool(known and newer.seq > seen), wait
                )
        return changed or await self._studio.job(entry.record.id, call)


async def follow(
    studio: Studio, request: pb.StreamJobRequest, call: Call, quiet: float | None = None
) -> AsyncIterator[pb.StreamJobResponse | None]:
    """A job's events up to its end; None when nothing has come for `quiet` seconds. Raises GatewayError."""
    after: int | None = None
    token = request.after or call.metadata.get("last-event-id", "")
    if token:
        if not _EVENT_ID.fullmatch(token):
            raise invalid("after", "after must be an event id of this job's stream.")
        after = int(token)
    entry = await studio.job(request.job_id, call)
    if after is not None and entry.ended and entry.event_seq <= after:
        return
    first = after is None
    try:
        changes = studio.engine.feed.changes(request.job_id, after, quiet)
        async for change in call_context.while_authorized(call, changes):
            if change is None:
                yield None
                continue
            status = states.PUBLIC[change.record.state]
            yield pb.StreamJobResponse(
                event_id=str(change.event_seq),
                type=f"job.{status}" if first else public_type(change),
                job=studio.answers.job(change.record, studio.engine.execution.admission.position(change.record)),
            )
            first = False
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
    except OutcomeUnknownError:
        raise unavailable() from None


@contextlib.contextmanager
def answering() -> Iterator[None]:
    """Turn the engine's silence into the caller's error."""
    try:
        yield
    except OutcomeUnknownError:
        raise unavailable() from None
