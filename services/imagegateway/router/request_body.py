"""Reading of request bodies: content encoding, size limit, timeout."""

from __future__ import annotations

import asyncio
import zlib
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from imagegateway.platform.errors import GatewayError, invalid
from imagegateway.platform.inflation import GZIP_OR_ZLIB, inflate
from imagegateway.v1.error_reason_pb2 import ErrorReason

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterator
    from typing import Self

_T = TypeVar("_T")
_MIB: Final = 1024 * 1024

MAX_JSON_BYTES: Final = 60 * _MIB
"""Size limit of a decoded JSON body: an image of 25 MiB as a data URL has 33 MiB."""

MAX_FORM_BYTES: Final = 17 * 25 * _MIB + _MIB
"""Size limit of a decoded multipart body: 16 images, a mask, and the text fields."""

_STALL_SECONDS: Final = 50.0
"""Timeout of one wait, and the initial budget of all waits: a stalled or slow body ends within a minute."""

_SLOWEST: Final = 16 * 1024
"""Bytes that extend the budget by a second. A phone on a bad network sends 1 Mbit/s, eight times as much."""

_RAW_DEFLATE: Final = -zlib.MAX_WBITS
_ENCODINGS: Final = frozenset({"", "identity", "gzip", "x-gzip", "deflate"})


async def decoded(pieces: AsyncIterable[bytes], encoding: str, limit: int) -> AsyncIterator[bytes]:
    """Yield the decoded pieces of a body. Raises GatewayError as `Decoder` and `TimedPieces` do."""
    decoder = Decoder(encoding, limit)
    async for piece in TimedPieces(pieces, len):
        for data in decoder.feed(piece):
            yield data
    decoder.finish()


class Decoder:
    """Decoder of one body. `encoding`: the header Content-Encoding. `limit`: most decoded bytes."""

    def __init__(self, encoding: str, limit: int) -> None:
        """Raise GatewayError UNSUPPORTED_MEDIA_TYPE for an encoding other than gzip and deflate."""
        name = encoding.strip().lower()
        if name not in _ENCODINGS:
            raise GatewayError(
                ErrorReason.ERROR_REASON_UNSUPPORTED_MEDIA_TYPE,
                "Content-Encoding must be gzip or deflate.",
                param="Content-Encoding",
            )
        self._inflater = None if name in {"", "identity"} else _Inflater()
        self._limit = limit
        self._size = 0

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """Yield the decoded data of a piece.

        Raises GatewayError: INVALID_VALUE for data in another encoding; REQUEST_TOO_LARGE after `limit` bytes.
        """
        for data in self._inflater.feed(piece) if self._inflater else (piece,):
            self._size += len(data)
            if self._size > self._limit:
                raise GatewayError(
                    ErrorReason.ERROR_REASON_REQUEST_TOO_LARGE, f"The request body is over {self._limit // _MIB} MiB."
                )
            yield data

    def finish(self) -> None:
        """Raise GatewayError INVALID_VALUE for a body that ends early."""
        if self._inflater and not self._inflater.finished:
            raise _damaged()


class TimedPieces(Generic[_T]):
    """The pieces of a body, with a timeout of the waits for its sender. `size` returns the bytes of a piece.

    Raises GatewayError REQUEST_TIMEOUT after one wait of over 50 s, and when all waits together exceed 50 s plus one
    second per 16 KiB received.
    """

    def __init__(self, pieces: AsyncIterable[_T], size: Callable[[_T], int]) -> None:
        self._pieces = aiter(pieces)
        self._size = size
        self._clock = asyncio.get_running_loop().time
        self._left = _STALL_SECONDS

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> _T:
        began = self._clock()
        try:
            async with asyncio.timeout(min(self._left, _STALL_SECONDS)):
                piece = await anext(self._pieces)
        except TimeoutError:
            raise GatewayError(
                ErrorReason.ERROR_REASON_REQUEST_TIMEOUT, "The request body took too long to arrive."
            ) from None
        self._left += self._size(piece) / _SLOWEST - (self._clock() - began)
        return piece


class _Inflater:
    """Decoder of gzip, zlib and raw deflate, at most 1 MiB at a time."""

    def __init__(self) -> None:
        self._inflate: zlib._Decompress | None = None
        self._head = b""

    @property
    def finished(self) -> bool:
        return self._inflate is not None and self._inflate.eof

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """Yield the decoded data of a piece. Raises GatewayError INVALID_VALUE."""
        if self._inflate is None:
            self._head += piece
            if len(self._head) < 2:
                return
            piece, self._head = self._head, b""
            self._inflate = zlib.decompressobj(_format(piece))
        try:
            yield from inflate(self._inflate, piece)
        except zlib.error:
            raise _damaged() from None
        if self._inflate.unused_data:
            raise _damaged()


def _format(head: bytes) -> int:
    """Return zlib's window bits for data that begins with `head`, at least 2 bytes.

    "deflate" is zlib's format (RFC 9110, 8.4.1.2); some clients send raw deflate.
    """
    first, second = head[:2]
    is_zlib = first & 0x0F == zlib.DEFLATED and (first << 8 | second) % 31 == 0
    return GZIP_OR_ZLIB if is_zlib or (first, second) == (0x1F, 0x8B) else _RAW_DEFLATE


def _damaged() -> GatewayError:
    return invalid("Content-Encoding", "The body is not what its Content-Encoding says, or ends early.")
