"""Parser of native gRPC messages: Envoy sends each piece of a call's body as a separate message."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, Final

from imagegateway.platform.errors import GatewayError
from imagegateway.platform.grpc_server import MAX_REQUEST_BYTES
from imagegateway.platform.inflation import GZIP_OR_ZLIB, inflate
from imagegateway.v1.error_reason_pb2 import ErrorReason

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable

    from imagegateway.router.body_budget import BodyReservation

PIECES: Final = "x-grpc-pieces"
"""Header of `envoy/grpc_pieces.lua` on bodies in pieces, with the caller's `grpc-encoding`."""

_MIB: Final = 1024 * 1024
_PREFIX: Final = struct.Struct(">BI")
_INFLATED: Final = frozenset({"gzip", "deflate"})


async def read(pieces: AsyncIterable[bytes], encoding: str, reservation: BodyReservation) -> AsyncGenerator[bytes]:
    """Yield the decompressed messages of a body, and reserve their memory. `encoding`: the caller's `grpc-encoding`.

    Raises GatewayError: NOT_IMPLEMENTED for an unknown encoding; INVALID_VALUE for a malformed body;
    REQUEST_TOO_LARGE for a message over 64 MiB; and as `BodyReservation.grow` does.
    """
    if encoding != "identity" and encoding not in _INFLATED:
        raise GatewayError(
            ErrorReason.ERROR_REASON_NOT_IMPLEMENTED, "grpc-encoding must be identity, gzip or deflate."
        )
    body = bytearray()
    async for piece in pieces:
        reservation.grow(len(piece))
        body += piece
        while (message := _first(body)) is not None:
            is_compressed, data = message
            if is_compressed and encoding not in _INFLATED:
                raise _invalid("The message is compressed, and no grpc-encoding says how.")
            yield _inflate(data, reservation) if is_compressed else data
    if body:
        raise _invalid("The request ends before its message does.")


def _first(body: bytearray) -> tuple[bool, bytes] | None:
    """Remove the first message from a body. Return its compression flag and bytes, or None while it is incomplete.

    Raises GatewayError for a malformed or too large message.
    """
    if len(body) < _PREFIX.size:
        return None
    flag, size = _PREFIX.unpack_from(body)
    if flag > 1:
        raise _invalid("The request is not a gRPC message.")
    if size > MAX_REQUEST_BYTES:
        raise _too_large()
    end = _PREFIX.size + size
    if len(body) < end:
        return None
    data = bytes(memoryview(body)[_PREFIX.size : end])
    del body[:end]
    return flag == 1, data


def _inflate(data: bytes, reservation: BodyReservation) -> bytes:
    """Return the bytes of a compressed message, at most 64 MiB. Raises GatewayError."""
    inflater = zlib.decompressobj(GZIP_OR_ZLIB)
    inflated = bytearray()
    try:
        for part in inflate(inflater, data):
            reservation.grow(len(part))
            inflated += part
            if len(inflated) > MAX_REQUEST_BYTES:
                raise _too_large()
    except zlib.error:
        raise _damaged() from None
    if not inflater.eof or inflater.unused_data:
        raise _damaged()
    return bytes(inflated)


def _invalid(message: str) -> GatewayError:
    return GatewayError(ErrorReason.ERROR_REASON_INVALID_VALUE, message)


def _damaged() -> GatewayError:
    return _invalid("The message is not what grpc-encoding says, or ends early.")


def _too_large() -> GatewayError:
    return GatewayError(
        ErrorReason.ERROR_REASON_REQUEST_TOO_LARGE, f"The message is over {MAX_REQUEST_BYTES // _MIB} MiB."
    )
