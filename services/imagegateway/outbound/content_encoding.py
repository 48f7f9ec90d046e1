"""Content encodings of responses, decoded in bounded pieces."""

from __future__ import annotations

import zlib
from contextlib import aclosing
from typing import TYPE_CHECKING

from imagegateway.platform.inflation import GZIP_OR_ZLIB, inflate

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator


class EncodingError(Exception):
    """A body's content encoding is damaged or unknown."""


def decode(raw: AsyncGenerator[bytes, None], encoding: str) -> AsyncGenerator[bytes, None]:
    """Return a body without its content encoding (identity, gzip or deflate), in inflated pieces of at most 1 MiB.

    Requests accept identity only, but object stores send objects in their stored encoding. Raises EncodingError, also
    while the body is read.
    """
    inflater = _inflater(encoding)
    return raw if inflater is None else _inflated(raw, inflater)


async def _inflated(raw: AsyncGenerator[bytes, None], inflater: zlib._Decompress) -> AsyncGenerator[bytes, None]:
    async with aclosing(raw):
        async for chunk in raw:
            try:
                for piece in inflate(inflater, chunk):
                    yield piece
            except zlib.error:
                raise EncodingError("a damaged content encoding") from None
    if not inflater.eof or inflater.unused_data:
        raise EncodingError("a damaged content encoding")


def _inflater(encoding: str) -> zlib._Decompress | None:
    match encoding.strip().lower():
        case "" | "identity":
            return None
        case "gzip" | "x-gzip" | "deflate":
            return zlib.decompressobj(GZIP_OR_ZLIB)
    raise EncodingError("a content encoding that was not asked for")
