"""HTTP server of processes behind Envoy, beside gRPC or without it: aiohttp on a UNIX socket or a TCP port."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from typing import TYPE_CHECKING, Final

from aiohttp import web
from imagegateway.platform import sockets
from imagegateway.platform.addresses import TcpAddress
from imagegateway.platform.internal_tls import dns_names, refusal, roles_of
from imagegateway.platform.setting_source import SettingError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from aiohttp.typedefs import Handler, Middleware
    from imagegateway.platform.addresses import Address
    from imagegateway.platform.internal_tls import Role
    from imagegateway.platform.listener import Listener

_BACKLOG: Final = 1024
_BACKLOG_SECONDS: Final = 0.05
"""Time in which the event loop accepts all connections of the backlog, in seconds."""
_MAX_HEADER_BYTES: Final = 64 * 1024
"""Longest header. Envoy's limit for all headers of a request is smaller."""


@contextlib.asynccontextmanager
async def listening(
    app: web.Application, listener: Listener, grace: float, *, cancel: bool = False, linger: float = 0.0
) -> AsyncIterator[None]:
    """Serve within the context, on UNIX sockets of mode 0600. On exit, wait up to `grace` seconds for running calls.

    Bodies keep their content encoding. `cancel`: cancel the handler of a disconnected caller. `linger`: longest time
    in seconds for which established connections may still send a request after a UNIX socket's removal. Raises
    OSError for a socket that can't be created, SettingError for a port that can't be used.
    """
    app.on_response_prepare.append(_without_server)
    if listener.tls:
        app.middlewares.append(_check_callers(listener.callers))
    runner = web.AppRunner(
        app,
        access_log=None,
        shutdown_timeout=grace,
        handler_cancellation=cancel,
        auto_decompress=False,
        max_line_size=_MAX_HEADER_BYTES,
        max_field_size=_MAX_HEADER_BYTES,
    )
    await runner.setup()
    try:
        for address in listener.addresses:
            await _site(runner, address, listener).start()
        yield
    finally:
        # A closing listener resets its backlog of connections, together with their requests.
        for path in listener.sockets:
            await asyncio.to_thread(sockets.unlink, path)
        await _linger(runner, linger)
        await runner.cleanup()


async def _linger(runner: web.AppRunner, seconds: float) -> None:
    """Accept the backlog of connections, and wait up to `seconds` until no connection is open."""
    deadline = asyncio.get_running_loop().time() + seconds
    while asyncio.get_running_loop().time() < deadline:
        await asyncio.sleep(min(seconds, _BACKLOG_SECONDS))
        if not runner.server or not runner.server.connections:
            return


def _check_callers(callers: frozenset[Role]) -> Middleware:
    """Return the middleware that refuses requests over TLS of processes without a permitted role."""

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        over_tls = request.get_extra_info("sslcontext") is not None
        if over_tls and not callers & roles_of(dns_names(request.get_extra_info("peercert"))):
            return web.Response(status=403, text=refusal(callers))
        return await handler(request)

    return check


async def _without_server(_request: web.Request, response: web.StreamResponse) -> None:
    """Remove the header in which aiohttp reports its version and Python's."""
    response.headers.popall("Server", None)


def _site(runner: web.AppRunner, address: Address, listener: Listener) -> web.BaseSite:
    """Return the site of an address. Raises OSError and SettingError."""
    if not isinstance(address, TcpAddress):
        return web.SockSite(runner, _bound(address.path), backlog=_BACKLOG)
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    try:
        bound = socket.create_server((address.host, address.port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise SettingError(f"{address} can't be listened on: {error.strerror}") from None
    context = listener.tls.server_context if listener.tls else None
    return web.SockSite(runner, bound, ssl_context=context, backlog=_BACKLOG)


def _bound(path: Path) -> socket.socket:
    """Return a bound socket for this user alone. Replace the leftover socket of a killed process."""
    sockets.make_folder(path.parent)
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)  # a mode set after bind leaves a gap
    try:
        listener.bind(str(path))
    except OSError:
        listener.close()
        raise
    finally:
        os.umask(before)
    return listener
