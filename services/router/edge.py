"""RestUploadService and RestEventService: multipart uploads and server-sent events, which only REST needs."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import orjson
import pybase64
from google.api.httpbody_pb2 import HttpBody
from google.protobuf.json_format import MessageToDict, MessageToJson
from imagegateway.v1 import image_service_pb2 as pb
from imagegateway.v1 import rest_edge_pb2
from imagegateway.v1 import rest_edge_pb2_grpc as pb_grpc

from services.common import logs
from services.common.errors import INTERNAL, GatewayError, invalid
from services.router import caller, form, multipart
from services.router.intake import IMAGE, MASK
from services.router.service import follow
from services.router.studio import Preview

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from services.common.server import Context
    from services.router.caller import Call
    from services.router.intake import FileSink, Intake
    from services.router.plan import Plan
    from services.router.studio import Studio

NAMES = tuple(service.full_name for service in rest_edge_pb2.DESCRIPTOR.services_by_name.values())
_SSE = "text/event-stream"
_JSON = "application/json"
HEARTBEAT_SECONDS = 15.0
_COMMENT = HttpBody(content_type=_SSE, data=b": keep-alive\n\n")
_log = logs.get(__name__)


class RestUploadService(pb_grpc.RestUploadServiceServicer):
    """Edit, for forms."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio

    async def EditMultipart(
        self, request_iterator: AsyncIterator[HttpBody], context: Context
    ) -> AsyncIterator[HttpBody]:
        call = caller.current()
        async with self._studio.intake() as intake:
            request, unknown = await _receive(request_iterator, intake, call)
            call.key_in_body = request.request_id
            made = await self._studio.plan_edit(request, call, intake, unknown)
            if made.stream:
                async for event in _events(self._studio, made, call, intake):
                    yield event
            else:
                response = await self._studio.run(made, call, intake)
                yield HttpBody(content_type=_JSON, data=_to_json(response))


class RestEventService(pb_grpc.RestEventServiceServicer):
    """Generate, Edit and StreamJob, as server-sent events."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio

    async def GenerateStream(self, request: pb.GenerateRequest, context: Context) -> AsyncIterator[HttpBody]:
        call = caller.current()
        call.key_in_body = request.request_id
        async for event in _events(self._studio, self._studio.plan_generate(request, call), call):
            yield event

    async def EditStream(self, request: pb.EditRequest, context: Context) -> AsyncIterator[HttpBody]:
        call = caller.current()
        call.key_in_body = request.request_id
        async with self._studio.intake() as intake:
            made = await self._studio.plan_edit(request, call, intake)
            async for event in _events(self._studio, made, call, intake):
                yield event

    async def StreamJobEvents(self, request: pb.StreamJobRequest, context: Context) -> AsyncIterator[HttpBody]:
        call = caller.current()
        begun = False
        try:
            async for event in follow(self._studio, request, call, quiet=HEARTBEAT_SECONDS):
                yield _COMMENT if event is None else _job_event(event)
                begun = True
        except GatewayError as error:
            if not begun:
                raise
            # The status is out already; the browser's EventSource comes back by itself, with its last event id.
            yield _event("error", {"type": "error", **error.body()}, "retry: 1000\n")
        if not begun:  # a resumed stream of a job that has ended: nothing is left to say
            yield _COMMENT


async def _events(studio: Studio, made: Plan, call: Call, intake: Intake | None = None) -> AsyncIterator[HttpBody]:
    """OpenAI's image events. Once one is out the status is 200 for good: a later failure is an event too."""
    prefix = "image_edit" if made.edit else "image_generation"
    begun = False
    try:
        async for step in studio.watch(made, call, intake):
            if isinstance(step, Preview):
                yield _event(f"{prefix}.partial_image", _partial(made, step))
                begun = True
            else:
                for completed in _completed(made, step):
                    yield _event(f"{prefix}.completed", completed)
                    begun = True
    except GatewayError as error:
        if not begun:
            raise
        yield _event("error", {"type": "error", **error.body()})
    except Exception as error:
        if not begun:
            raise
        _log.error("request_crashed", request_id=call.request_id, operation=call.method, exc_info=error)
        yield _event("error", {"type": "error", **INTERNAL.body()})


async def _receive(bodies: AsyncIterator[HttpBody], intake: Intake, call: Call) -> tuple[pb.EditRequest, list[str]]:
    """The form, and the names of fields that have no place in it."""
    first = await anext(aiter(bodies), HttpBody())
    received = 0

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal received
        received += len(first.data)
        yield first.data
        async for body in bodies:
            data = body.data  # each look at a field of bytes makes a copy
            received += len(data)
            yield data

    open_sinks: list[FileSink] = []

    async def open_file(part: multipart.Part) -> FileSink | None:
        role = part.name.partition("[")[0]
        if role in {IMAGE, MASK}:
            sink = intake.open_file(role)
            open_sinks.append(sink)
            return sink
        if part.filename is None:
            return None
        raise invalid(part.name[:100], f"There is no file field {part.name[:100]!r}: send image or mask.")

    try:
        fields = await multipart.parse(chunks(), first.content_type, open_file)
    except BaseException:
        for sink in open_sinks:
            await sink.abort()
        raise
    finally:
        call.log["request_bytes"] = received
    return form.read(fields)


def _to_json(response: pb.ImagesResponse) -> bytes:
    return MessageToJson(response, preserving_proto_field_name=True, indent=None).encode()


def _job_event(event: pb.StreamJobResponse) -> HttpBody:
    data = MessageToDict(event.job, preserving_proto_field_name=True)
    return _event(event.type, data, f"id: {event.event_id}\n")


def _event(name: str, data: dict[str, object], head: str = "") -> HttpBody:
    return HttpBody(content_type=_SSE, data=f"{head}event: {name}\ndata: ".encode() + orjson.dumps(data) + b"\n\n")


def _facts(made: Plan, width: int, height: int) -> dict[str, object]:
    task = made.task
    return {
        "created_at": int(time.time()),
        "size": f"{width}x{height}",
        "quality": task.quality or "auto",
        "background": task.background or "auto",
        "output_format": task.output_format or made.model.output_formats[0],
    }


def _partial(made: Plan, preview: Preview) -> dict[str, object]:
    prefix = "image_edit" if made.edit else "image_generation"
    return {
        "type": f"{prefix}.partial_image",
        "b64_json": pybase64.b64encode_as_string(preview.data),
        "partial_image_index": preview.index,
        **_facts(made, *made.size),
    }


def _completed(made: Plan, response: pb.ImagesResponse) -> list[dict[str, object]]:
    prefix = "image_edit" if made.edit else "image_generation"
    events: list[dict[str, object]] = []
    for image in response.data:
        event: dict[str, object] = {"type": f"{prefix}.completed", **_facts(made, image.width, image.height)}
        if response.HasField("usage"):
            event["usage"] = MessageToDict(response.usage, preserving_proto_field_name=True)
        if image.HasField("b64_json"):
            event["b64_json"] = pybase64.b64encode_as_string(image.b64_json)
        else:
            event["url"] = image.url
        events.append(event)
    return events
