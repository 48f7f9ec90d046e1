"""HTTP server of the media process: routes, and serving for Envoy."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from aiohttp import web
from imagegateway.mcp import endpoint
from imagegateway.media.sweeper import sweep_forever
from imagegateway.media.web import openapi
from imagegateway.media.web.downloads import PATH, Downloads
from imagegateway.media.web.health import Health
from imagegateway.media.web.pages import ASSETS, Page
from imagegateway.media.web.reference_page import add_reference_page
from imagegateway.media.web.responses import add_headers, outermost
from imagegateway.platform.addresses import TcpAddress
from imagegateway.platform.http_server import listening

if TYPE_CHECKING:
    from collections.abc import Callable

    from imagegateway.mcp.content import Preview
    from imagegateway.media.signed_links import LinkSigner
    from imagegateway.media.store import MediaStore
    from imagegateway.platform.addresses import Address
    from imagegateway.platform.internal_tls import InternalTls
    from imagegateway.platform.listener import Listener
    from imagegateway.platform.process import Process
    from imagegateway.platform.settings import Settings

_GRACE: Final = 10.0
"""Seconds for running downloads at shutdown."""


def application(
    settings: Settings,
    store: MediaStore,
    links: LinkSigner,
    process: Process,
    clock: Callable[[], float] = time.time,
    *,
    tls: InternalTls | None = None,
) -> web.Application:
    """Return the application with all routes. `clock` returns Unix seconds, as that of `links`."""
    health = Health(store, _routers(settings), process, tls)
    page = Page(settings.public_url)
    description = openapi.describe(settings.public_url, administration=settings.admin_listen is None)

    async def describe(_request: web.Request) -> web.Response:
        return web.Response(body=description, content_type="application/json")

    app = web.Application(middlewares=[outermost])
    app.on_response_prepare.append(add_headers)
    app.router.add_get(PATH, Downloads(store, links, clock).serve)
    app.router.add_get("/healthz", health.live)
    app.router.add_get("/readyz", health.ready)
    app.router.add_get("/openapi.json", describe)
    add_reference_page(app)
    app.router.add_get("/", page.home)
    app.router.add_get(ASSETS, page.asset)
    mcp = endpoint.McpEndpoint(settings, lambda: _preview(settings))
    app.router.add_post(endpoint.PATH, mcp.serve)
    app.on_shutdown.append(mcp.close)
    return app


def _preview(settings: Settings) -> Preview:
    """Return the maker of previews. Pillow takes 4 MiB, so only the first call of MCP imports it."""
    from imagegateway.media.previews import Previews  # noqa: PLC0415

    return Previews(settings.decode_pixels).make


def _routers(settings: Settings) -> dict[str, tuple[Address, ...]]:
    """Return the routers that must serve, by name: addresses of which one must serve.

    A media server that listens on TCP does not know its routers without their address.
    """
    if settings.internal.router_url:
        return {"router": settings.internal.router_url}
    if isinstance(settings.media_address, TcpAddress):
        return {}
    return {f"router-{number}": settings.router_addresses(number)[:1] for number in range(settings.routers)}


async def serve(app: web.Application, listener: Listener, store: MediaStore, process: Process) -> None:
    """Serve and sweep the store, until the process must stop. Downloads may continue for 10 s.

    Raises BackgroundTaskError when the sweeper fails, so that the process is restarted.
    """
    async with listening(app, listener, _GRACE, cancel=True):
        process.supervisor.spawn("media sweeper", sweep_forever(store))
        await process.until_stopped()
