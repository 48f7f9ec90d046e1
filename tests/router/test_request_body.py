"""Decoding of request bodies, in pieces of any size, within limits."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from imagegateway.platform.errors import GatewayError
from imagegateway.router.request_body import decoded

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

MIB = 1024 * 1024


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


async def in_pieces(data: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


async def unpack(data: bytes, encoding: str, size: int = 7, limit: int = MIB) -> bytes:
    return b"".join([piece async for piece in decoded(in_pieces(data, size), encoding, limit)])


@settings(deadline=None)
@given(st.binary(max_size=300), st.integers(1, 50))
@pytest.mark.parametrize(
    ("encoding", "pack"),
    [("gzip", gzip.compress), ("deflate", zlib.compress), ("deflate", raw_deflate), ("", bytes)],
)
async def test_body_is_decoded_in_pieces_of_any_size(
    encoding: str, pack: Callable[[bytes], bytes], data: bytes, size: int
) -> None:
    assert await unpack(pack(data), encoding, size) == data


async def test_raw_deflate_whose_input_ends_with_a_full_piece_is_decoded_to_its_end() -> None:
    data = b"a" * (MIB + 5)  # its last bytes are output without more input
    packed = raw_deflate(data)
    assert await unpack(packed, "deflate", len(packed), 2 * MIB) == data


@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress, raw_deflate])
async def test_body_that_ends_early_is_refused(pack: Callable[[bytes], bytes]) -> None:
    for length in (0, 1, 5):
        with pytest.raises(GatewayError, match="ends early"):
            await unpack(pack(b"text" * 50)[:length], "gzip")


async def test_limit_counts_decoded_bytes_exactly() -> None:
    packed = gzip.compress(bytes(MIB))
    assert len(await unpack(packed, "gzip", len(packed))) == MIB
    with pytest.raises(GatewayError, match="over 1 MiB"):
        await unpack(gzip.compress(bytes(MIB + 1)), "gzip", MIB)


async def test_compression_bomb_is_refused_early() -> None:
    packed = gzip.compress(bytes(32 * MIB))
    tracemalloc.start()
    try:
        with pytest.raises(GatewayError, match="over 4 MiB"):
            await unpack(packed, "gzip", len(packed), 4 * MIB)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 * MIB
