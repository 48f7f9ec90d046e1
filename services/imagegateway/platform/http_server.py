"""The HTTP server that processes behind Envoy run beside gRPC, or instead of it: aiohttp on a UNIX socket."""

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
"""Longest header: Envoy's limit for all of them is less."""


@contextlib.asynccontextmanager
async def listening(
    app: web.Application, path: Path, grace: float, *, cancel: bool = False, linger: float = 0.0
) -> AsyncIterator[None]:
    """Answer on a UNIX socket of mode 0600 while the context lasts; leaving it gives running calls `grace` seconds.

    Bodies arrive as they were sent, encodings and all. `cancel`: end a handler when its caller goes away. `linger`:
    seconds for which connections that were made already are still taken when nobody can make new ones.
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
        # A listener that closes resets the connections that wait for it, with the requests that they hold.
        await asyncio.to_thread(sockets.unlink, path)
        await asyncio.sleep(linger)
        await runner.cleanup()


async def _without_server(_request: web.Request, response: web.StreamResponse) -> None:
    """aiohttp would name itself and Python, with their versions."""
    response.headers.popall("Server", None)


def _bound(path: Path) -> socket.socket:
    """A socket that only its owner can reach, in place of one that a killed process left."""
    sockets.make_folder(path.parent)
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)  # a mode that is set after bind comes too late
    try:
        listener.bind(str(path))
    except OSError:
        listener.close()
        raise
    finally:
        os.umask(before)
    return listener
