"""Handler of `/mcp` in the media process: checks a request before the SDK sees it, and loads the SDK when needed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from aiohttp import web
from imagegateway.mcp import limits
from imagegateway.mcp.asgi import respond
from imagegateway.platform import logs, supervision
from imagegateway.platform.errors import GatewayError, invalid
from imagegateway.platform.tenant_slots import TenantSlots
from imagegateway.v1.error_reason_pb2 import ErrorReason

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from imagegateway.mcp.content import Preview
    from imagegateway.mcp.service import McpService
    from imagegateway.platform.settings import Settings

PATH: Final = "/mcp"
_ROOM_SECONDS: Final = 10.0
"""Longest wait for room in seconds."""
_log = logs.get(__name__)
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})


class McpEndpoint:
    """Handler of `PATH` for POST. Without sessions, there is no stream to GET and no session to DELETE."""

    def __init__(self, settings: Settings, load_preview: Callable[[], Preview]) -> None:
        """`load_preview` imports and returns the maker of previews, in a thread at the first request."""
        self._settings = settings
        self._load_preview = load_preview
        self._held = TenantSlots(limits.MAX_HELD_BYTES, limits.MAX_HELD_BYTES // 2)
        self._service: asyncio.Future[McpService] | None = None
        self._serving: asyncio.Task[None] | None = None

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Respond to one message. Raises GatewayError without room."""
        if origin := self._foreign_origin(request):
            error = invalid("origin", f"Web pages of {origin[:100]} may not use this URL.")
            return web.json_response(error.body(), status=403)
        service = await self._started()
        if refusal := await service.refusal(request.headers):
            return refusal
        release = await self._room(request)
        try:
            return await respond(service.application, request)
        finally:
            release()

    async def close(self, _app: web.Application) -> None:
        """Cancel running requests, and end the service."""
        if self._serving is not None:
            await supervision.cancel(self._serving)

    def _foreign_origin(self, request: web.Request) -> str | None:
        """Return the origin of a web page elsewhere. The protocol wants it refused, against DNS rebinding."""
        origin = request.headers.get("Origin")
        if not origin or _host(origin) in _LOOPBACK:
            return None
        public = urlsplit(self._settings.public_url)
        return None if origin == f"{public.scheme}://{public.netloc}" else origin

    async def _started(self) -> McpService:
        """Return the service. The first call loads it, in a thread: other requests go on."""
        if self._service is None:
            self._service = asyncio.get_running_loop().create_future()
            self._serving = asyncio.create_task(self._serve(self._service), name="mcp")
        return await asyncio.shield(self._service)

    async def _serve(self, service: asyncio.Future[McpService]) -> None:
        try:
            running = await asyncio.to_thread(_load)
            preview = await asyncio.to_thread(self._load_preview)
            async with running(self._settings, preview) as started:
                service.set_result(started)
                await asyncio.Event().wait()
        except Exception as error:  # noqa: BLE001  the caller gets the error, or the log
            if not service.done():
                service.set_exception(error)
            else:
                _log.exception("mcp_service_ended")
        finally:
            self._service = None  # the next request starts it again

    async def _room(self, request: web.Request) -> Callable[[], None]:
        """Return the function that releases the room of a request.

        Raises GatewayError REQUEST_TOO_LARGE, and OVERLOADED without room.
        """
        size = request.content_length
        count = limits.MAX_BODY_BYTES if size is None else max(size, limits.LEAST_HELD_BYTES)
        if count > limits.MAX_BODY_BYTES:
            raise GatewayError(
                ErrorReason.ERROR_REASON_REQUEST_TOO_LARGE,
                f"The body has over {limits.MAX_BODY_BYTES} bytes: pass large images as https URLs or job ids.",
            )
        try:
            async with asyncio.timeout(_ROOM_SECONDS):
                return await self._held.acquire(request.headers.get("Authorization", ""), count)
        except TimeoutError:
            raise GatewayError(
                ErrorReason.ERROR_REASON_OVERLOADED,
                "The gateway holds as many MCP requests as it can.",
                retry_after=5,
            ) from None


def _host(origin: str) -> str | None:
    try:
        return urlsplit(origin).hostname
    except ValueError:
        return None


def _load() -> Callable[[Settings, Preview], AbstractAsyncContextManager[McpService]]:
    """Import the service, which takes a second and 40 MiB."""
    from imagegateway.mcp.service import running  # noqa: PLC0415

    return running
