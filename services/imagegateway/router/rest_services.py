"""The REST services: what Envoy can't make from typed messages, JSON requests and events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from google.api.httpbody_pb2 import HttpBody
from google.protobuf.json_format import MessageToDict
from imagegateway.platform.errors import GatewayError, unsupported
from imagegateway.router import call_context, event_streams, json_body, request_body, request_fields
from imagegateway.router.image_service import follow
from imagegateway.router.json_rendering import images_to_json, to_json
from imagegateway.v1 import image_service_pb2 as pb
from imagegateway.v1 import provider_key_service_pb2 as keys_pb
from imagegateway.v1 import rest_edge_pb2
from imagegateway.v1 import rest_edge_pb2_grpc as pb_grpc
from imagegateway.v1.error_reason_pb2 import ErrorReason

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator

    from imagegateway.platform.grpc_server import Context
    from imagegateway.router.body_budget import BodyBudget, HeldBody
    from imagegateway.router.call_context import Call
    from imagegateway.router.input_images import Intake
    from imagegateway.router.operations import Studio
    from imagegateway.router.provider_key_service import ProviderKeyService
    from imagegateway.router.validation import Plan

NAMES = tuple(service.full_name for service in rest_edge_pb2.DESCRIPTOR.services_by_name.values())
_JSON: Final = "application/json"


class RestImageService(pb_grpc.RestImageServiceServicer):
    """Generate and Edit for JSON bodies, answered as one document or as events."""

    def __init__(self, studio: Studio, budget: BodyBudget) -> None:
        self._studio = studio
        self._budget = budget

    async def Generate(self, pieces: AsyncIterable[HttpBody], context: Context) -> AsyncIterator[HttpBody]:
        call = call_context.current()
        with self._budget.hold(call.tenant) as held:
            request, unknown = request_fields.build(pb.GenerateRequest, await _json(pieces, call, held))
        call.key_in_body = request.request_id
        made = self._studio.plan_generate(request, call, unknown)
        async for answer in self._answers(made, call):
            yield answer

    async def GenerateVideo(self, pieces: AsyncIterable[HttpBody], context: Context) -> AsyncIterator[HttpBody]:
        call = call_context.current()
        with self._budget.hold(call.tenant) as held:
            request, unknown = request_fields.build(pb.GenerateRequest, await _json(pieces, call, held))
        if request.stream:
            raise unsupported("stream", "Videos are not streamed: read the job's events.")
        call.key_in_body = request.request_id
        made = self._studio.plan_generate(request, call, unknown, video=True)
        async for answer in self._answers(made, call):
            yield answer

    async def Edit(self, pieces: AsyncIterable[HttpBody], context: Context) -> AsyncIterator[HttpBody]:
        call = call_context.current()
        async with self._studio.intake(call) as intake:
            made = await self._plan_edit(pieces, call, intake)
            async for answer in self._answers(made, call, intake):
                yield answer

    async def _plan_edit(self, pieces: AsyncIterable[HttpBody], call: Call, intake: Intake) -> Plan:
        """Read and check an edit. Its images are in the store when this ends, and no more in memory."""
        with self._budget.hold(call.tenant) as held:
            request, unknown = request_fields.build(pb.EditRequest, await _json(pieces, call, held))
            call.key_in_body = request.request_id
            return await self._studio.plan_edit(request, call, intake, unknown)

    async def _answers(self, made: Plan, call: Call, intake: Intake | None = None) -> AsyncIterator[HttpBody]:
        if made.stream:
            call.headers |= event_streams.HEADERS
            async for event in event_streams.image_events(self._studio, made, call, intake):
                yield _events(event)
        else:
            document = images_to_json(await self._studio.run(made, call, intake))
            call.headers[call_context.LENGTH] = str(document.length)
            for piece in document.pieces():
                yield HttpBody(content_type=_JSON, data=piece)


class RestProviderKeyService(pb_grpc.RestProviderKeyServiceServicer):
    """SetProviderKey for JSON bodies."""

    def __init__(self, service: ProviderKeyService, budget: BodyBudget) -> None:
        self._service = service
        self._budget = budget

    async def SetProviderKey(
        self, pieces: AsyncIterable[rest_edge_pb2.RestSetProviderKeyRequest], context: Context
    ) -> AsyncIterator[HttpBody]:
        call = call_context.current()
        route = ""

        async def bodies() -> AsyncIterator[HttpBody]:
            nonlocal route
            async for piece in pieces:
                route = route or piece.route
                yield piece.body

        with self._budget.hold(call.tenant) as held:
            values = await _json(bodies(), call, held)
        request, _ = request_fields.build(keys_pb.SetProviderKeyRequest, {"key": values.get("key")})
        request.route = route
        stored = await self._service.SetProviderKey(request, context)
        yield _document(call, to_json(stored))


class RestEventService(pb_grpc.RestEventServiceServicer):
    """StreamJob as server-sent events."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio

    async def StreamJobEvents(self, request: pb.StreamJobRequest, context: Context) -> AsyncIterator[HttpBody]:
        call = call_context.current()
        call.headers |= event_streams.HEADERS
        begun = False
        try:
            async for change in follow(self._studio, request, call, quiet=event_streams.HEARTBEAT_SECONDS):
                yield _events(event_streams.COMMENT if change is None else _job_event(change))
                begun = True
        except GatewayError as error:
            if not begun:
                raise
            # The status is out already; the browser's EventSource comes back by itself, with its last event id.
            yield _events(event_streams.event("error", {"type": "error", **error.body()}, "retry: 1000\n"))
        if not begun:  # a resumed stream of a job that has ended: nothing is left to say
            yield _events(event_streams.COMMENT)


async def _json(pieces: AsyncIterable[HttpBody], call: Call, held: HeldBody) -> dict[str, Any]:
    """Return the fields of a JSON body. Raises GatewayError as `body.read` and `json_body.parse` do, and
    UNSUPPORTED_MEDIA_TYPE.
    """
    call.log["request_bytes"] = 0

    async def data() -> AsyncIterator[bytes]:
        size = 0
        kind = ""
        async for piece in pieces:
            kind = kind or piece.content_type.partition(";")[0].strip().lower()
            if kind != _JSON:
                raise GatewayError(
                    ErrorReason.ERROR_REASON_UNSUPPORTED_MEDIA_TYPE,
                    "The content type must be application/json, or multipart/form-data for edits.",
                )
            size += len(piece.data)
            call.log["request_bytes"] = size
            yield piece.data

    return json_body.parse(await request_body.read(data(), call.metadata.get("content-encoding", ""), held))


def _document(call: Call, data: bytes) -> HttpBody:
    call.headers[call_context.LENGTH] = str(len(data))
    return HttpBody(content_type=_JSON, data=data)


def _events(data: bytes) -> HttpBody:
    return HttpBody(content_type=event_streams.CONTENT_TYPE, data=data)


def _job_event(event: pb.StreamJobResponse) -> bytes:
    data = MessageToDict(event.job, preserving_proto_field_name=True)
    return event_streams.event(event.type, data, f"id: {event.event_id}\n")
