"""Downloads by signed link: responses to browsers and SDKs."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from typing import TYPE_CHECKING

import aiohttp
import pytest
from imagegateway.media.objects import deletion_time
from imagegateway.media.store import MediaStore, StoreUnavailable
from structlog.testing import capture_logs

from tests.media.media_gateway import NOON, error_of, gateway, settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from yarl import URL

    from tests.media.media_gateway import Gateway

__all__ = ["gateway", "settings"]


def key_of(url: URL) -> str:
    return "results" + url.path.removeprefix("/media").rpartition("/")[0]


async def test_a_download_is_byte_exact_with_all_its_headers(gateway: Gateway) -> None:
    data = secrets.token_bytes(3_000_000)
    answer, body = await gateway.get(await gateway.link(data, lifetime=600), x_request_id="req-1")
    assert (answer.status, body) == (200, data)
    sha = hashlib.sha256(data).hexdigest()
    expected = {
        "ETag": f'"{sha}"',
        "Content-Type": "image/png",
        "Content-Length": "3000000",
        "Content-Disposition": 'inline; filename="0.png"',
        "Cache-Control": "private, max-age=600, immutable",
        "Accept-Ranges": "bytes",
        "Access-Control-Allow-Origin": "*",
        "X-Content-Type-Options": "nosniff",
        "X-Request-Id": "req-1",
    }
    assert {name: answer.headers.get(name) for name in expected} == expected
    assert "Server" not in answer.headers


async def test_head_is_get_without_the_bytes(gateway: Gateway) -> None:
    url = await gateway.link(b"x" * 5000, "3.webp")
    whole, _ = await gateway.get(url, x_request_id="same")
    head, body = await gateway.send("HEAD", url, x_request_id="same")
    assert body == b""
    assert head.status == 200
    assert dict(head.headers) | {"Date": ""} == dict(whole.headers) | {"Date": ""}


@pytest.mark.parametrize(
    ("filename", "media_type"),
    [("0.jpg", "image/jpeg"), ("1.gif", "image/gif"), ("2.mp4", "video/mp4"), ("9.webp", "image/webp")],
)
async def test_the_type_follows_the_extension(gateway: Gateway, filename: str, media_type: str) -> None:
    answer, _ = await gateway.get(await gateway.link(b"bytes", filename))
    assert answer.headers["Content-Type"] == media_type
    assert answer.headers["Content-Security-Policy"].startswith("sandbox; default-src 'none'")


async def test_svg_is_served_with_a_policy_that_forbids_scripts(gateway: Gateway) -> None:
    answer, _ = await gateway.get(await gateway.link(b"<svg/>", "0.svg"))
    assert answer.headers["Content-Type"] == "image/svg+xml"
    assert answer.headers["Content-Security-Policy"].startswith("sandbox; default-src 'none'")


@pytest.mark.parametrize(
    ("header", "content_range", "start", "end"),
    [
        ("bytes=0-9", "bytes 0-9/1000", 0, 10),
        ("bytes=990-", "bytes 990-999/1000", 990, 1000),
        ("bytes=990-5000", "bytes 990-999/1000", 990, 1000),
        ("bytes=-10", "bytes 990-999/1000", 990, 1000),
        ("bytes=-5000", "bytes 0-999/1000", 0, 1000),
        ("Bytes=999-999", "bytes 999-999/1000", 999, 1000),
        ("bytes=0-1,5-6", None, 0, 1000),
        ("bytes=9-1", None, 0, 1000),
        ("bytes=-", None, 0, 1000),
        ("bytes=a-b", None, 0, 1000),
        ("lines=0-9", None, 0, 1000),
    ],
)
async def test_single_range_returns_its_bytes(
    gateway: Gateway, header: str, content_range: str | None, start: int, end: int
) -> None:
    data = secrets.token_bytes(1000)
    answer, body = await gateway.get(await gateway.link(data), range=header)
    assert answer.status == (206 if content_range else 200)
    assert answer.headers.get("Content-Range") == content_range
    assert body == data[start:end]


@pytest.mark.parametrize("header", ["bytes=1000-", "bytes=5000-6000", "bytes=-0"])
async def test_range_beyond_the_end_is_416(gateway: Gateway, header: str) -> None:
    answer, body = await gateway.get(await gateway.link(b"x" * 1000), range=header)
    assert answer.status == 416
    assert answer.headers["Content-Range"] == "bytes */1000"
    assert error_of(body)["code"] == "invalid_value"


async def test_range_over_several_chunks_is_complete(gateway: Gateway) -> None:
    data = secrets.token_bytes(3_000_000)
    answer, body = await gateway.get(await gateway.link(data), range="bytes=1000000-2999998")
    assert answer.status == 206
    assert body == data[1_000_000:2_999_999]


async def test_if_range_sends_the_range_of_the_same_bytes_only(gateway: Gateway) -> None:
    url = await gateway.link(b"x" * 1000)
    tag = f'"{hashlib.sha256(b"x" * 1000).hexdigest()}"'
    for if_range, status in [(tag, 206), ('"other"', 200), (f"W/{tag}", 200), ("Mon, 01 Jan 2024 00:00:00 GMT", 200)]:
        answer, _ = await gateway.get(url, range="bytes=0-9", if_range=if_range)
        assert answer.status == status, if_range


async def test_if_none_match_with_the_files_etag_is_304(gateway: Gateway) -> None:
    url = await gateway.link(b"content")
    tag = f'"{hashlib.sha256(b"content").hexdigest()}"'
    for header, status in [(tag, 304), (f'"other", W/{tag}', 304), ("*", 304), ('"other"', 200)]:
        answer, body = await gateway.get(url, if_none_match=header)
        assert answer.status == status, header
        assert answer.headers["ETag"] == tag
        assert (body == b"") is (status == 304)


async def test_tampered_links_are_forbidden(gateway: Gateway) -> None:
    url = await gateway.link(b"content")
    path, query = url.raw_path, url.raw_query_string
    for target in (
        f"{path}?{query[:-1]}",
        f"{path}?{query.replace('exp=1', 'exp=2')}",
        f"{path.replace('0.png', '1.png')}?{query}",
        f"{path.replace('2026-09-29', '2026-09-30')}?{query}",
        f"{path.replace('2026-09-29', '..')}?{query}",
        f"{path}?sig=%FF%00&exp=x",
        path,
    ):
        answer, body = await gateway.get(target)
        assert answer.status == 403, target
        assert error_of(body) == {
            "message": "The signature of this link is wrong: use the link whole and unchanged.",
            "type": "permission_error",
            "param": None,
            "code": "invalid_signature",
        }


async def test_a_link_ends_with_its_time(gateway: Gateway) -> None:
    url = await gateway.link(b"content", lifetime=60)
    gateway.clock.now = NOON + 59
    assert (await gateway.get(url))[0].status == 200
    gateway.clock.now = NOON + 60
    answer, body = await gateway.get(url)
    assert answer.status == 410
    assert error_of(body)["code"] == "expired"


async def test_a_link_whose_file_was_swept_is_expired(gateway: Gateway) -> None:
    url = await gateway.link(b"content", lifetime=604_800)
    gateway.clock.now = deletion_time(key_of(url))
    assert await gateway.store.sweep() == 1
    assert (await gateway.get(url))[0].status == 410


async def test_a_good_link_without_a_file_is_not_found(gateway: Gateway) -> None:
    url = await gateway.link(b"content")
    await gateway.store.delete([key_of(url)])
    answer, body = await gateway.get(url)
    assert answer.status == 404
    assert error_of(body)["code"] == "unknown_url"


async def test_disconnected_client_stops_the_read(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    pieces = 0
    ended = asyncio.Event()

    async def endless(_self: MediaStore, _key: str, _start: int, _length: int) -> AsyncIterator[bytes]:
        nonlocal pieces
        try:
            while True:
                pieces += 1
                yield bytes(1024 * 1024)
        finally:
            ended.set()

    async def huge(_self: MediaStore, _key: str) -> int:
        return 1 << 40

    url = await gateway.link(b"content")
    monkeypatch.setattr(MediaStore, "stream", endless)
    monkeypatch.setattr(MediaStore, "size", huge)
    with capture_logs() as logs:
        async with gateway.client.get(url) as answer:
            await answer.content.readexactly(1000)
            before = pieces
        await asyncio.wait_for(ended.wait(), 10)
        await until(lambda: any(entry["event"] == "request_finished" for entry in logs))
    assert before < 20, "it reads no faster than the client"
    assert pieces <= before + 2
    (line,) = (entry for entry in logs if entry["event"] == "request_finished")
    assert line["status"] == 499


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110  a log line sets no event
            await asyncio.sleep(0)


async def test_store_failure_during_a_download_breaks_the_connection(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def breaking(_self: MediaStore, _key: str, _start: int, _length: int) -> AsyncIterator[bytes]:
        yield b"x" * 10
        raise StoreUnavailable("gone")

    url = await gateway.link(b"x" * 1000)
    monkeypatch.setattr(MediaStore, "stream", breaking)
    with capture_logs() as logs, pytest.raises(aiohttp.ClientError):
        await gateway.get(url)
    await until(lambda: any(entry["event"] == "request_finished" for entry in logs))
