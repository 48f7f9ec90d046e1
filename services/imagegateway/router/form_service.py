"""FormService: edits as multipart forms over plain HTTP, past Envoy's transcoder.

Over gRPC, a form of some megabytes costs several times the CPU; see decision 8.
"""

from __future__ import annotations

import asyncio
import re
import time
from typing import TYPE_CHECKING, Final

import orjson
from aiohttp import web
from imagegateway.platform.errors import INTERNAL, GatewayError, invalid
from imagegateway.router import call_context, call_outcome, call_record, event_streams, form_fields, multipart
from imagegateway.router.input_images import InputRole
from imagegateway.router.json_rendering import images_to_json
from imagegateway.router.permissions import EDIT_FORM
from imagegateway.router.request_body import MAX_FORM_BYTES, decoded

if TYPE_CHECKING:
    from imagegateway.keys.key_ring import KeyRing
    from imagegateway.router.body_budget import BodyBudget, BodyReservation
    from imagegateway.router.call_context import Call
    from imagegateway.router.call_limiter import CallLimiter
    from imagegateway.router.image_operations import ImageOperations
    from imagegateway.router.input_images import InputImages, InputUpload
    from imagegateway.router.json_rendering import JsonDocument
    from imagegateway.router.request_planner import RequestPlanner
    from imagegateway.router.validation.plan import Plan
    from imagegateway.v1 import image_service_pb2 as pb

PATH: Final = "/v1/images/edits"
_OPERATION: Final = "EditMultipart"
_FILE: Final = re.compile(rf"({'|'.join(InputRole)})(?:\[[0-9]*\])?")
"""File fields: `image` and, for several, `image[]` or `image[0]`, as SDKs write them."""


class FormService:
    """Edit for forms. The response is JSON (ImagesResponse), or OpenAI's image events for `stream=true`."""

    def __init__(
        self,
        *,
        planner: RequestPlanner,
        images: ImageOperations,
        ring: KeyRing,
        limiter: CallLimiter,
        budget: BodyBudget,
    ) -> None:
        self._planner = planner
        self._images = images
        self._ring = ring
        self._limiter = limiter
        self._budget = budget

    def application(self) -> web.Application:
        """Return the server with its only route."""
        app = web.Application()
        app.router.add_post(PATH, self.serve)
        return app

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Serve one call: context, authentication, errors, log line and metrics."""
        started = time.perf_counter()
        headers = {name.lower(): call_context.decode(value) for name, value in request.headers.items()}
        call = call_context.begin(_OPERATION, headers, rest=True)
        try:
            await call_context.authenticate(call, self._ring, self._limiter, EDIT_FORM)
            response = await self._edit(request, call)
        except (asyncio.CancelledError, ConnectionError):
            call_record.record(call, started, status=499)
            raise
        except Exception as error:  # noqa: BLE001  the caller gets an answer whatever happened
            failure = call_outcome.error_of(call, error)
            call_record.record(call, started, error=failure)
            return _error_response(call, failure)
        finally:
            call.end()
        call_record.record(call, started)
        return response

    async def _edit(self, request: web.Request, call: Call) -> web.StreamResponse:
        async with self._planner.open_inputs(call) as inputs:
            with self._budget.reservation(call.tenant) as reservation:
                edit, unknown = await _receive(request, inputs, call, reservation)
            call.body_idempotency_key = edit.request_id
            plan = await self._planner.plan_edit(edit, call, inputs, unknown)
            if plan.stream and not call.preferences.dry_run:
                return await self._stream(request, plan, call, inputs)
            document = images_to_json(await self._images.run(plan, call, inputs))
            return await _send(request, document, call)

    async def _stream(self, request: web.Request, plan: Plan, call: Call, inputs: InputImages) -> web.StreamResponse:
        response: web.StreamResponse | None = None
        async for event in event_streams.image_events(self._images, plan, call, inputs):
            if response is None:
                response = web.StreamResponse(headers=call.headers | event_streams.HEADERS)
                response.content_type = event_streams.CONTENT_TYPE
                await response.prepare(request)
            await response.write(event)
        if response is None:
            raise INTERNAL
        await response.write_eof()
        return response


async def _receive(
    request: web.Request, inputs: InputImages, call: Call, reservation: BodyReservation
) -> tuple[pb.EditRequest, list[str]]:
    """Return the form's request, and the names of unknown fields."""
    uploads: list[InputUpload] = []

    async def open_file(part: multipart.Part) -> InputUpload | None:
        if file := _FILE.fullmatch(part.name):
            upload = inputs.open_file(InputRole(file[1]))
            uploads.append(upload)
            return upload
        if part.filename is None:
            return None
        raise invalid(part.name[:100], f"There is no file field {part.name[:100]!r}: send image, mask or markup.")

    try:
        pieces = decoded(request.content.iter_any(), call.metadata.get("content-encoding", ""), MAX_FORM_BYTES)
        fields = await multipart.parse(pieces, call.metadata["content-type"], open_file, reservation.grow)
    except BaseException:
        for upload in uploads:
            await upload.abort()
        raise
    finally:
        call.log["request_bytes"] = request.content.total_bytes
    return form_fields.read(fields)


async def _send(request: web.Request, document: JsonDocument, call: Call) -> web.StreamResponse:
    """Send a JSON document in pieces, and return the response."""
    headers = dict(call.headers)
    response = web.StreamResponse(status=int(headers.pop(call_context.STATUS, "200")), headers=headers)
    response.content_type = "application/json"
    response.content_length = document.length
    await response.prepare(request)
    for piece in document.pieces():
        await response.write(piece)
    await response.write_eof()
    return response


def _error_response(call: Call, error: GatewayError) -> web.Response:
    headers = call_outcome.error_headers(call, error)
    body = orjson.dumps(error.body())
    return web.Response(body=body, status=error.meaning.http, headers=headers, content_type="application/json")
