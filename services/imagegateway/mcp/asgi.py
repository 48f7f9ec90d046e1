"""Bridge from aiohttp's server to an ASGI application: the SDK serves ASGI only.

The server must cancel the handler of a disconnected caller.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from aiohttp import web
from imagegateway.platform import logs

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    Message = MutableMapping[str, Any]
    Application = Callable[
        [MutableMapping[str, Any], Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]],
        Awaitable[None],
    ]

_log = logs.get(__name__)


async def respond(application: Application, request: web.Request) -> web.StreamResponse:
    """Pass a request to an application and send its response. Raises the application's errors before the head."""
    exchange = _Exchange(request)
    try:
        await application(_scope(request), exchange.receive, exchange.send)
    except Exception:
        if exchange.response is None:
            raise
        _log.exception("mcp_response_broken")
        if request.transport:
            request.transport.abort()  # only a broken connection reports that the rest is missing
    if exchange.response is None:
        raise RuntimeError("the application sent no response")
    return exchange.response


class _Exchange:
    """Messages of one request and its response."""

    def __init__(self, request: web.Request) -> None:
        self.response: web.StreamResponse | None = None
        self._request = request
        self._received = False

    async def receive(self) -> Message:
        """Return the body in pieces, then never return: a caller's disconnect cancels the handler."""
        if not self._received:
            piece = await self._request.content.readany()
            self._received = self._request.content.at_eof()
            return {"type": "http.request", "body": piece, "more_body": not self._received}
        await asyncio.Event().wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """Send the head or a piece of the response."""
        if message["type"] == "http.response.start":
            self.response = web.StreamResponse(status=message["status"])
            for name, value in message.get("headers", ()):
                self.response.headers.add(name.decode("latin-1"), value.decode("latin-1"))
            await self.response.prepare(self._request)
        elif message["type"] == "http.response.body" and self.response is not None:
            await self.response.write(message.get("body", b""))
            if not message.get("more_body", False):
                await self.response.write_eof()


def _scope(request: web.Request) -> MutableMapping[str, Any]:
    """Return the request's head. No client address: the peer is Envoy."""
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": f"{request.version.major}.{request.version.minor}",
        "method": request.method,
        "scheme": request.scheme,
        "path": request.path,
        "raw_path": request.raw_path.encode("latin-1"),
        "query_string": request.rel_url.raw_query_string.encode("latin-1"),
        "root_path": "",
        "headers": [(name.lower(), value) for name, value in request.raw_headers],
        "client": None,
        "server": None,
    }
