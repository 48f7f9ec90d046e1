"""A web server for tests that remembers what it was asked."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from aiohttp import web

if TYPE_CHECKING:
    import ssl

Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(slots=True)
class Origin:
    """A running server; `requests` grows with each request, before it is answered."""

    port: int = 0
    requests: list[web.Request] = field(default_factory=list)

    @property
    def host(self) -> str:
        """Entry for `allow_hosts`."""
        return f"127.0.0.1:{self.port}"

    def url(self, path: str = "/") -> str:
        return f"http://{self.host}{path}"


@asynccontextmanager
async def serve(handler: Handler, tls: ssl.SSLContext | None = None) -> AsyncIterator[Origin]:
    """Answer every request on a free port of 127.0.0.1 with `handler`."""
    origin = Origin()

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        assert isinstance(request, web.Request)
        origin.requests.append(request)
        return await handler(request)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
        await site.start()
        origin.port = runner.addresses[0][1]
        yield origin
    finally:
        await runner.cleanup()


def answer(body: bytes = b"", status: int = 200, **headers: str) -> Handler:
    """A handler that always answers the same; header names are written with underscores."""

    async def handle(_request: web.BaseRequest) -> web.StreamResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.Response(body=body, status=status, headers=named)

    return handle
