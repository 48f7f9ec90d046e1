"""Decompression in bounded pieces: a compressed body may inflate a thousandfold."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

GZIP_OR_ZLIB: Final = zlib.MAX_WBITS | 32
"""zlib's window bits for data in either format."""
PIECE_BYTES: Final = 1024 * 1024
"""Largest piece of decompressed data."""


def inflate(inflater: zlib._Decompress, data: bytes) -> Iterator[bytes]:
    """Yield the decompressed data in pieces of at most 1 MiB. Raises zlib.error.

    Data after the end of the compressed stream is in `inflater.unused_data` then.
    """
    while True:
        piece = inflater.decompress(data, PIECE_BYTES)
        if piece:
            yield piece
        data = inflater.unconsumed_tail
        # After a full piece, the inflater may hold more output without more input.
        if not data and len(piece) < PIECE_BYTES:
            return
