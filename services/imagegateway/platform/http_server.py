"""HTTP server of processes behind Envoy, beside gRPC or without it: aiohttp on a UNIX socket."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from typing import TYPE_CHECKING, Final

from aiohttp import web
from imagegateway.platform import sockets

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

_BACKLOG: Final = 1024
_MAX_HEADER_BYTES: Final = 64 * 1024
"""Longest header. Envoy's limit for all headers of a request is smaller."""


@contextlib.asynccontextmanager
async def listening(
    app: web.Application, path: Path, grace: float, *, cancel: bool = False, linger: float = 0.0
) -> AsyncIterator[None]:
    """Serve on a UNIX socket of mode 0600 within the context. On exit, wait up to `grace` seconds for running calls.

    Bodies keep their content encoding. `cancel`: cancel the handler of a disconnected caller. `linger`: seconds for
    which established connections are accepted after the socket's removal.
    """
    app.on_response_prepare.append(_without_server)
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
        await web.SockSite(runner, _bound(path), backlog=_BACKLOG).start()
        yield
    finally:
        # A closing listener resets its backlog of connections, together with their requests.
        await asyncio.to_thread(sockets.unlink, path)
        await asyncio.sleep(linger)
        await runner.cleanup()


async def _without_server(_request: web.Request, response: web.StreamResponse) -> None:
    """Remove the header in which aiohttp reports its version and Python's."""
    response.headers.popall("Server", None)


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
