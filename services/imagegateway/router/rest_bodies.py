"""JSON bodies of REST calls, which reach the router as a stream of `google.api.HttpBody`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from google.api.httpbody_pb2 import HttpBody
from imagegateway.platform.errors import GatewayError
from imagegateway.router import call_context, json_body, request_body
from imagegateway.v1.error_reason_pb2 import ErrorReason

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Callable

    from imagegateway.router.body_budget import BodyReservation
    from imagegateway.router.call_context import Call

JSON: Final = "application/json"
_P = TypeVar("_P", bound="Piece")


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
