"""Content encodings of answers, undone a bounded piece at a time."""

from __future__ import annotations

import zlib
from contextlib import aclosing
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator

_PIECE: Final = 1 << 20
"""Most decoded bytes at once: what a server sends may inflate a thousandfold."""


class EncodingError(Exception):
    """A body's content encoding is damaged, or none that is known."""


async def decode(raw: AsyncGenerator[bytes, None], encoding: str) -> AsyncGenerator[bytes, None]:
    """Yield a body without its content encoding (identity, gzip or deflate), inflated by 1 MiB at most at once.

    Identity is asked for, yet object stores send what they hold. Raises EncodingError.
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
            # A full piece may have left some in the inflater even where all input is taken.
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
