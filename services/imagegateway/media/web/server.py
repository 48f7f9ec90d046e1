"""HTTP server of the media process: routes, and serving on a UNIX socket for Envoy."""

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
from imagegateway.platform.http_server import listening
from imagegateway.platform.supervision import Supervisor

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from pathlib import Path

    from imagegateway.mcp.content import Preview
    from imagegateway.media.signed_links import LinkSigner
    from imagegateway.media.store import MediaStore
    from imagegateway.platform.settings import Settings

_GRACE: Final = 10.0
"""Seconds for running downloads at shutdown."""


def application(
    settings: Settings, store: MediaStore, links: LinkSigner, clock: Callable[[], float] = time.time
) -> web.Application:
    """Return the application with all routes. `clock` returns Unix seconds, as that of `links`."""
    health = Health(store, {name: settings.socket(name) for name in _routers(settings)})
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


def _routers(settings: Settings) -> list[str]:
    return [f"router-{number}" for number in range(settings.routers)]


async def serve(app: web.Application, path: Path, store: MediaStore, stop: asyncio.Event) -> None:
    """Serve on a UNIX socket and sweep the store, until `stop`. Downloads may continue for 10 s.

    Raises BackgroundTaskError when the sweeper fails, so that the process is restarted.
    """
    supervisor = Supervisor()
    async with listening(app, path, _GRACE, cancel=True):
        supervisor.spawn("media sweeper", sweep_forever(store))
        try:
            await supervisor.run(stop.wait())
        finally:
            await supervisor.close()
