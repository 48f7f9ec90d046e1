"""Edits as multipart forms, over plain HTTP: Envoy hands these bodies through as they come.

Through gRPC, a form of some megabytes costs several times the CPU; see decision 8.
"""

from __future__ import annotations

import asyncio
import re
import time
from typing import TYPE_CHECKING, Final

import orjson
from aiohttp import web
from imagegateway.platform.errors import INTERNAL, GatewayError, invalid
from imagegateway.router import call_context, event_streams, form_fields, interceptor, multipart
from imagegateway.router.input_images import IMAGE, MARKUP, MASK
from imagegateway.router.json_rendering import images_to_json
from imagegateway.router.request_body import MAX_FORM_BYTES, unpacked

if TYPE_CHECKING:
    from imagegateway.keys.api_keys import KeyRing
    from imagegateway.router.body_budget import BodyBudget, HeldBody
    from imagegateway.router.call_context import Call
    from imagegateway.router.input_images import FileSink, Intake
    from imagegateway.router.operations import Studio
    from imagegateway.router.validation import Plan
    from imagegateway.v1 import image_service_pb2 as pb

PATH: Final = "/v1/images/edits"
_OPERATION: Final = "EditMultipart"
_FILE: Final = re.compile(rf"({IMAGE}|{MASK}|{MARKUP})(?:\[[0-9]*\])?")
"""File fields: `image` and, for several, `image[]` or `image[0]`, as SDKs write them."""


class Uploads:
    """What Edit means, for forms: answers one JSON body (ImagesResponse), or OpenAI's image events when the form says
    `stream=true`.
    """

    def __init__(self, studio: Studio, ring: KeyRing, budget: BodyBudget) -> None:
        self._studio = studio
        self._ring = ring
        self._budget = budget

    def application(self) -> web.Application:
        """The server's only route."""
        app = web.Application()
        app.router.add_post(PATH, self.serve)
        return app

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Around one call: its identity, its errors as answers, its line in the log."""
        began = time.perf_counter()
        headers = {name.lower(): call_context.decode(value) for name, value in request.headers.items()}
        call = call_context.begin(_OPERATION, headers, rest=True)
        try:
            await call_context.authenticate(call, self._ring)
            response = await self._edit(request, call)
        except (asyncio.CancelledError, ConnectionError):
            interceptor.finished(call, began, status=499)
            raise
        except Exception as error:  # noqa: BLE001  the caller gets an answer whatever happened
            failure = interceptor.failure_of(call, error)
            interceptor.finished(call, began, failure=failure)
            return _failed(call, failure)
        finally:
            call.end()
        interceptor.finished(call, began)
        return response

    async def _edit(self, request: web.Request, call: Call) -> web.StreamResponse:
        async with self._studio.intake(call) as intake:
            with self._budget.hold(call.tenant) as held:
                edit, unknown = await _receive(request, intake, call, held)
            call.key_in_body = edit.request_id
            made = await self._studio.plan_edit(edit, call, intake, unknown)
            if made.stream:
                return await self._stream(request, made, call, intake)
            document = images_to_json(await self._studio.run(made, call, intake))
            headers = dict(call.headers)
            response = web.StreamResponse(status=int(headers.pop(call_context.STATUS, "200")), headers=headers)
            response.content_type = "application/json"
            response.content_length = document.length
            await response.prepare(request)
            for piece in document.pieces():
                await response.write(piece)
            await response.write_eof()
            return response

    async def _stream(self, request: web.Request, made: Plan, call: Call, intake: Intake) -> web.StreamResponse:
        response: web.StreamResponse | None = None
        async for event in event_streams.image_events(self._studio, made, call, intake):
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
    request: web.Request, intake: Intake, call: Call, held: HeldBody
) -> tuple[pb.EditRequest, list[str]]:
    """The form, and the names of fields that have no place in it."""
    open_sinks: list[FileSink] = []

    async def open_file(part: multipart.Part) -> FileSink | None:
        if file := _FILE.fullmatch(part.name):
            sink = intake.open_file(file[1])
            open_sinks.append(sink)
            return sink
        if part.filename is None:
            return None
        raise invalid(part.name[:100], f"There is no file field {part.name[:100]!r}: send image, mask or markup.")

    try:
        pieces = unpacked(request.content.iter_any(), call.metadata.get("content-encoding", ""), MAX_FORM_BYTES)
        fields = await multipart.parse(pieces, call.metadata["content-type"], open_file, held.grow)
    except BaseException:
        for sink in open_sinks:
            await sink.abort()
        raise
    finally:
        call.log["request_bytes"] = request.content.total_bytes
    return form_fields.read(fields)


def _failed(call: Call, error: GatewayError) -> web.Response:
    headers = interceptor.error_headers(call, error)
    body = orjson.dumps(error.body())
    return web.Response(body=body, status=error.meaning.http, headers=headers, content_type="application/json")
