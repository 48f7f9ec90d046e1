"""REST services: JSON requests and event streams, which Envoy's transcoder can't make of typed messages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.api.httpbody_pb2 import HttpBody
from imagegateway.platform.errors import GatewayError, unsupported
from imagegateway.router import call_context, event_streams, request_fields
from imagegateway.router.json_rendering import images_to_json, to_json, to_values
from imagegateway.router.rest_bodies import JSON, json_response, read_json, read_json_and_path
from imagegateway.v1 import image_service_pb2 as pb
from imagegateway.v1 import provider_key_service_pb2 as keys_pb
from imagegateway.v1 import rest_edge_pb2
from imagegateway.v1 import rest_edge_pb2_grpc as pb_grpc

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator

    from imagegateway.platform.grpc_server import Context
    from imagegateway.router.body_budget import BodyBudget
    from imagegateway.router.call_context import Call
    from imagegateway.router.image_operations import ImageOperations
    from imagegateway.router.input_images import InputImages
    from imagegateway.router.job_operations import JobOperations
    from imagegateway.router.provider_key_service import ProviderKeyService
    from imagegateway.router.request_planner import RequestPlanner
    from imagegateway.router.validation.plan import Plan

NAMES = tuple(service.full_name for service in rest_edge_pb2.DESCRIPTOR.services_by_name.values())


class RestImageService(pb_grpc.RestImageServiceServicer):
    """Generate and Edit for JSON bodies. The response is one document, or a stream of events."""

    def __init__(self, *, planner: RequestPlanner, images: ImageOperations, budget: BodyBudget) -> None:
        self._planner = planner
        self._images = images
        self._budget = budget

    async def Generate(self, pieces: AsyncIterable[HttpBody], context: Context) -> AsyncIterator[HttpBody]:
        call = call_context.current()
        request, unknown = await self._generate_request(pieces, call)
        plan = self._planner.plan_generation(request, call, unknown)
        async for body in self._respond(plan, call):
            yield body

    async def GenerateVideo(self, pieces: AsyncIterable[HttpBody], context: Context) -> AsyncIterator[HttpBody]:
        call = call_context.current()
        request, unknown = await self._generate_request(pieces, call)
        if request.stream:
            raise unsupported("stream", "Videos are not streamed: read the job's events.")
        plan = self._planner.plan_video(request, call, unknown)
        async for body in self._respond(plan, call):
            yield body

    async def Edit(self, pieces: AsyncIterable[HttpBody], context: Context) -> AsyncIterator[HttpBody]:
        call = call_context.current()
        async with self._planner.open_inputs(call) as inputs:
            plan = await self._plan_edit(pieces, call, inputs)
            async for body in self._respond(plan, call, inputs):
                yield body

    async def _generate_request(
        self, pieces: AsyncIterable[HttpBody], call: Call
    ) -> tuple[pb.GenerateRequest, list[str]]:
        """Return the request, and the names of unknown fields."""
        with self._budget.reservation(call.tenant) as reservation:
            fields = await read_json(pieces, call, reservation)
            request, unknown = request_fields.build(pb.GenerateRequest, fields)
        call.body_idempotency_key = request.request_id
        return request, unknown

    async def _plan_edit(self, pieces: AsyncIterable[HttpBody], call: Call, inputs: InputImages) -> Plan:
        """Return the plan of an edit. Its images are in the store by then, and no longer in memory."""
        with self._budget.reservation(call.tenant) as reservation:
            fields = await read_json(pieces, call, reservation)
            request, unknown = request_fields.build(pb.EditRequest, fields)
            call.body_idempotency_key = request.request_id
            return await self._planner.plan_edit(request, call, inputs, unknown)

    async def _respond(self, plan: Plan, call: Call, inputs: InputImages | None = None) -> AsyncIterator[HttpBody]:
        """Run a plan, and yield the pieces of the response."""
        if plan.stream and not call.preferences.dry_run:
            call.headers |= event_streams.HEADERS
            async for event in event_streams.image_events(self._images, plan, call, inputs):
                yield _event_body(event)
        else:
            document = images_to_json(await self._images.run(plan, call, inputs))
            call.headers[call_context.LENGTH] = str(document.length)
            for piece in document.pieces():
                yield HttpBody(content_type=JSON, data=piece)


class RestProviderKeyService(pb_grpc.RestProviderKeyServiceServicer):
    """SetProviderKey for JSON bodies."""

    def __init__(self, service: ProviderKeyService, budget: BodyBudget) -> None:
        self._service = service
        self._budget = budget

    async def SetProviderKey(
        self, pieces: AsyncIterable[rest_edge_pb2.RestSetProviderKeyRequest], context: Context
    ) -> AsyncIterator[HttpBody]:
        call = call_context.current()
        with self._budget.reservation(call.tenant) as reservation:
            values, route = await read_json_and_path(pieces, lambda piece: piece.route, call, reservation)
        request, _ = request_fields.build(keys_pb.SetProviderKeyRequest, {"key": values.get("key")})
        request.route = route
        stored = await self._service.SetProviderKey(request, context)
        yield json_response(call, to_json(stored))


class RestEventService(pb_grpc.RestEventServiceServicer):
    """StreamJob as server-sent events."""

    def __init__(self, jobs: JobOperations) -> None:
        self._jobs = jobs

    async def StreamJobEvents(self, request: pb.StreamJobRequest, context: Context) -> AsyncIterator[HttpBody]:
        call = call_context.current()
        call.headers |= event_streams.HEADERS
        has_begun = False
        try:
            async for change in self._jobs.follow(request, call, quiet=event_streams.HEARTBEAT_SECONDS):
                yield _event_body(event_streams.COMMENT if change is None else _job_event(change))
                has_begun = True
        except GatewayError as error:
            if not has_begun:
                raise
            # The status is sent already. A browser's EventSource reconnects by itself, with its last event id.
            yield _event_body(event_streams.event("error", {"type": "error", **error.body()}, "retry: 1000\n"))
        if not has_begun:  # a resumed stream of an ended job has no further events
            yield _event_body(event_streams.COMMENT)


def _event_body(data: bytes) -> HttpBody:
    return HttpBody(content_type=event_streams.CONTENT_TYPE, data=data)


def _job_event(event: pb.StreamJobResponse) -> bytes:
    return event_streams.event(event.type, to_values(event.job), f"id: {event.event_id}\n")
