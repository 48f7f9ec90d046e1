"""Outbound calls: streamed bodies, their limits, errors before and after the send, and permitted origins."""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, NoReturn

import pytest
from aiohttp import web
from imagegateway.outbound.client import Outbound, SentError, UnsentError
from imagegateway.outbound.messages import response_headers
from imagegateway.outbound.url_guard import UrlGuard, UrlRefusedError

from tests.outbound.test_url_guard import PUBLIC, FakeNameService

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()


@pytest.fixture
async def outbound() -> AsyncIterator[Outbound]:
    async with Outbound(UrlGuard(())) as opened:
        yield opened


async def read(outbound: Outbound, url: str, **more: Any) -> bytes:
    options: dict[str, Any] = {"headers": {}, "max_bytes": 1000, "seconds": 30.0, **more}
    async with outbound.call("POST", url, **options) as incoming:
        assert incoming.status == 200
        return await incoming.read()


def chunked(*chunks: bytes, then: Handler | None = None) -> Handler:
    """Serve these pieces, then run `then`."""

    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for chunk in chunks:
            await response.write(chunk)
        if then:
            await then(request)
        return response

    return handler


async def test_pieces_are_handed_over_before_the_rest_is_sent(outbound: Outbound) -> None:
    go = asyncio.Event()

    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"first")
        await go.wait()
        await response.write(b"second")
        return response

    async with (
        serving(handler) as url,
        outbound.call("POST", url, headers={}, max_bytes=1000, seconds=30) as incoming,
    ):
        chunks = incoming.chunks()
        assert await anext(chunks) == b"first"
        go.set()
        assert [chunk async for chunk in chunks] == [b"second"]


async def test_body_over_the_limit_is_broken_off(outbound: Outbound) -> None:
    async with serving(chunked(b"x" * 600, b"x" * 600)) as url:
        assert len(await read(outbound, url, max_bytes=1200)) == 1200
        with pytest.raises(SentError):
            await read(outbound, url, max_bytes=1199)


async def test_body_that_breaks_off_was_sent(outbound: Outbound) -> None:
    async def cut(request: web.Request) -> web.StreamResponse:
        assert request.transport
        request.transport.close()
        return web.Response()

    async with serving(chunked(b"half", then=cut)) as url:
        with pytest.raises(SentError) as broken:
            await read(outbound, url)
    assert broken.value.transient


async def test_body_that_does_not_end_is_given_up_in_time(outbound: Outbound) -> None:
    over = asyncio.Event()

    async def wait(_request: web.Request) -> web.StreamResponse:
        await over.wait()
        return web.Response()

    async with serving(chunked(b"half", then=wait)) as url:
        with pytest.raises(TimeoutError):
            await read(outbound, url, seconds=0.2)
        over.set()


async def test_server_that_is_not_there_got_nothing(outbound: Outbound) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # nothing listens there
        with pytest.raises(UnsentError) as failed:
            await read(outbound, f"http://127.0.0.1:{taken.getsockname()[1]}/")
    assert failed.value.transient


async def test_json_is_sent_as_json(outbound: Outbound) -> None:
    async def echo(request: web.Request) -> web.StreamResponse:
        assert request.content_type == "application/json"
        return web.Response(body=await request.read())

    async with serving(echo) as url:
        assert await read(outbound, url, json={"prompt": "ä", "n": 1, "seed": None}) == (
            '{"prompt":"ä","n":1,"seed":null}'.encode()
        )


async def test_readers_own_error_is_not_taken_for_the_servers(outbound: Outbound) -> None:
    """Check that our full disk is no error of the provider."""
    async with serving(chunked(b"x")) as url:
        with pytest.raises(OSError, match="disk"):
            async with outbound.call("POST", url, headers={}, max_bytes=9, seconds=30):
                raise OSError("disk")


async def test_guarded_call_goes_to_the_address_that_was_checked() -> None:
    async with serving(chunked(b"checked")) as url:
        host = url.removeprefix("http://127.0.0.1").rstrip("/")
        names = FakeNameService(["127.0.0.1"])
        async with Outbound(UrlGuard([f"queue.internal{host}"], names)) as opened:
            assert await read(opened, f"http://queue.internal{host}/", guarded=True) == b"checked"
        assert names.asked == [("queue.internal", int(host[1:]))]


async def test_guarded_call_does_not_follow_a_name_that_moved_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[object] = []

    async def refuse(addr_infos: list[tuple[object, ...]], **_options: object) -> NoReturn:
        tried.extend(info[4] for info in addr_infos)
        raise OSError("no network in this test")

    monkeypatch.setattr("aiohttp.connector.aiohappyeyeballs.start_connection", refuse)
    async with Outbound(UrlGuard([], FakeNameService([PUBLIC], ["127.0.0.1"]))) as opened:
        with pytest.raises(UnsentError):
            await read(opened, "https://queue.example/", guarded=True)
        assert tried == [(PUBLIC, 443)]
        with pytest.raises(UrlRefusedError):
            await read(opened, "https://queue.example/", guarded=True)
        assert tried == [(PUBLIC, 443)]


@pytest.mark.parametrize("url", ["http://queue.example/", "https://127.0.0.1/", "https://xn--a.example/"])
async def test_guarded_call_refuses_a_forbidden_url(url: str) -> None:
    async with Outbound(UrlGuard([], FakeNameService([PUBLIC]))) as opened:
        with pytest.raises(UrlRefusedError):
            await read(opened, url, guarded=True)


def test_header_that_is_not_utf_8_is_read_as_latin_1() -> None:
    raw = [(b"X-Name", "café".encode()), (b"x-other", b"caf\xe9"), (b"X-Other", b"b")]
    assert response_headers(raw) == {"x-name": "café", "x-other": "café, b"}
