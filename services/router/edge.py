"""RestEventService and RestBase64Service: answers that Envoy can't make, or not as cheaply, from typed messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.api.httpbody_pb2 import HttpBody
from google.protobuf.json_format import MessageToDict
from imagegateway.v1 import rest_edge_pb2
from imagegateway.v1 import rest_edge_pb2_grpc as pb_grpc

from services.common.errors import GatewayError
from services.router import caller, sse
from services.router.rendering import to_json
from services.router.service import follow

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from imagegateway.v1 import image_service_pb2 as pb

    from services.common.server import Context
    from services.router.service import ImageService
    from services.router.studio import Studio

NAMES = tuple(service.full_name for service in rest_edge_pb2.DESCRIPTOR.services_by_name.values())
_JSON = "application/json"


class RestEventService(pb_grpc.RestEventServiceServicer):
    """Generate, Edit and StreamJob, as server-sent events."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio

    async def GenerateStream(self, request: pb.GenerateRequest, context: Context) -> AsyncIterator[HttpBody]:
        call = caller.current()
        call.key_in_body = request.request_id
        async for event in sse.image_events(self._studio, self._studio.plan_generate(request, call), call):
            yield _events(event)

    async def EditStream(self, request: pb.EditRequest, context: Context) -> AsyncIterator[HttpBody]:
        call = caller.current()
        call.key_in_body = request.request_id
        async with self._studio.intake() as intake:
            made = await self._studio.plan_edit(request, call, intake)
            async for event in sse.image_events(self._studio, made, call, intake):
                yield _events(event)

    async def StreamJobEvents(self, request: pb.StreamJobRequest, context: Context) -> AsyncIterator[HttpBody]:
        call = caller.current()
        begun = False
        try:
            async for change in follow(self._studio, request, call, quiet=sse.HEARTBEAT_SECONDS):
                yield _events(sse.COMMENT if change is None else _job_event(change))
                begun = True
        except GatewayError as error:
            if not begun:
                raise
            # The status is out already; the browser's EventSource comes back by itself, with its last event id.
            yield _events(sse.event("error", {"type": "error", **error.body()}, "retry: 1000\n"))
        if not begun:  # a resumed stream of a job that has ended: nothing is left to say
            yield _events(sse.COMMENT)


class RestBase64Service(pb_grpc.RestBase64ServiceServicer):
    """Generate and Edit, with the pictures as base64 text in the JSON."""

    def __init__(self, service: ImageService) -> None:
        self._service = service

    async def GenerateBase64(self, request: pb.GenerateRequest, context: Context) -> HttpBody:
        return HttpBody(content_type=_JSON, data=to_json(await self._service.Generate(request, context)))

    async def EditBase64(self, request: pb.EditRequest, context: Context) -> HttpBody:
        return HttpBody(content_type=_JSON, data=to_json(await self._service.Edit(request, context)))


def _events(data: bytes) -> HttpBody:
    return HttpBody(content_type=sse.CONTENT_TYPE, data=data)


def _job_event(event: pb.StreamJobResponse) -> bytes:
    data = MessageToDict(event.job, preserving_proto_field_name=True)
    return sse.event(event.type, data, f"id: {event.event_id}\n")
