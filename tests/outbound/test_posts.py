"""POST to a URL from outside, such as a webhook's: the status, and errors that may pass or never will."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import web
from imagegateway.outbound.client import DownloadError, Outbound
from imagegateway.outbound.url_guard import UrlGuard, UrlRefusedError

from tests.outbound.origin import answer, serve
from tests.outbound.test_url_guard import PUBLIC, FakeNameService
from tests.support.stack import free_port


async def post(outbound: Outbound, url: str, seconds: float = 30.0) -> int:
    return await outbound.post(url, content=b"event", headers={"content-type": "application/json"}, seconds=seconds)


@pytest.mark.parametrize("status", [200, 204, 302, 404, 410, 500])
async def test_any_status_is_returned_and_no_redirect_followed(status: int) -> None:
    handler = answer(b"ignored", status, location="https://elsewhere.example/") if status != 204 else answer(b"", 204)
    async with serve(handler) as origin, Outbound(UrlGuard([origin.host])) as outbound:
        assert await post(outbound, origin.url("/hook?a=b")) == status
        [request] = origin.requests
        assert (request.method, request.path_qs, request.headers["content-type"]) == (
            "POST",
            "/hook?a=b",
            "application/json",
        )


async def test_body_is_sent_whole() -> None:
    bodies: list[bytes] = []

    async def keep(request: web.Request) -> web.Response:
        bodies.append(await request.read())
        return web.Response()

    async with serve(keep) as origin, Outbound(UrlGuard([origin.host])) as outbound:
        await post(outbound, origin.url())
    assert bodies == [b"event"]


async def test_server_that_is_not_there_may_come_back() -> None:
    port = free_port()
    async with Outbound(UrlGuard([f"127.0.0.1:{port}"])) as outbound:
        with pytest.raises(DownloadError, match="connection") as failed:
            await post(outbound, f"http://127.0.0.1:{port}/")
    assert failed.value.transient


async def test_server_that_hangs_is_left_in_time() -> None:
    async def hang(_request: web.Request) -> web.Response:
        await asyncio.Event().wait()
        raise AssertionError

    async with serve(hang) as origin, Outbound(UrlGuard([origin.host])) as outbound:
        with pytest.raises(DownloadError, match="in time") as failed:
            await post(outbound, origin.url(), seconds=0.05)
    assert failed.value.transient


@pytest.mark.parametrize("url", ["http://hooks.example/", "https://127.0.0.1/", "https://xn--a.example/", "nonsense"])
async def test_url_that_may_never_be_called_is_refused_for_good(url: str) -> None:
    async with Outbound(UrlGuard([], FakeNameService([PUBLIC]))) as outbound:
        with pytest.raises(UrlRefusedError) as refused:
            await post(outbound, url)
    assert not refused.value.transient
