"""Small POST requests: which they are, what they send, and their connections."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest
from aiohttp import web
from imagegateway.outbound.client import Outbound
from imagegateway.outbound.messages import Body, Request, exact_url
from imagegateway.outbound.small_posts import small_body
from imagegateway.outbound.url_guard import UrlGuard

from tests.outbound.origin import answer, serve

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

JSON = {"content-type": "application/json"}


async def stream() -> AsyncIterator[bytes]:
    yield b"{}"


@pytest.mark.parametrize(
    ("method", "url", "headers", "body", "is_small"),
    [
        ("POST", "https://a.example/v1", JSON, b"{}", True),
        ("POST", "https://a.example/v1", JSON, bytes(32 * 1024), True),
        ("POST", "https://a.example/v1", JSON, bytes(32 * 1024 + 1), False),
        ("POST", "https://a.example/v1", JSON, stream(), False),
        ("POST", "https://a.example/v1", JSON, None, False),
        ("POST", "https://a.example/v1", {}, b"{}", False),
        ("POST", "https://user:password@a.example/v1", JSON, b"{}", False),
        ("PUT", "https://a.example/v1", JSON, b"{}", False),
    ],
)
def test_small_post_has_a_short_body_and_a_url_without_credentials(
    method: str, url: str, headers: dict[str, str], body: Body, is_small: bool
) -> None:
    assert small_body(Request(method, exact_url(url), headers, body, 1.0)) == (body if is_small else None)


async def post(outbound: Outbound, url: str, **headers: str) -> int:
    async with outbound.call("POST", url, headers=headers, json={"n": 1}, max_bytes=100, seconds=30) as response:
        await response.read()
        return response.status


async def test_small_posts_share_a_connection_and_state_host_and_length() -> None:
    peers: list[object] = []

    async def keep_peer(request: web.Request) -> web.Response:
        assert request.transport
        peers.append(request.transport.get_extra_info("peername"))
        return web.Response(body=b"done")

    async with serve(keep_peer) as origin, Outbound(UrlGuard(())) as outbound:
        assert [await post(outbound, origin.url("/a%2Fb?c=%2F")) for _ in range(2)] == [200, 200]
    assert len(set(map(str, peers))) == 1
    request = origin.requests[0]
    assert request.raw_path == "/a%2Fb?c=%2F"
    assert (request.headers["host"], request.headers["content-length"]) == (origin.host, "7")


async def test_credentials_in_a_url_become_a_header() -> None:
    async with serve(answer()) as origin, Outbound(UrlGuard(())) as outbound:
        await post(outbound, f"http://user:password@{origin.host}/")
    expected = base64.b64encode(b"user:password").decode()
    assert origin.requests[0].headers["authorization"] == f"Basic {expected}"


async def test_header_with_a_line_break_is_not_sent() -> None:
    async with serve(answer()) as origin, Outbound(UrlGuard(())) as outbound:
        with pytest.raises(ValueError, match="header"):
            await post(outbound, origin.url(), authorization="Bearer a\r\nx-injected: b")
        assert await post(outbound, origin.url()) == 200
    assert len(origin.requests) == 1
