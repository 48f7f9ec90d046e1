"""Bodies of downloads: their size limit and their content encodings."""

from __future__ import annotations

import asyncio
import gzip
import zlib

import pytest
from aiohttp import web
from imagegateway.outbound.client import DownloadError, Outbound, TooLargeError
from imagegateway.outbound.url_guard import UrlGuard

from tests.outbound.downloads import fetch
from tests.outbound.origin import answer, serve


async def test_declared_length_over_the_limit_is_refused_before_the_body() -> None:
    gone = asyncio.Event()

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-length": "1001"})
        await response.prepare(request)
        await gone.wait()
        return response

    async with serve(handle) as origin, Outbound(UrlGuard([origin.host])) as outbound:
        with pytest.raises(TooLargeError):
            await fetch(outbound, origin.url())
        gone.set()


async def test_stream_without_length_ends_at_the_limit() -> None:
    sent = 0
    left = asyncio.Event()

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse()
        response.enable_chunked_encoding()
        await response.prepare(request)
        try:
            while True:
                await response.write(b"x" * 65536)
                sent += 65536
        except ConnectionError:
            left.set()
            raise

    async with serve(handle) as origin, Outbound(UrlGuard([origin.host])) as outbound:
        with pytest.raises(TooLargeError):
            await fetch(outbound, origin.url(), max_bytes=100_000)
        async with asyncio.timeout(20):
            await left.wait()
        assert 100_000 < sent < 50_000_000


async def test_body_of_exactly_the_limit_passes() -> None:
    async with serve(answer(b"x" * 1000)) as origin, Outbound(UrlGuard([origin.host])) as outbound:
        assert len(await fetch(outbound, origin.url(), max_bytes=1000)) == 1000
        with pytest.raises(TooLargeError):
            await fetch(outbound, origin.url(), max_bytes=999)


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (b"plain", "identity"),
        (gzip.compress(b"plain", mtime=0), "gzip"),
        (gzip.compress(b"plain", mtime=0), "X-GZIP"),
        (zlib.compress(b"plain"), "deflate"),
    ],
)
async def test_content_encoding_is_decoded(body: bytes, encoding: str) -> None:
    async with (
        serve(answer(body, content_encoding=encoding)) as origin,
        Outbound(UrlGuard([origin.host])) as outbound,
    ):
        assert await fetch(outbound, origin.url()) == b"plain"


async def test_limit_counts_decoded_bytes() -> None:
    bomb = gzip.compress(bytes(50_000_000))
    async with (
        serve(answer(bomb, content_encoding="gzip")) as origin,
        Outbound(UrlGuard([origin.host])) as outbound,
    ):
        with pytest.raises(TooLargeError):
            await fetch(outbound, origin.url(), max_bytes=49_999_999)


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (b"plain", "br"),
        (b"plain", "gzip, gzip"),
        (b"not gzip at all", "gzip"),
        (gzip.compress(b"plain", mtime=0)[:-4], "gzip"),
        (gzip.compress(b"plain", mtime=0) + b"more", "gzip"),
    ],
)
async def test_other_and_damaged_encodings_are_refused(body: bytes, encoding: str) -> None:
    async with (
        serve(answer(body, content_encoding=encoding)) as origin,
        Outbound(UrlGuard([origin.host])) as outbound,
    ):
        with pytest.raises(DownloadError, match="content encoding"):
            await fetch(outbound, origin.url())
