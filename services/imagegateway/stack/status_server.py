"""Health of the whole stack on the port for metrics: `/healthz`, `/readyz` and further routes.

`up` serves them itself, without an HTTP framework: aiohttp would take 11 MB for as long as the stack runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from imagegateway.platform import logs
from imagegateway.stack import unix_http

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
    from pathlib import Path

    from imagegateway.platform.settings import Settings

    Handler = Callable[[], Awaitable["Response"]]

_REQUEST_SECONDS: Final = 5.0
"""Time in which a request's headers must arrive."""
_MAX_HEADER_BYTES: Final = 16_384
_log = logs.get(__name__)


@dataclass(frozen=True, slots=True)
class Response:
    """Response to a GET."""

    status: int
    body: bytes
    content_type: str = "application/json"


def side_sockets(settings: Settings) -> dict[str, Path]:
    """Return the side servers' sockets of a stack's processes."""
    names = ["providers", "media", *(f"router-{number}" for number in range(settings.routers))]
    return {name: settings.socket(f"{name}-side") for name in names}


class StackHealth:
    """Health of all processes of a stack."""

    def __init__(self, settings: Settings) -> None:
        self._processes = side_sockets(settings)
        self._envoy = settings.socket("envoy-admin")
        self.phase = "starting"
        """Phase of the stack itself: `starting`, `ready` or `lame_duck`."""

    async def live(self) -> Response:
        """Respond with 200."""
        return Response(200, b'{"status": "ok"}')

    async def ready(self) -> Response:
        """Respond with 200, or 503 with each part that is not ready, after the name of its process."""
        found = await asyncio.gather(
            *(asyncio.to_thread(_not_ready, name, socket) for name, socket in self._processes.items()),
            asyncio.to_thread(_envoy_not_ready, self._envoy),
        )
        not_ready = [part for parts in found for part in parts]
        if self.phase != "ready":
            not_ready.insert(0, self.phase)
        if not_ready:
            return Response(503, json.dumps({"status": "not_ready", "not_ready": not_ready}).encode())
        return Response(200, b'{"status": "ready"}')


def _not_ready(name: str, socket: Path) -> list[str]:
    try:
        status, body = unix_http.request(socket, "GET", "/readyz")
        if status == HTTPStatus.OK:
            return []
        return [f"{name}: {part}" for part in json.loads(body)["not_ready"]]
    except (OSError, ValueError, LookupError, TypeError):
        return [f"{name}: does not answer"]


def _envoy_not_ready(socket: Path) -> list[str]:
    try:
        status, body = unix_http.request(socket, "GET", "/ready")
    except OSError:
        return ["envoy: does not answer"]
    return [] if status == HTTPStatus.OK else [f"envoy: {body.decode(errors='replace').strip().lower()}"]


@contextlib.asynccontextmanager
async def serving(settings: Settings, routes: Mapping[str, Handler]) -> AsyncIterator[None]:
    """Serve GET requests for `routes` within the context. A port that is in use by now is a warning."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            try:
                async with asyncio.timeout(_REQUEST_SECONDS):
                    head = await reader.readuntil(b"\r\n\r\n")
                writer.write(_message(await _respond(routes, head), with_body=not head.startswith(b"HEAD ")))
                await writer.drain()
            finally:
                writer.close()

    try:
        server = await asyncio.start_server(
            serve, settings.metrics_host, settings.metrics_port, limit=_MAX_HEADER_BYTES
        )
    except OSError as error:
        _log.warning("metrics_port_unavailable", port=settings.metrics_port, reason=error.strerror)
        yield
        return
    async with server:
        yield


async def _respond(routes: Mapping[str, Handler], head: bytes) -> Response:
    method, _, target = head.partition(b"\r\n")[0].decode("latin-1").partition(" ")
    handler = routes.get(target.partition(" ")[0].partition("?")[0])
    if handler is None:
        return Response(404, b"not found\n", "text/plain")
    if method not in {"GET", "HEAD"}:
        return Response(405, b"only GET\n", "text/plain")
    return await handler()


def _message(response: Response, *, with_body: bool) -> bytes:
    head = (
        f"HTTP/1.1 {response.status} {HTTPStatus(response.status).phrase}\r\n"
        f"content-type: {response.content_type}\r\ncontent-length: {len(response.body)}\r\n"
        "cache-control: no-store\r\nconnection: close\r\n\r\n"
    )
    return head.encode() + (response.body if with_body else b"")
