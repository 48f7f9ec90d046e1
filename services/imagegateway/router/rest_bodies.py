"""JSON bodies of REST calls, which reach the router as a stream of `google.api.HttpBody`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from google.api.httpbody_pb2 import HttpBody
from imagegateway.platform.errors import GatewayError
from imagegateway.router import call_context, json_body
from imagegateway.router.request_body import MAX_JSON_BYTES, Decoder, TimedPieces
from imagegateway.v1.error_reason_pb2 import ErrorReason

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Callable

    from imagegateway.router.body_budget import BodyReservation
    from imagegateway.router.call_context import Call

JSON: Final = "application/json"
_LENGTH: Final = "x-body-length"
"""Header of `envoy/hooks.lua` with the length of a REST call's body in bytes, where the caller states one."""
_P = TypeVar("_P", bound="Piece")


async def read_json(
    pieces: AsyncIterable[HttpBody], call: Call, reservation: BodyReservation, *, required: bool = True
) -> dict[str, Any]:
    """Return the fields of a JSON body. `required`: an absent body is an error, else it has no fields.

    Reserve the body's memory. Raises GatewayError UNSUPPORTED_MEDIA_TYPE, OVERLOADED, and as `request_body` and
    `json_body.parse` do.
    """
    length = call.metadata.get(_LENGTH) if call.rest else None
    size = call.log["request_bytes"] = 0
    kind = ""
    body = bytearray()  # joining a list of pieces would hold the body twice
    decoder = Decoder(call.metadata.get("content-encoding", ""), MAX_JSON_BYTES)
    async for piece in TimedPieces(pieces, _size):
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
        for data in decoder.feed(piece.data):
            reservation.grow(len(data))
            body += data
        if str(size) == length:
            break  # the end of the stream would be one more message
    decoder.finish()
    return json_body.parse(body) if body or required else {}


def _size(piece: HttpBody) -> int:
    return len(piece.data)


class Piece(Protocol):
    """Piece of a request with fields of the path, which the first piece holds."""

    @property
    def body(self) -> HttpBody:
        """Piece of the body."""
        ...


async def read_json_and_path(
    pieces: AsyncIterable[_P],
    path: Callable[[_P], str],
    call: Call,
    reservation: BodyReservation,
    *,
    required: bool = True,
) -> tuple[dict[str, Any], str]:
    """Return the fields of a JSON body and the field of the path, which `path` reads. Raises as `read_json` does."""
    in_path = ""

    async def bodies() -> AsyncIterator[HttpBody]:
        nonlocal in_path
        async for piece in pieces:
            in_path = in_path or path(piece)
            yield piece.body

    return await read_json(bodies(), call, reservation, required=required), in_path


def json_response(call: Call, data: bytes) -> HttpBody:
    """Return a whole JSON document as a response body."""
    call.headers[call_context.LENGTH] = str(len(data))
    return HttpBody(content_type=JSON, data=data)
