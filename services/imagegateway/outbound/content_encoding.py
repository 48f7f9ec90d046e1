"""Content encodings of responses, decoded in bounded pieces."""

from __future__ import annotations

import zlib
from contextlib import aclosing
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator

_PIECE: Final = 1 << 20
"""Most decoded bytes at once: a compressed body may inflate a thousandfold."""


class EncodingError(Exception):
    """A body's content encoding is damaged or unknown."""


async def decode(raw: AsyncGenerator[bytes, None], encoding: str) -> AsyncGenerator[bytes, None]:
    """Yield a body without its content encoding (identity, gzip or deflate), in inflated pieces of at most 1 MiB.

    Requests accept identity only, but object stores send objects in their stored encoding. Raises EncodingError.
    """
    inflater = _inflater(encoding)
    async with aclosing(raw):
        async for chunk in raw:
            if inflater is None:
                yield chunk
                continue
            for piece in _inflate(inflater, chunk):
                yield piece
    if inflater is not None and (not inflater.eof or inflater.unused_data):
        raise EncodingError("a damaged content encoding")


def _inflate(inflater: zlib._Decompress, chunk: bytes) -> Iterator[bytes]:
    try:
        while True:
            piece = inflater.decompress(chunk, _PIECE)
            if piece:
                yield piece
            chunk = inflater.unconsumed_tail
            # After a full piece, the inflater may hold more output without more input.
            if not chunk and len(piece) < _PIECE:
                return
    except zlib.error:
        raise EncodingError("a damaged content encoding") from None


def _inflater(encoding: str) -> zlib._Decompress | None:
    match encoding.strip().lower():
        case "" | "identity":
            return None
        case "gzip" | "x-gzip" | "deflate":
            return zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
    raise EncodingError("a content encoding that was not asked for")
