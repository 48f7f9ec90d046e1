"""Side server of a process: health for probes and, where the process adds a route, metrics. Not for callers."""

from __future__ import annotations

import contextlib
import errno
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from aiohttp import web
from imagegateway.platform import logs
from imagegateway.platform.http_server import listening
from imagegateway.platform.listener import Listener
from imagegateway.platform.setting_source import SettingError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from imagegateway.platform.hosts import HostPort
    from imagegateway.platform.settings import Settings

_NO_STORE: Final = {"Cache-Control": "no-store"}
_log = logs.get(__name__)


class Probed(Protocol):
    """The process that the side server reports on."""

    @property
    def is_started(self) -> bool:
        """Return whether the start is complete."""

    async def not_ready(self) -> list[str]:
        """Return the names of the parts that are not ready."""


def application(process: Probed) -> web.Application:
    """Return the application with `/healthz`, `/startupz` and `/readyz`."""

    async def healthy(_request: web.Request) -> web.Response:
        return web.json_response({"status": "ok"}, headers=_NO_STORE)  # the event loop answers

    async def startup(_request: web.Request) -> web.Response:
        return health_response([] if process.is_started else ["starting"])

    app = web.Application()
    app.router.add_get("/healthz", healthy)
    app.router.add_get("/startupz", startup)
    add_readiness(app, process)
    return app


def add_readiness(app: web.Application, process: Probed) -> None:
    """Add `/readyz` of a process to an application."""

    async def ready(_request: web.Request) -> web.Response:
        return health_response(await process.not_ready())

    app.router.add_get("/readyz", ready)


def health_response(not_ready: list[str]) -> web.Response:
    """Return 200, or 503 with the names of the parts that are not ready."""
    if not_ready:
        return web.json_response({"status": "not_ready", "not_ready": not_ready}, status=503, headers=_NO_STORE)
    return web.json_response({"status": "ready"}, headers=_NO_STORE)


@contextlib.asynccontextmanager
async def serving(app: web.Application, address: Path | HostPort, settings: Settings) -> AsyncIterator[None]:
    """Serve on a UNIX socket, or on the port for metrics, within the context.

    A busy port is a warning where it is the default. Raises SettingError where the port was set.
    """
    if isinstance(address, Path):
        async with listening(app, Listener.unix(address), 0.0):
            yield
        return
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.0)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, address.host, address.port).start()
        except OSError as error:
            report_refused_port(settings, error)
        yield
    finally:
        await runner.cleanup()


def report_refused_port(settings: Settings, error: OSError) -> None:
    """Log that the default port for metrics is busy. Raises SettingError for a port that was set."""
    reason = "the port is in use" if error.errno == errno.EADDRINUSE else error.strerror or str(error)
    if settings.metrics_port_is_set:
        raise SettingError(
            f"IMAGEGATEWAY_METRICS_PORT: can't listen on {settings.metrics_host}:{settings.metrics_port}: {reason}"
        ) from error
    _log.warning(
        "metrics_port_unavailable",
        host=settings.metrics_host,
        port=settings.metrics_port,
        reason=reason,
        hint="set IMAGEGATEWAY_METRICS_PORT",
    )
