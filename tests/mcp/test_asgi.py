"""The bridge from aiohttp to an ASGI application."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import aiohttp
import pytest
from aiohttp import web
from imagegateway.mcp.asgi import respond
from imagegateway.platform.http_server import listening
from imagegateway.platform.listener import Listener

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from imagegateway.mcp.asgi import Application, Message

URL = "http://localhost/some/path?a=b%20c"
HEAD = {"type": "http.response.start", "status": 201, "headers": [(b"x-one", b"1"), (b"x-two", b"2")]}


@asynccontextmanager
async def served(application: Application, folder: Path) -> AsyncIterator[aiohttp.ClientSession]:
    """Yield a client of a server with this application."""

    async def handle(request: web.Request) -> web.StreamResponse:
        return await respond(application, request)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    path = folder / "server.sock"
    async with (
        listening(app, Listener.unix(path), grace=1, cancel=True),
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(path))) as client,
    ):
        yield client


def body(content: bytes, *, more: bool) -> Message:
    return {"type": "http.response.body", "body": content, "more_body": more}


async def test_request_and_response_pass_whole(tmp_path: Path) -> None:
    scopes: list[Message] = []
    sent = bytes(300_000)

    async def echo(
        scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
    ) -> None:
        scopes.append(scope)
        received, more = b"", True
        while more:
            message = await receive()
            received, more = received + message["body"], message["more_body"]
        await send(HEAD)
        await send(body(received[:1000], more=True))
        await send(body(received[1000:], more=False))

    async with (
        served(echo, tmp_path) as client,
        client.post(URL, data=sent, headers={"X-Mixed": "Case"}) as response,
    ):
        assert response.status == 201
        assert (response.headers["x-one"], response.headers["x-two"]) == ("1", "2")
        assert await response.read() == sent
    (scope,) = scopes
    assert (scope["method"], scope["path"], scope["query_string"]) == ("POST", "/some/path", b"a=b%20c")
    assert (b"x-mixed", b"Case") in scope["headers"]


async def test_pieces_arrive_before_the_end(tmp_path: Path) -> None:
    seen = asyncio.Event()

    async def slow(
        _scope: Message, _receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
    ) -> None:
        await send(HEAD)
        await send(body(b"first", more=True))
        await seen.wait()
        await send(body(b"last", more=False))

    async with asyncio.timeout(10), served(slow, tmp_path) as client, client.post(URL) as response:
        assert await response.content.readany() == b"first"
        seen.set()
        assert await response.read() == b"last"


async def test_callers_disconnect_cancels_the_application(tmp_path: Path) -> None:
    ended = asyncio.Event()

    async def endless(
        _scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
    ) -> None:
        await send(HEAD)
        await send(body(b"first", more=True))
        try:
            while True:
                await receive()
        finally:
            ended.set()

    async with asyncio.timeout(10), served(endless, tmp_path) as client:
        async with client.post(URL) as response:
            await response.content.readany()
            response.close()
        await ended.wait()


async def test_error_before_the_head_is_a_response_and_later_a_broken_connection(tmp_path: Path) -> None:
    async def fail(
        scope: Message, _receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
    ) -> None:
        if scope["method"] == "POST":
            await send(HEAD)
            await send(body(b"first", more=True))
        raise ValueError("a fault of the application")

    async with asyncio.timeout(10), served(fail, tmp_path) as client:
        async with client.get(URL) as early:
            assert early.status == 500
        async with client.post(URL) as late:
            assert late.status == 201
            with pytest.raises(aiohttp.ClientPayloadError):
                await late.read()
