"""JSON bodies of REST calls, which reach the router as a stream of `google.api.HttpBody`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from google.api.httpbody_pb2 import HttpBody
from imagegateway.platform.errors import GatewayError
from imagegateway.router import call_context, json_body, request_body
from imagegateway.v1.error_reason_pb2 import ErrorReason

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator

    from imagegateway.router.body_budget import BodyReservation
    from imagegateway.router.call_context import Call

JSON: Final = "application/json"


async def read_json(
    pieces: AsyncIterable[HttpBody], call: Call, reservation: BodyReservation, *, required: bool = True
) -> dict[str, Any]:
    """Return the fields of a JSON body. `required`: an absent body is an error, else it has no fields.

    Raises GatewayError UNSUPPORTED_MEDIA_TYPE, and as `request_body.read` and `json_body.parse` do.
    """
    call.log["request_bytes"] = 0

    async def data() -> AsyncIterator[bytes]:
        size = 0
        kind = ""
        async for piece in pieces:
            kind = kind or piece.content_type.partition(";")[0].strip().lower()
            if not required and not kind and not piece.data:
                continue
            if kind != JSON:
                raise GatewayError(
                    ErrorReason.ERROR_REASON_UNSUPPORTED_MEDIA_TYPE,
                    "The content type must be application/json, or multipart/form-data for edits.",
                )
            size += len(piece.data)
            call.log["request_bytes"] = size
            yield piece.data

    body = await request_body.read(data(), call.metadata.get("content-encoding", ""), reservation)
    return json_body.parse(body) if body or required else {}


def json_response(call: Call, data: bytes) -> HttpBody:
    """Return a whole JSON document as a response body."""
    call.headers[call_context.LENGTH] = str(len(data))
    return HttpBody(content_type=JSON, data=data)
