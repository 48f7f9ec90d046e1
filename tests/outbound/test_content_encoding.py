"""Content encodings are decoded in pieces of at most 1 MiB, for any compression ratio."""

from __future__ import annotations

import gzip
import zlib
from contextlib import aclosing
from typing import TYPE_CHECKING

import pytest
from imagegateway.outbound.content_encoding import EncodingError, decode

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

MIB = 1 << 20


async def chunks(data: bytes, size: int) -> AsyncGenerator[bytes, None]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


async def decoded(data: bytes, encoding: str, size: int = MIB) -> list[bytes]:
    return [piece async for piece in decode(chunks(data, size), encoding)]


@pytest.mark.parametrize("length", [0, 1, MIB - 1, MIB, MIB + 1, 3 * MIB, 3 * MIB + 258])
@pytest.mark.parametrize("size", [1 << 10, MIB])
async def test_decoded_chunks_join_to_the_body(length: int, size: int) -> None:
    body = bytes(length)
    for encoding, data in (("gzip", gzip.compress(body)), ("deflate", zlib.compress(body)), ("", body)):
        assert b"".join(await decoded(data, encoding, size)) == body


async def test_decompression_bomb_is_decoded_in_chunks_of_one_mib() -> None:
    bomb = gzip.compress(bytes(64 * MIB), 9)
    assert len(bomb) < MIB
    total = 0
    async with aclosing(decode(chunks(bomb, MIB), "gzip")) as pieces:
        async for piece in pieces:
            assert len(piece) <= MIB
            total += len(piece)
            if total > 4 * MIB:
                break
    assert total <= 5 * MIB


@pytest.mark.parametrize(
    ("data", "encoding"),
    [
        (gzip.compress(b"x" * 100, mtime=0)[:-9], "gzip"),
        (gzip.compress(b"x" * 100, mtime=0) + b"more", "gzip"),
        (b"no gzip at all", "gzip"),
        (b"x", "br"),
        (b"x", "gzip, gzip"),
    ],
)
async def test_damaged_and_unknown_encodings_are_refused(data: bytes, encoding: str) -> None:
    with pytest.raises(EncodingError):
        await decoded(data, encoding)
